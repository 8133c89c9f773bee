"""Cutting words into other pieces at random, the same ones in every process that has the same seed.

SentencePiece can sample as well, but mixes something of the process into its seed: a run that is stopped and goes on in
another process would read other pieces than one that was not.
"""

import math
from bisect import bisect
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from random import Random
from typing import Protocol

from sentencepiece import SentencePieceProcessor

_SPACE = "▁"
_BEST = 64
"""Cuts of a word to choose from, as in Kudo 2018, section 4: the others hardly ever come up."""


class Cutter(Protocol):
    """Knows the ways to cut a word, written as SentencePiece does: `▁` for the space before it."""

    def cut(self, word: str, random: Random) -> Sequence[int]:
        """One of them; empty if there is none to choose."""


class UnigramCutter:
    """Each cut as often as its probability to the power of `alpha` says (Kudo 2018, section 3.2)."""

    def __init__(self, processor: SentencePieceProcessor, alpha: float) -> None:
        self._processor, self._alpha = processor, alpha
        self._choices = lru_cache(maxsize=100_000)(self._find)

    def cut(self, word: str, random: Random) -> Sequence[int]:
        """One of the best cuts."""
        cuts, weights = self._choices(word)
        if not cuts:
            return ()
        return cuts[bisect(weights, random.random() * weights[-1], 0, len(cuts) - 1)]  # faster than `random.choices`

    def _find(self, word: str) -> tuple[list[Sequence[int]], list[float]]:
        """The best cuts that say the same, and their weights added up."""
        found = self._processor.nbest_encode(word.removeprefix(_SPACE), nbest_size=_BEST)
        cuts = [ids for ids in found if "".join(map(str, map(self._processor.id_to_piece, ids))) == word]
        scores = [sum(self._processor.get_score(i) for i in ids) for ids in cuts]
        best = max(scores, default=0.0)
        return cuts, list(accumulate(math.exp(self._alpha * (score - best)) for score in scores))


class BpeCutter:
    """Merges as BPE does, but passes over each possible merge with the probability `alpha`, at every step anew.

    Source: BPE-dropout, Provilkov et al. 2020, algorithm 1.
    """

    def __init__(self, processor: SentencePieceProcessor, alpha: float) -> None:
        self._alpha = alpha
        pieces = range(processor.get_piece_size())
        self._ids = {str(processor.id_to_piece(i)): i for i in pieces if not processor.is_control(i)}
        self._scores = {piece: float(processor.get_score(i)) for piece, i in self._ids.items()}

    def cut(self, word: str, random: Random) -> Sequence[int]:
        """The word from its characters up; empty if one of them is no piece."""
        symbols = list(word)
        if not all(symbol in self._ids for symbol in symbols):
            return ()
        while True:
            joined = enumerate(left + right for left, right in pairwise(symbols))
            merges = [(at, own) for at, own in joined if own in self._ids and random.random() >= self._alpha]
            if not merges:
                return [self._ids[symbol] for symbol in symbols]
            at, best = max(merges, key=lambda merge: (self._scores[merge[1]], -merge[0]))
            symbols[at : at + 2] = [best]


class Resampler:
    """Cuts the words of sentences anew; what it asks of each piece, for each word of each batch, it has in lists."""

    def __init__(self, processor: SentencePieceProcessor, cutter: Cutter) -> None:
        pieces = range(processor.get_piece_size())
        self._written = [str(processor.id_to_piece(i)) for i in pieces]
        self._begins = [own.startswith(_SPACE) for own in self._written]
        self._is_byte = [bool(processor.is_byte(i)) for i in pieces]
        self._cutter = cutter

    def resample(self, sentence: Iterable[int], random: Random) -> list[int]:
        """The same text in other pieces; a word stays as it is if there is no other way, or if bytes spell it."""
        words: list[list[int]] = []
        for piece in sentence:
            if words and not self._begins[piece]:
                words[-1].append(piece)
            else:
                words.append([piece])
        return [piece for own in words for piece in self._cut(own, random)]

    def _cut(self, own: list[int], random: Random) -> Sequence[int]:
        if any(map(self._is_byte.__getitem__, own)):
            return own
        return self._cutter.cut("".join(map(self._written.__getitem__, own)), random) or own
