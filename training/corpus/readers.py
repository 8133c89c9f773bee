"""Streaming readers of parallel text in the files that people have.

A broken record never ends a run: it comes out as `Rejected`. A file that cannot be read to its end does: `DataError`.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from nmt.errors import DataError, how_to_convert
from nmt.text.languages import base_language, name
from training.corpus.files import TextFile, TextLine, check_file, is_file, lines, members
from training.corpus.po import read_po
from training.corpus.records import Direction, Line, NoPair, Pair, Reason, Rejected, is_in
from training.corpus.tmx import read_tmx
from training.corpus.xliff import read_xliff

Format = Literal["moses", "tsv", "jsonl", "tmx", "xliff", "po"]

_FORMATS: dict[str, Format] = {
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".tmx": "tmx",
    ".xlf": "xliff",
    ".xliff": "xliff",
    ".sdlxliff": "xliff",
    ".mxliff": "xliff",
    ".mqxliff": "xliff",
    ".po": "po",
}
_HOW_TO_NAME = (
    f"name it {', '.join(_FORMATS)} (then .gz, .xz or .zst if packed) or .zip, give two files as x.en,x.de, "
    "or state the format"
)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NUMBER = re.compile(r"[-+]?[\d.,]*\d%?")
_MOST_BROKEN, _ALWAYS_ALLOWED = 0.05, 20  # of the lines of a file, and lines of however few
_READERS: dict[Format, Callable[[TextFile, Direction], Iterator[Line]]] = {
    "tmx": read_tmx,
    "xliff": read_xliff,
    "po": read_po,
}


@dataclass(frozen=True, slots=True)
class Location:
    """Where parallel text is: two files for `moses`, one for the other formats."""

    files: tuple[TextFile, ...]
    format: Format

    def __str__(self) -> str:
        return ",".join(map(str, self.files))


def locate(text: str, direction: Direction, stated: Format | None = None) -> list[Location]:
    """Understand `x.tsv`, `x.jsonl.gz`, `x.en,x.de` or `x.zip`; a stated format beats the name.

    A zip archive gives all its members of a known format, and the Moses pairs among those named for the languages.
    Raises `DataError` if the format cannot be told or a file does not exist.
    """
    two = stated in (None, "moses") and not is_file(Path(text))
    paths = [Path(part) for part in text.split(",")] if two else [Path(text)]
    for path in paths:
        check_file(path)
    if len(paths) == 1 and paths[0].suffix.lower() == ".zip":
        return _in_archive(paths[0], direction, stated)
    files = tuple(map(TextFile, paths))
    format_ = stated or ("moses" if len(paths) == 2 else format_of(files[0]))
    if format_ is None or len(paths) > 2:
        raise DataError(f"the format of {text} cannot be told from its name; {_HOW_TO_NAME}")
    if format_ == "moses" and len(paths) != 2:
        raise DataError(f"{text} is one file, but the format moses takes two, as in x.en,x.de")
    return [Location(files, format_)]


def _in_archive(path: Path, direction: Direction, stated: Format | None) -> list[Location]:
    """Members of a known, or the stated, format; in OPUS archives a licence and a readme stand beside them.

    A Mac puts a file `._x.tmx`, with what it knows of it, beside each `x.tmx`: that one is passed over.
    """
    files = [file for file in members(path) if not file.bare.name.startswith("._")]
    found = [Location((file,), format_) for file in files if (format_ := format_of(file)) and stated in (None, format_)]
    if stated in (None, "moses"):
        found += [Location(pair, "moses") for pair in _moses_pairs(files, direction)]
    if not found:
        names = ", ".join(file.member for file in files[:5])
        raise DataError(
            f"{path} holds {names or 'nothing'}, none of it {stated or 'of a known format'}; {_HOW_TO_NAME}"
        )
    return found


def _moses_pairs(files: Sequence[TextFile], direction: Direction) -> list[tuple[TextFile, TextFile]]:
    """Files named for the two languages and alike but for that; or, if there are only two, these.

    One that is named for a region stands behind one that is not.
    """
    last = sorted(files, key=lambda file: -len(file.bare.suffix))
    sources, targets = (
        {file.bare.with_suffix(""): file for file in last if _is_named_for(file, language)} for language in direction
    )
    if len(sources) == len(targets) == 1:
        return [(next(iter(sources.values())), next(iter(targets.values())))]
    return [(sources[stem], targets[stem]) for stem in sources if stem in targets]


def format_of(file: TextFile) -> Format | None:
    """What the name says."""
    return _FORMATS.get(file.bare.suffix.lower())


def _is_named_for(file: TextFile, language: str) -> bool:
    return is_in(file.bare.suffix[1:], language)


def read(location: Location, direction: Direction, references: bool = False) -> Iterator[Line]:
    """Lines of a corpus in order. `direction` names the languages, which most formats state in their own way.

    With `references`, TSV columns after the second are further references; else they are passed over, as Tatoeba
    and others put remarks there.
    """
    if location.format == "moses":
        _check_order(location, direction)
        yield from _read_moses(*location.files)
    elif reader := _READERS.get(location.format):
        try:
            yield from reader(location.files[0], direction)
        except NoPair as error:
            raise DataError(f"{location} is no {location.format.upper()} file: {error}") from error
    else:
        (file,) = location.files
        parse = partial(_json_pair, direction=direction)
        if location.format == "tsv":
            parse = partial(_columns, direction=direction, references=references, quoted=_is_quoted(file))
        for line in lines(file):
            yield _parsed(line, str(file), parse)


def decoded(found: Iterable[Line]) -> Iterator[Line]:
    """The lines of a corpus as they are. Raises `DataError` after the last if too many could not be decoded.

    These are more than 5 % and more than 20, or all that hold text. What is left of such a file lacks just the
    sentences that have letters beside those of English; a bad line or two of a small file are no sign of it.
    """
    total, has_text, broken = 0, False, Counter[str]()
    for line in found:
        total += 1
        if isinstance(line, Rejected) and line.reason is Reason.BROKEN:
            broken[line.file] += 1
        has_text = has_text or (isinstance(line, Pair) and line.source != "")
        yield line
    for file, count in broken.items():
        if not has_text or count > max(_MOST_BROKEN * total, _ALWAYS_ALLOWED):
            raise DataError(f"{count:,} of {total:,} lines of {file} are not in UTF-8; {how_to_convert(file)}")


def _parsed(line: TextLine, file: str, parse: Callable[[TextLine], tuple[str, tuple[str, ...]]]) -> Line:
    if line.reason:
        return _broken(line, file)
    if not line.text.strip():
        return Pair("", ("",), file, line.number)
    try:
        source, targets = parse(line)
    except NoPair as error:
        return Rejected(error.reason, str(error), line.text, file, line.number)
    return Pair(source, targets, file, line.number)


def _is_quoted(file: TextFile) -> bool:
    """Whether a spreadsheet wrote the file: it puts cells with quotes or commas, or all but numbers, in quotes, and
    doubles those within.

    Quotes around some cells alone are no sign of it, since direct speech has them too.
    """
    doubled = loose = plain = needless = missing = 0
    for line in lines(file):
        for cell in filter(None, line.text.split("\t")):
            if _QUOTED.fullmatch(cell):
                doubled += '""' in cell[1:-1]
                needless += '""' not in cell[1:-1] and "," not in cell
            elif not _NUMBER.fullmatch(cell):
                plain += 1
                loose += '"' in cell
                missing += "," in cell
    return doubled > loose or not plain or not (loose or needless or missing)


def _columns(line: TextLine, direction: Direction, references: bool, quoted: bool) -> tuple[str, tuple[str, ...]]:
    """The pair in the first columns. Raises `NoPair` if there is none, or only what the columns are called."""
    source, *targets = map(_unquoted, line.text.split("\t")) if quoted else line.text.split("\t")
    if not targets:
        raise NoPair("no tab between source and target")
    if line.number == 1 and all(map(_is_called, (source, targets[0]), ("source", "target"), direction)):
        raise NoPair("", Reason.HEADER)
    return source, (targets[0], *filter(str.strip, targets[1:])) if references else (targets[0],)


def _unquoted(cell: str) -> str:
    """What a spreadsheet has put in quotes."""
    if '"' not in cell:
        return cell
    if not _QUOTED.fullmatch(cell):
        raise NoPair("part of a cell in quotes that has a line break")
    return cell[1:-1].replace('""', '"')


def _is_called(cell: str, part: str, language: str) -> bool:
    """Whether a cell is the title of a column in this language."""
    return cell.strip().lower() in (part, name(language).lower()) or is_in(cell, base_language(language))


def _json_pair(line: TextLine, direction: Direction) -> tuple[str, tuple[str, ...]]:
    """The pair in a JSON object. Raises `NoPair` if it holds none."""
    try:
        values = json.loads(line.text)
    except json.JSONDecodeError as error:
        raise NoPair(f"no JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise NoPair("no JSON that can be read: nested too deeply") from error
    except ValueError as error:
        raise NoPair("no JSON that can be read: a number has too many digits") from error
    if isinstance(values, dict) and isinstance(values.get("translation"), dict):
        values = values["translation"]
    if not isinstance(values, dict):
        raise NoPair(f"a JSON {type(values).__name__}, not an object")
    languages = [_key(values, language) for language in direction]
    for source_key, target_key in (("source", "target"), languages):
        if source_key in values and target_key in values:
            return _text(values[source_key], source_key), _texts(values[target_key], target_key)
    raise NoPair(f"neither source and target nor {' and '.join(direction)} among the keys {', '.join(values)}")


def _key(values: dict[str, Any], language: str) -> str:
    """Under which a text in the language stands, its own code before that of a region."""
    return language if language in values else next((key for key in values if is_in(key, language)), language)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise NoPair(f"{key} is of type {type(value).__name__}, not text")
    return value


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        return (_text(value, key),)
    if not value:
        raise NoPair(f"{key} is an empty list")
    return tuple(_text(part, key) for part in value)


def _check_order(location: Location, direction: Direction) -> None:
    """Refuse `x.de,x.en` where English is the source: swapped sides would train a model of the wrong direction."""
    one, other = location.files
    if _is_named_for(one, direction[1]) and _is_named_for(other, direction[0]):
        source, target = (language.lower() for language in direction)
        raise DataError(f"{location} names {target} first, but {source} is the source; give the files as {other},{one}")


def _read_moses(source_file: TextFile, target_file: TextFile) -> Iterator[Line]:
    sources, targets = lines(source_file), lines(target_file)
    for source, target in zip_longest(sources, targets):
        if source is None:
            raise _different_lengths(source_file, target.number - 1, target_file, _last(target, targets))
        if target is None:
            raise _different_lengths(source_file, _last(source, sources), target_file, source.number - 1)
        if source.reason:
            yield _broken(source, str(source_file))
        elif target.reason:
            yield _broken(target, str(target_file))
        else:
            yield Pair(source.text, (target.text,), str(source_file), source.number)


def _last(line: TextLine, following: Iterator[TextLine]) -> int:
    return line.number + sum(1 for _ in following)


def _different_lengths(source_file: TextFile, sources: int, target_file: TextFile, targets: int) -> DataError:
    return DataError(
        f"{source_file} has {sources:,} lines and {target_file} has {targets:,}; line n of one must be the "
        "translation of line n of the other, so they must be equally long"
    )


def _broken(line: TextLine, file: str) -> Rejected:
    return Rejected(line.reason or Reason.BROKEN, line.detail, line.text, file, line.number)
