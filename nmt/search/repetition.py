"""What keeps a translation from saying the same again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np

from nmt.arrays import Floats, Integers
from nmt.config import SearchConfig
from nmt.search.rows import Rows
from nmt.text.tokenizer import PAD

LONGEST_LOOP = 12
"""Pieces of the longest unit whose repetition in a row is found."""

_NOTHING = -1


@dataclass(slots=True)
class Repetition(Rows):
    """The last pieces of each row, and what must not come again.

    history (B, K, T): the newest piece last; rows with fewer are filled up in front · ngram (B,): no run of that many
    pieces stands twice, 0 allows it · repeats (B,): no unit stands more often than that in a row, 0 allows it · active:
    whether any sentence forbids anything. Where none does, no history is kept.
    """

    history: Integers
    ngram: Integers
    repeats: Integers
    active: bool = field(init=False)
    fills: ClassVar = {"history": _NOTHING}

    def __post_init__(self) -> None:
        self.active = bool(self.ngram.any() or self.repeats.any())

    @classmethod
    def start(cls, configs: Sequence[SearchConfig], rows: int) -> Self:
        """No pieces yet."""
        return cls(
            np.empty((len(configs), rows, 0), dtype=np.int64),
            np.array([config.no_repeat_ngram for config in configs]),
            np.array([config.max_repeats for config in configs]),
        )

    def select(self, sentences: Integers, rows: int) -> Self:
        """As of all rows, without the places in front in which none of them has a piece any more."""
        chosen = Rows.select(self, sentences, rows)
        used = (chosen.history != _NOTHING).any(axis=(0, 1))
        chosen.history = chosen.history[..., int(used.argmax()) if used.any() else used.size :]
        return chosen

    def join(self, other: Self) -> Self:
        """The shorter history is filled up in front."""
        size = max(self.history.shape[2], other.history.shape[2])
        histories = [_delayed(part.history, size - part.history.shape[2]) for part in (self, other)]
        ngram, repeats = np.concatenate([self.ngram, other.ngram]), np.concatenate([self.repeats, other.repeats])
        return type(self)(np.concatenate(histories), ngram, repeats)

    def follow(self, parents: Integers, pieces: Integers) -> None:
        """Each row becomes its parent (B, K), extended by its piece (B, K)."""
        if self.active:
            own = self.history[np.arange(len(parents))[:, None], parents]
            self.history = np.concatenate([own, pieces[..., None]], axis=-1)

    def filter(self, log_probs: Floats) -> Floats:
        """log_probs (B, K, V), with -inf for the pieces that must not come now."""
        if self.history.shape[2] == 0 or not self.active:
            return log_probs
        forbidden = np.concatenate([self._ends_of_ngrams(), self._ends_of_loops()], axis=-1)
        filtered = log_probs.copy()
        np.put_along_axis(filtered, forbidden, np.float32(-np.inf), axis=2)
        return filtered

    def _ends_of_ngrams(self) -> Integers:
        """(B, K, T): the pieces that followed where the last n - 1 pieces stood before; PAD for none."""
        history, size = self.history, self.history.shape[2]
        again = (history != _NOTHING) & (self.ngram > 0)[:, None, None]
        for back in range(1, int(self.ngram.max())):
            if back > size:
                same = np.zeros_like(again)
            else:
                before = _delayed(history, back)[..., :size]
                same = (before == history[..., size - back, None]) & (before != _NOTHING)
            again &= same | (back >= self.ngram)[:, None, None]
        return np.where(again, history, PAD)

    def _ends_of_loops(self) -> Integers:
        """(B, K, up to LONGEST_LOOP): the pieces that would complete one repetition too many; PAD for none.

        With h the history, a unit of p pieces stands r + 1 times in a row when h[t] = h[t - p] for the last r · p
        places; the piece to come is the last of these.
        """
        history, found = self.history, []
        for period in range(1, min(LONGEST_LOOP, history.shape[2]) + 1):
            same = (history[..., period:] == history[..., :-period]) & (history[..., :-period] != _NOTHING)
            run = np.flip(same, -1).cumprod(-1).sum(-1)
            piece = history[..., -period]
            many = (run >= self.repeats[:, None] * period - 1) & (self.repeats > 0)[:, None]
            found.append(np.where(many & (piece != _NOTHING), piece, PAD))
        return np.stack(found, axis=-1)


def _delayed(history: Integers, places: int) -> Integers:
    """(B, K, T) → (B, K, places + T), filled up in front."""
    return np.pad(history, [(0, 0), (0, 0), (places, 0)], constant_values=_NOTHING)
