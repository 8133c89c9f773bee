"""TMX 1.1 to 1.4b, as translation memories export it."""

from collections.abc import Iterator

from training.corpus.files import TextFile, characters
from training.corpus.markup import Element, children, records, text_of
from training.corpus.records import Direction, Line, NoPair, Pair, Reason, Rejected, is_in

# They hold codes of the original document, and `sub` within them text that is no part of the sentence; the text in
# `hi` is (TMX 1.4b, section "Content markup").
_CODES = frozenset({"bpt", "ept", "it", "ph", "ut", "sub"})
_LANGUAGE_KEYS = ("{http://www.w3.org/XML/1998/namespace}lang", "lang", "xml:lang")


def read_tmx(file: TextFile, direction: Direction) -> Iterator[Line]:
    """The units that have both languages; each variant of the source is a pair with all variants of the target."""
    for record in records(characters(file), "tmx", (), ("tu",)):
        if record.name == "tmx":
            continue
        try:
            sources, targets = _variants(record.parse(), direction)
        except NoPair as error:
            yield Rejected(error.reason, str(error), record.text, str(file), record.line)
            continue
        for source in sources:
            yield Pair(source, tuple(targets), str(file), record.line)


def _variants(unit: Element, direction: Direction) -> tuple[list[str], list[str]]:
    """The different texts of each of the two languages."""
    variants = [(_language(variant), variant) for variant in children(unit, "tuv")]
    sides: list[list[str]] = []
    for wanted in direction:
        segments = [
            segment for given, variant in variants if is_in(given, wanted) for segment in children(variant, "seg")
        ]
        if not segments:
            known = ", ".join(given or "none" for given, _ in variants)
            raise NoPair(f"no {wanted}; the unit is in {known or 'no language'}", Reason.LANGUAGE)
        sides.append(list(dict.fromkeys(text_of(segment, _CODES) for segment in segments)))
    return sides[0], sides[1]


def _language(variant: Element) -> str:
    return next((str(code) for key in _LANGUAGE_KEYS if (code := variant.get(key))), "")
