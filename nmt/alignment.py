"""From attention between pieces to weights and links between words, pieces or characters."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import regex

from nmt.arrays import Floats, Integers
from nmt.text.symbols import UNSPACED
from nmt.text.tokenizer import Span

Level = Literal["words", "pieces", "characters"]

_SPACED = rf"[[\w\p{{M}}]--[{UNSPACED}\p{{Cf}}]]"
_WORDS = regex.compile(
    r"(?V1)\p{RI}{2}"  # a flag
    rf"|(?:(?=[{UNSPACED}])\w\p{{M}}*)"
    # Letters, digits, marks; inside also a sign, as in don't, 3.50 and U-Bahn, and what cannot be seen.
    rf"|{_SPACED}+(?:(?:[.,'’\-]|\p{{Cf}}+){_SPACED}+)*"
    # A sign that can be seen, or an emoji made of several.
    r"|[^\w\s\p{Cc}\p{Cf}](?:[\p{M}\p{Emoji_Modifier}\u200d]|(?<=\u200d)[^\w\s])*"
)
_CHARACTERS = regex.compile(r"(?!\s)\X")  # with their marks and joiners, as a reader counts them
_LEAST_LOOKED_AT = 0.1  # a source unit that hardly got any weight must not draw links by its rarity


@dataclass(frozen=True, slots=True)
class Unit:
    """A word, a piece or a character: `text[start:end]` of the source or target text."""

    text: str
    start: int
    end: int

    def moved(self, shift: int) -> "Unit":
        """That many characters further on."""
        return Unit(self.text, self.start + shift, self.end + shift)


@dataclass(frozen=True, slots=True)
class Link:
    """A hard alignment between two units, by index, and the weight behind it."""

    source: int
    target: int
    weight: float


@dataclass(frozen=True)
class Alignment:
    """Which source units each target unit came from: weights (target units, source units), rows sum to 1."""

    level: Level
    source: list[Unit]
    target: list[Unit]
    weights: Floats

    @cached_property
    def links(self) -> list[Link]:
        """Each target unit with the source unit that it looked at most, compared with what that unit got in all.

        Source units compete: one that every target unit looks at a little, as at the end of a sentence, says little.
        Characters of one piece have equal weights: they are linked to the characters of the other piece in order.
        docs/alignment.md has the error rates of this and of other decisions.
        """
        if not self.source:
            return []
        shares = self.weights / np.maximum(self.weights.sum(axis=0), _LEAST_LOOKED_AT)
        best = _in_order(shares)
        return [Link(int(s), t, float(self.weights[t, s])) for t, s in enumerate(best)]

    @property
    def pharaoh(self) -> str:
        """The links as `source-target` pairs of indices."""
        return " ".join(
            f"{link.source}-{link.target}" for link in sorted(self.links, key=lambda k: (k.source, k.target))
        )


def _in_order(shares: Floats) -> Integers:
    """For each row the column of its largest share.

    Of a run of m equal rows, whose n largest shares are equal, row k takes the (k·n // m)-th.
    """
    best: Integers = shares.argmax(axis=1)
    starts = np.flatnonzero(np.append(True, (shares[1:] != shares[:-1]).any(axis=1)))
    for start, end in zip(starts, np.append(starts[1:], len(shares)), strict=True):
        if end - start > 1:
            largest = np.flatnonzero(shares[start] == shares[start, best[start]])
            best[start:end] = largest[np.arange(end - start) * len(largest) // (end - start)]
    return best


def words(text: str) -> list[Unit]:
    """The words and signs of a text."""
    return _found(_WORDS, text)


def characters(text: str) -> list[Unit]:
    """The characters of a text but white space, each with its marks (extended grapheme clusters, UAX 29)."""
    return _found(_CHARACTERS, text)


def visible_pieces(text: str, spans: Sequence[Span]) -> list[Unit]:
    """The pieces that stand for characters; the bytes of one character count as one."""
    return [Unit(text[start:end], start, end) for start, end in dict.fromkeys(spans) if start < end]


def align(
    level: Level,
    source: tuple[str, Sequence[Span]],
    target: tuple[str, Sequence[Span]],
    weights: Floats,
) -> Alignment:
    """Carry attention over to words, visible pieces or characters.

    source and target: a text and the span in it of each piece. weights (target pieces, source pieces). A unit takes
    the mean of the rows of its pieces and the sum of their columns, each piece counted by how much of it lies in the
    unit. What went to pieces that stand for no character, such as the end of sentence, is shared out in proportion;
    a row with nothing left says nothing, and is uniform.
    """
    source_units, target_units = (units_of(level, text, spans) for text, spans in (source, target))
    rows, columns = overlaps(target[1], target_units), overlaps(source[1], source_units)
    mixed = rows.T @ weights @ columns
    totals = mixed.sum(axis=1, keepdims=True)
    uniform = np.full_like(mixed, 1 / max(1, len(source_units)))
    return Alignment(level, source_units, target_units, np.divide(mixed, totals, out=uniform, where=totals > 1e-6))


def units_of(level: Level, text: str, spans: Sequence[Span]) -> list[Unit]:
    """What a text is counted in; spans: of its pieces."""
    match level:
        case "words":
            return words(text)
        case "pieces":
            return visible_pieces(text, spans)
        case "characters":
            return characters(text)


def _found(pattern: regex.Pattern[str], text: str) -> list[Unit]:
    # To let other threads run while it looks for each unit would take longer than to find all.
    found = pattern.finditer(text, concurrent=False)
    return [Unit(match.group(), match.start(), match.end()) for match in found]


def overlaps(spans: Sequence[Span], units: Sequence[Unit]) -> Floats:
    """(pieces, units): the share of each piece's characters that lies in each unit."""
    starts, ends = np.array(spans, dtype=np.int64).reshape(-1, 2).T[:, :, None]
    unit_starts = np.array([unit.start for unit in units], dtype=np.int64)
    unit_ends = np.array([unit.end for unit in units], dtype=np.int64)
    shared = np.clip(np.minimum(ends, unit_ends) - np.maximum(starts, unit_starts), 0, None)
    shares: Floats = (shared / np.maximum(1, ends - starts)).astype(np.float32)
    return shares


def merge(level: Level, parts: Sequence[tuple[Alignment, int, int]]) -> Alignment:
    """The alignment of a text from those of its sentences, each with its offset in source and target text."""
    if [shifts for _, *shifts in parts] == [[0, 0]]:
        return parts[0][0]
    source = [unit.moved(shift) for part, shift, _ in parts for unit in part.source]
    target = [unit.moved(shift) for part, _, shift in parts for unit in part.target]
    weights = np.zeros((len(target), len(source)), dtype=np.float32)
    row = column = 0
    for part, _, _ in parts:
        height, width = part.weights.shape
        weights[row : row + height, column : column + width] = part.weights
        row, column = row + height, column + width
    return Alignment(level, source, target, weights)
