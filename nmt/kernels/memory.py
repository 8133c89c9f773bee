"""What a decode step looks at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from nmt.arrays import Floats, Integers
from nmt.kernels.addresses import address

_BIAS, _PLACES = 2, 3


@dataclass(frozen=True, slots=True)
class Memory:
    """Of B sentences: held, of each its values (S, M) and keys (S, A), arrays of its own, or one that is both, so that
    sentences come and go and nothing of the others is touched.

    table (B, 4): for the kernels, where these lie, and so what is added to the scores of its attention, if anything is,
    and S · bias (B, S): that which is added.
    """

    held: tuple[tuple[Floats, Floats], ...]
    table: Integers
    bias: Floats | None = None

    @classmethod
    def of(cls, held: Sequence[tuple[Floats, Floats]]) -> Self:
        """Of sentences with dense values and keys."""
        rows = [(address(values), address(keys), 0, len(values)) for values, keys in held]
        return cls(tuple(held), np.array(rows, np.int64))

    @property
    def longest(self) -> int:
        """Places of the longest sentence."""
        return int(self.table[:, _PLACES].max(initial=0))

    def select(self, sentences: Integers) -> Self:
        """The given sentences."""
        return replace(self, held=tuple(self.held[i] for i in sentences.tolist()), table=self.table[sentences])

    def join(self, other: Self) -> Self:
        """The sentences of both."""
        return replace(self, held=self.held + other.held, table=np.concatenate([self.table, other.table]))

    def controlled(self, control: Floats) -> Self:
        """The same with control (B, up to S) added to the scores."""
        bias = np.zeros((len(self.held), self.longest), np.float32)
        bias[:, : control.shape[1]] = control
        table = self.table.copy()
        table[:, _BIAS] = bias.ctypes.data + np.arange(len(bias)) * bias.strides[0]
        return replace(self, table=table, bias=bias)
