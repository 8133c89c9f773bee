"""XLIFF 1.2 and 2.x, the bilingual files of translation tools."""

from collections.abc import Iterator
from typing import NamedTuple

from training.corpus.files import TextFile, characters
from training.corpus.markup import Element, attribute, children, local_name, records, text_of
from training.corpus.records import Direction, Line, NoPair, Pair, Reason, Rejected, is_in

# The text in `g`, `pc` and `mrk` is part of the sentence; these hold or stand for codes.
_CODES = frozenset({"x", "bx", "ex", "bpt", "ept", "ph", "it", "sub", "sc", "ec", "sm", "em", "cp"})
# As new files have it, and a machine's suggestion; then as memoQ (`status`) and Trados (`conf`) call what nobody has
# confirmed. In small letters, for tools do not agree with themselves.
_UNFINISHED = frozenset({"new", "initial", "mt-suggestion", "leveraged-mt"})
_UNFINISHED |= {"notstarted", "partiallyedited", "pretranslated", "machinetranslated", "assembledfromfragments"}
_UNFINISHED |= {"draft", "unspecified"}
# The states of version 1.2 that are unfinished, and what the tools call sent back.
_UNFINISHED_STARTS = ("not ", "needs-", "rejected")
_NOT_STATED = ("", "")


class _Segment(NamedTuple):
    source: Element | None
    target: Element | None
    states: tuple[str, ...]


def read_xliff(file: TextFile, direction: Direction) -> Iterator[Line]:
    """The segments that are translated and not marked as unfinished; files of the opposite direction are turned."""
    languages = _NOT_STATED
    for record in records(characters(file), "xliff", ("file",), ("trans-unit", "unit")):
        try:
            if record.name in ("xliff", "file"):
                languages = _languages(record.parse()) or languages
                continue
            turned = _is_turned(languages, direction)
            segments = list(_segments(record.parse()))
        except NoPair as error:
            yield Rejected(error.reason, str(error), record.text, str(file), record.line)
            continue
        for segment in segments:
            yield _line(segment, turned, str(file), record.line)


def _languages(tag: Element) -> tuple[str, str] | None:
    """What a start tag says of them: `file` in version 1.2, `xliff` in 2.x."""
    found = [tag.get(old) or tag.get(new) or "" for old, new in _LANGUAGE_KEYS]
    return (found[0], found[1]) if any(found) else None


_LANGUAGE_KEYS = (("source-language", "srcLang"), ("target-language", "trgLang"))


def _is_turned(languages: tuple[str, str], direction: Direction) -> bool:
    """Whether source and target have to change places; a language that is not stated is taken to be right."""
    for wanted, turned in ((direction, False), (direction[::-1], True)):
        if all(not given or is_in(given, code) for given, code in zip(languages, wanted, strict=True)):
            return turned
    raise NoPair(f"the file is from {languages[0] or 'no language'} to {languages[1] or 'none'}", Reason.LANGUAGE)


def _segments(unit: Element) -> Iterator[_Segment]:
    """The segments of a unit: of version 2, of version 1.2 with `mrk`, or the whole unit."""
    if unit.get("translate") == "no":
        raise NoPair("marked as not to be translated", Reason.UNTRANSLATED)
    if local_name(unit) == "unit":
        for segment in children(unit, "segment"):
            yield _Segment(_child(segment, "source"), _child(segment, "target"), (segment.get("state", ""),))
        return
    target = _child(unit, "target")
    states = _states(unit, target)
    segmented = _child(unit, "seg-source")
    parts = {} if segmented is None or target is None else _marked(target)
    if not parts:
        yield _Segment(_child(unit, "source"), target, states)
        return
    confirmed = {
        attribute(segment, "id"): attribute(segment, "conf") or "Unspecified"
        for definitions in children(unit, "seg-defs")
        for segment in children(definitions, "seg")
    }
    for number, source in _marked(segmented).items():
        yield _Segment(source, parts.get(number), (*states, confirmed.get(number, "")))


def _states(unit: Element, target: Element | None) -> tuple[str, ...]:
    """What the standard, Phrase and memoQ say of how far a unit of version 1.2 is."""
    return (
        "not approved" if unit.get("approved") == "no" else "",
        "not confirmed" if attribute(unit, "confirmed") == "0" else "",
        attribute(unit, "status"),
        "" if target is None else target.get("state") or target.get("state-qualifier", ""),
    )


def _child(element: Element, name: str) -> Element | None:
    return next(iter(children(element, name)), None)


def _marked(element: Element) -> dict[str, Element]:
    """The segments that are marked within a unit of version 1.2, by their number."""
    marks = [mark for mark in element.iter() if local_name(mark) == "mrk" and mark.get("mtype") == "seg"]
    return {mark.get("mid", ""): mark for mark in marks}


def _line(segment: _Segment, turned: bool, file: str, line: int) -> Line:
    source, target = (
        text_of(element, _CODES) if element is not None else "" for element in (segment.source, segment.target)
    )
    if source and not target:
        return Rejected(Reason.UNTRANSLATED, "", source, file, line)
    for state in segment.states:
        if state.lower() in _UNFINISHED or state.lower().startswith(_UNFINISHED_STARTS):
            return Rejected(Reason.DRAFT, state, f"{source} → {target}", file, line)
    return Pair(target, (source,), file, line) if turned else Pair(source, (target,), file, line)
