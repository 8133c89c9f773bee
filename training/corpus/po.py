"""PO, the catalogues of gettext.

polib understands the entries, but wants a whole file in memory and gives up all of it at one broken line; so it is
given one entry at a time.
"""

import gettext
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import polib

from nmt.errors import DataError
from training.corpus.files import LONGEST, TextFile, encoding_of, reader_of_lines
from training.corpus.records import Direction, Line, NoPair, Pair, Reason, Rejected, is_in

_CHARSET = re.compile(rb"charset=([\w.-]+)")
_BEGINNING = re.compile(rb"#(?!~)|(?:#~\s*)?(?:msgctxt|msgid)\s")
_TRANSLATION = re.compile(rb"(?:#~\s*)?msgstr")
_STRING = re.compile(r'(?:#~\|?\s*)?(?:msg(?:ctxt|id|id_plural|str(?:\[\d+\])?)\s*)?"(?:[^"\\]|\\.)*"')
_PLURAL = re.compile(r"plural\s*=\s*([^;]+)")


@dataclass(frozen=True, slots=True)
class _Header:
    """What the entry without a msgid says of those that follow. `form_of` is the number of the form for a count."""

    encoding: str = "utf-8"
    language: str = ""
    form_of: Callable[[int], int] = lambda count: int(count != 1)


class _Entry(NamedTuple):
    line: int
    content: bytes
    size: int


def read_po(file: TextFile, direction: Direction) -> Iterator[Line]:
    """The translated entries that are neither fuzzy nor obsolete; each form of a plural is a translation of it.

    UTF-16 is UTF-8 by then, whatever the header says. Raises `NoPair` if there is no entry at all, `DataError` if its
    encoding is not known.
    """
    header, found, turned = _Header(), False, _is_utf_16(file)
    for entry in _entries(file):
        is_header = not found and b'msgid ""' in entry.content
        if is_header and not turned and (charset := _CHARSET.search(entry.content)):
            header = replace(header, encoding=_known(charset[1].decode("ascii"), file))
        try:
            parsed = _parsed(entry, header.encoding)
            header = _understood(parsed.metadata, header) if parsed.metadata else header
            pairs = [pair for each in parsed for pair in _pairs(each, header, direction)]
        except NoPair as error:
            text = entry.content.decode(header.encoding, "replace")
            yield Rejected(error.reason, str(error), text, str(file), entry.line)
            continue
        found = found or bool(parsed) or bool(parsed.metadata)
        for source, targets in pairs:
            yield Pair(source, targets, str(file), entry.line)
    if not found:
        raise NoPair("there is no entry with msgid and msgstr in it")


def _is_utf_16(file: TextFile) -> bool:
    with file.open() as content:
        return encoding_of(content.peek(4)[:4]).startswith("utf-16")


def _entries(file: TextFile) -> Iterator[_Entry]:
    """The lines of each entry, with the number of the first. One that is overlong is cut."""
    with file.open() as content:
        lines: list[bytes] = []
        first, translated, size = 1, False, 0
        readline = reader_of_lines(content)
        for number, line in enumerate(iter(lambda: readline(LONGEST), b""), start=1):
            line = line.removeprefix(BOM_UTF8) if number == 1 else line
            if translated and _BEGINNING.match(line):
                yield _Entry(first, b"".join(lines), size)
                first, lines, translated, size = number, [], False, 0
            translated = translated or _TRANSLATION.match(line) is not None
            size += len(line)
            if size <= LONGEST:
                lines.append(line)
        yield _Entry(first, b"".join(lines), size)


def _known(encoding: str, file: TextFile) -> str:
    """A name that Python knows; the placeholder of templates stands for UTF-8."""
    if encoding == "CHARSET":
        return "utf-8"
    try:
        if "msgid".encode(encoding) == b"msgid":
            return encoding
    except (LookupError, UnicodeError):
        pass
    raise DataError(f"{file} says that its charset is {encoding!r}, which cannot be read; save it as UTF-8")


def _parsed(entry: _Entry, encoding: str) -> polib.POFile:
    """What polib makes of an entry. Raises `NoPair` if it makes nothing of it."""
    if entry.size > LONGEST:
        raise NoPair(f"longer than {LONGEST:,} bytes", Reason.TOO_LONG)
    try:
        text = entry.content.decode(encoding).rstrip() + "\n"
    except UnicodeError as error:
        raise NoPair(f"not {encoding}", Reason.BROKEN) from error
    for number, line in enumerate(map(str.strip, text.split("\n")), start=entry.line):
        # polib takes the last character of a string for its quote, whatever it is.
        if line and (line[0] != "#" or line.startswith("#~")) and not _STRING.fullmatch(line):
            raise NoPair(f"no PO in line {number:,}: {line[:40]!r}")
    try:
        parsed = polib.pofile(text)  # which would open a text that is the name of a file; none ends with a line break
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise NoPair(f"no PO: {str(error).removeprefix('Syntax error in po file ')}") from error
    if not parsed and not parsed.metadata and b"msg" in entry.content:
        raise NoPair("no PO: an entry needs msgid and msgstr")
    return parsed


def _understood(metadata: Mapping[str, str], header: _Header) -> _Header:
    """The header with language and rule for plurals; a rule that cannot be evaluated is passed over."""
    header = replace(header, language=metadata.get("Language", ""))
    rule = _PLURAL.search(metadata.get("Plural-Forms", "").partition(";")[2])
    try:
        form_of = gettext.c2py(rule[1]) if rule else header.form_of
        form_of(1)
    except (ValueError, ArithmeticError):
        return header
    return replace(header, form_of=form_of)


def _pairs(entry: polib.POEntry, header: _Header, direction: Direction) -> list[tuple[str, tuple[str, ...]]]:
    """Sources and their targets. Raises `NoPair` for an entry that is not ready."""
    turned = _is_turned(header.language, direction)
    if entry.obsolete or entry.fuzzy:
        raise NoPair("obsolete" if entry.obsolete else "fuzzy", Reason.DRAFT)
    forms: dict[int, str] = entry.msgstr_plural or {0: entry.msgstr}
    if not all(forms.values()):
        raise NoPair("", Reason.UNTRANSLATED)
    pairs: list[tuple[str, tuple[str, ...]]]
    if not entry.msgid_plural:
        pairs = [(entry.msgid, (forms[0],))]
    else:
        one = header.form_of(1) if len(forms) > 1 else None
        others = tuple(text for number, text in sorted(forms.items()) if number != one)
        pairs = [(entry.msgid, (forms[one],))] if one in forms else []
        pairs.append((entry.msgid_plural, others))
    return [(target, (source,)) for source, targets in pairs for target in targets] if turned else pairs


def _is_turned(language: str, direction: Direction) -> bool:
    """Whether the catalogue translates into the source language; the language of the msgids is stated nowhere."""
    if not language or is_in(language, direction[1]):
        return False
    if is_in(language, direction[0]):
        return True
    raise NoPair(f"the file is in {language}", Reason.LANGUAGE)
