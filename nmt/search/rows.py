"""What a search remembers of the running batch, which grows and shrinks with it."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nmt.arrays import Integers


class Rows:
    """Base of dataclasses whose fields are arrays of B sentences: (B,), or, when named in `fills`, (B, K, ...).

    `fills` has what an empty row holds; fields that are no arguments are worked out from the others. All that a search
    remembers of its rows comes and goes through these two methods, so that no part of it can get out of step.
    """

    __slots__ = ()
    fills: ClassVar[Mapping[str, float]] = {}

    def select(self, sentences: Integers, rows: int) -> Self:
        """The given sentences with `rows` rows each: more rows come empty, fewer must have been empty."""
        return type(self)(**{name: self._resized(name, array[sentences], rows) for name, array in self._arrays()})

    def join(self, other: Self) -> Self:
        """The sentences of both, which have the same number of rows."""
        return type(self)(**{name: np.concatenate([array, getattr(other, name)]) for name, array in self._arrays()})

    def _arrays(self) -> list[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in fields(self) if field.init]  # type: ignore[arg-type]

    def _resized(self, name: str, array: NDArray[Any], rows: int) -> NDArray[Any]:
        if name not in self.fills or array.shape[1] == rows:
            return array
        beyond = [(0, 0)] * array.ndim
        beyond[1] = 0, max(0, rows - array.shape[1])
        return np.pad(array[:, :rows], beyond, constant_values=self.fills[name])
