"""Records of XML files, one by one: what is wrong with one record costs that record alone.

A parser of whole files, even a recovering one, gives up the rest of the file at a bare `<`, and has to be kept from
what a DOCTYPE may bring (entity bombs, external entities). Here no parser ever sees more than one record: a scanner
finds where records begin and end, and lxml parses each by itself, where no entity is declared; those of HTML, which
exports are full of, are put into its text as the characters that they are. Memory is bounded by the longest record.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html.entities import name2codepoint
from typing import Any

from lxml import etree

from training.corpus.files import LONGEST, LOST
from training.corpus.records import NoPair, Reason

Element = Any  # lxml has no type information

_REACH = 64  # characters in which a pattern must be found, wherever the parts of a text are cut
_PREFIX = r"(?:[\w.-]+:)?"
_SKIPPED = {"<!--": re.compile(r"-->"), "<![CDATA[": re.compile(r"\]\]>"), "<!DOCTYPE": re.compile(r"[>\[]")}
_SUBSET_END = re.compile(r"\]\s*>")
# To its end, which a `>` in quotes is not; a quote that no other closes before the next `<` is a mistake.
_TAG = re.compile(r"""(?:[^>"']|"[^"<]*+"|'[^'<]*+'|["](?=[^"<]*<)|['](?=[^'<]*<))*+>""")
_ENTITY = re.compile(r"<!\[CDATA\[.*?(?:\]\]>|\Z)|&(\w+);", re.DOTALL)  # in CDATA there are none
_OF_XML = {"amp", "lt", "gt", "quot"}
_OF_HTML = {name: chr(code) for name, code in name2codepoint.items() if name not in _OF_XML}


@dataclass(frozen=True, slots=True)
class Record:
    """An element as text, and the line in which it begins. `fault` says why there is no text."""

    name: str
    line: int
    text: str = ""
    fault: str = ""

    def parse(self) -> Element:
        """The element. Raises `NoPair` if it is not whole, not well-formed or was not decoded."""
        if self.fault:
            raise NoPair(self.fault)
        if LOST in self.text:
            raise NoPair("not in the encoding that the file states", Reason.BROKEN)
        # Recovering, so that a namespace that is declared around the record is no error; all others are.
        parser = etree.XMLParser(
            recover=True, resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
        )
        text = _ENTITY.sub(lambda found: _OF_HTML.get(found[1], found[0]), self.text)
        try:
            element = etree.fromstring(text, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise NoPair(f"no XML: {error}") from error
        faults = [entry.message for entry in parser.error_log if entry.domain_name != "NAMESPACE"]
        if faults or element is None:
            raise NoPair(f"no XML: {'; '.join(faults[:2])}")
        return element


def records(parts: Iterable[str], root: str, holders: Sequence[str], wholes: Sequence[str]) -> Iterator[Record]:
    """The start tags of `root` and `holders` as empty elements, and the `wholes` as they are, in order.

    A last record with a fault tells of a file that ends before its root does. Comments are passed over.
    Raises `NoPair` if there is no `root`.
    """
    scanner = _Scanner(parts)
    names = "|".join((root, *holders, *wholes))
    opening = re.compile(rf"<!--|<!\[CDATA\[|<!DOCTYPE|</{_PREFIX}{root}\s*>|<{_PREFIX}(?P<name>{names})(?=[\s/>])")
    begun = closed = False
    while (found := scanner.skip_to(opening)) is not None:
        name, line = found["name"], scanner.line
        try:
            if name is None:
                closed = found[0].startswith("</")
                _skip(scanner, found[0])
            elif name in wholes:
                yield _whole(scanner, name)
            else:
                begun = begun or name == root
                yield Record(name, line, scanner.take_tag().rstrip("/>") + "/>")
        except NoPair as error:
            if not scanner.ended:
                yield Record(wholes[0], line, fault=str(error))
    if not begun:
        raise NoPair(f"there is no <{root}> in it")
    if not closed:
        yield Record(wholes[0], scanner.line, fault=f"the file ends before </{root}>")


def _skip(scanner: "_Scanner", opening: str) -> None:
    """Pass over a comment, CDATA, a DOCTYPE with its entities, or a last end tag."""
    if opening.startswith("</"):
        scanner.take_tag()
    elif scanner.take_to(_SKIPPED[opening]).endswith("["):
        scanner.take_to(_SUBSET_END)


def _whole(scanner: "_Scanner", name: str) -> Record:
    """The element at the scanner. It ends where the next one begins, too: one that is not closed costs no other."""
    line = scanner.line
    text = scanner.take_tag()
    if not text.endswith("/>"):
        text += scanner.take_to(re.compile(rf"</{_PREFIX}{name}\s*>|(?=<{_PREFIX}{name}[\s/>])"))
    return Record(name, line, text)


class _Scanner:
    """A cursor that runs over text once; only what is around it is held."""

    def __init__(self, parts: Iterable[str]) -> None:
        self._parts = iter(parts)
        self._text = ""
        self._at = 0
        self.line = 1
        self.ended = False

    def skip_to(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Move to where the pattern is found next; None at the end of the text."""
        while (found := pattern.search(self._text, self._at)) is None:
            self._move(max(self._at, len(self._text) - _REACH))
            if not self._more():
                self._move(len(self._text))
                return None
        self._move(found.start())
        return found

    def take_to(self, pattern: re.Pattern[str]) -> str:
        """The text up to the end of the pattern, after which the cursor then stands.

        Raises `NoPair` if the text ends or gets too long before.
        """
        return self._take(pattern.search)

    def take_tag(self) -> str:
        """The tag at the cursor, as `take_to` does; only from its beginning can be told which `>` ends it."""
        return self._take(lambda text, _: _TAG.match(text, self._at))

    def _take(self, find: Callable[[str, int], re.Match[str] | None]) -> str:
        """`find` gets the text, and from where on it has not been searched."""
        searched = 0
        while (found := find(self._text, self._at + searched)) is None:
            searched = max(0, len(self._text) - self._at - _REACH)
            if searched > LONGEST:
                self._move(self._at + searched)
                raise NoPair(f"longer than {LONGEST:,} characters", Reason.TOO_LONG)
            if not self._more():
                self._move(len(self._text))
                raise NoPair("the file ends in the middle of it")
        start = self._at
        self._move(found.end())
        return self._text[start : found.end()]

    def _more(self) -> bool:
        part = next(self._parts, None)
        self.ended = part is None
        self._text = self._text[self._at :] + (part or "")
        self._at = 0
        return not self.ended

    def _move(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to


def local_name(element: Element) -> str:
    """The name of an element without its namespace."""
    return _without_namespace(element.tag)


def attribute(element: Element, name: str) -> str:
    """The value of the attribute of this name, in any namespace; empty if there is none."""
    return next((str(value) for key, value in element.items() if _without_namespace(key) == name), "")


def _without_namespace(name: object) -> str:
    return re.split("[}:]", str(name))[-1]


def children(element: Element, name: str) -> list[Element]:
    """The direct children of this name, in any namespace."""
    return [child for child in element if local_name(child) == name]


def text_of(element: Element, codes: frozenset[str]) -> str:
    """The text of a segment on one line, without the elements named in `codes`, which hold or stand for formatting, and
    without what somebody has deleted under track changes.

    A code that stands for a line break leaves a space.
    """
    parts = [element.text or ""]
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, inner in walk:
        if inner is element:
            continue
        if event == "end":
            parts.append(inner.tail or "")
        elif local_name(inner) in codes or inner.get("mtype") in _DELETED:
            parts.append(" " if _BREAKS & {inner.get("type"), inner.get("ctype"), inner.get("subType")} else "")
            walk.skip_subtree()
        else:
            parts.append(inner.text or "")
    return _SPACES.sub(" ", "".join(parts)).strip()


_BREAKS = frozenset({"lb", "pb", "x-br", "x-html-br", "xlf:lb"})
_DELETED = frozenset({"x-sdl-deleted", "x-sdl-feedback-deleted"})
_SPACES = re.compile(r"[ \t\r\n]+")
