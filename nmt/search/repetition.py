"""What keeps a translation from saying the same again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

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
    pieces stands twice, 0 allows it · repeats (B,): no unit stands more often than that in a row, 0 allows it.
    """

    history: Tensor
    ngram: Tensor
    repeats: Tensor
    fills: ClassVar = {"history": _NOTHING}

    @classmethod
    def start(cls, configs: Sequence[SearchConfig], rows: int) -> Self:
        """No pieces yet."""
        return cls(
            torch.empty(len(configs), rows, 0, dtype=torch.long),
            torch.tensor([config.no_repeat_ngram for config in configs]),
            torch.tensor([config.max_repeats for config in configs]),
        )

    @property
    def active(self) -> bool:
        """Whether any sentence forbids anything. Where none does, no history is kept."""
        return bool((self.ngram + self.repeats).any())

    def join(self, other: Self) -> Self:
        """The shorter history is filled up in front."""
        size = max(self.history.size(2), other.history.size(2))
        histories = [
            functional.pad(part.history, (size - part.history.size(2), 0), value=_NOTHING) for part in (self, other)
        ]
        ngram, repeats = torch.cat([self.ngram, other.ngram]), torch.cat([self.repeats, other.repeats])
        return type(self)(torch.cat(histories), ngram, repeats)

    def follow(self, parents: Tensor, pieces: Tensor) -> None:
        """Each row becomes its parent (B, K), extended by its piece (B, K)."""
        if self.active:
            own = parents.unsqueeze(-1).expand(-1, -1, self.history.size(2))
            self.history = torch.cat([self.history.gather(1, own), pieces.unsqueeze(-1)], dim=-1)

    def filter(self, log_probs: Tensor) -> Tensor:
        """log_probs (B, K, V), with -inf for the pieces that must not come now."""
        if self.history.size(2) == 0 or not self.active:
            return log_probs
        forbidden = torch.cat([self._ends_of_ngrams(), self._ends_of_loops()], dim=-1)
        return log_probs.scatter(2, forbidden, float("-inf"))

    def _ends_of_ngrams(self) -> Tensor:
        """(B, K, T): the pieces that followed where the last n - 1 pieces stood before; PAD for none."""
        history, size = self.history, self.history.size(2)
        again = (history != _NOTHING) & (self.ngram > 0)[:, None, None]
        for back in range(1, int(self.ngram.max())):
            if back > size:
                same = torch.zeros_like(again)
            else:
                before = functional.pad(history, (back, 0), value=_NOTHING)[..., :size]
                same = (before == history[..., size - back, None]) & (before != _NOTHING)
            again &= same | (back >= self.ngram)[:, None, None]
        return history.where(again, PAD)

    def _ends_of_loops(self) -> Tensor:
        """(B, K, up to LONGEST_LOOP): the pieces that would complete one repetition too many; PAD for none.

        With h the history, a unit of p pieces stands r + 1 times in a row when h[t] = h[t - p] for the last r · p
        places; the piece to come is the last of these.
        """
        history, found = self.history, []
        for period in range(1, min(LONGEST_LOOP, history.size(2)) + 1):
            same = (history[..., period:] == history[..., :-period]) & (history[..., :-period] != _NOTHING)
            run = same.flip(-1).cumprod(-1).sum(-1)
            piece = history[..., -period]
            many = (run >= self.repeats.unsqueeze(1) * period - 1) & (self.repeats > 0).unsqueeze(1)
            found.append(piece.where(many & (piece != _NOTHING), PAD))
        return torch.stack(found, dim=-1)
