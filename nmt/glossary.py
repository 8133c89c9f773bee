"""Terms with a fixed translation: where a sentence has them, and where its translation has them in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nmt.alignment import Unit, overlaps
from nmt.arrays import Floats
from nmt.text.normalize import NormalizedText
from nmt.text.symbols import occurrences
from nmt.text.tokenizer import Pieces


@dataclass(frozen=True, slots=True)
class Term:
    """A term of the glossary, its translation, and where it stands: `text[start:end]` of a sentence."""

    source: str
    target: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PlacedTerm:
    """A term of the glossary as the translation has it: both spans, in characters."""

    source: Unit
    target: Unit


def find_terms(sentence: NormalizedText, glossary: Mapping[str, str]) -> list[Term]:
    """The terms of a sentence, in order. Where several overlap, the longest counts.

    They stand there as whole words, in the case of the glossary or with the first letter in upper case.
    """
    found: list[Term] = []
    for source in sorted(glossary, key=lambda term: (-len(term), term)):
        for start, end in occurrences(source, sentence.text):
            own = Term(source, glossary[source], *sentence.original_span(start, end))
            if all(own.end <= other.start or other.end <= own.start for other in found):
                found.append(own)
    return sorted(found, key=lambda term: term.start)


def place_terms(terms: Sequence[Term], source: Pieces, target: Pieces, weights: Floats) -> list[PlacedTerm]:
    """Each term with that of its translations in the target text that looks at it most; weights (T, S).

    A place in the target text belongs to one term, the one that it looks at most; a term that gets none is left out.
    """
    options = []
    for number, term in enumerate(terms):
        own = Unit(source.text[term.start : term.end], term.start, term.end)
        looked = weights @ overlaps(source.spans, [own])
        places = [Unit(target.text[start:end], start, end) for start, end in occurrences(term.target, target.text)]
        shares = (overlaps(target.spans, places).T @ looked).ravel().tolist()
        options += [(share, number, PlacedTerm(own, place)) for share, place in zip(shares, places, strict=True)]
    placed = dict[int, PlacedTerm]()
    for _, number, option in sorted(options, key=lambda option: -option[0]):
        if number not in placed and option.target not in {other.target for other in placed.values()}:
            placed[number] = option
    return [placed[number] for number in sorted(placed)]
