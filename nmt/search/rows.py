"""Tensors of the running batch that grow and shrink with it."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional


class Rows:
    """Base of dataclasses whose fields are tensors of B sentences: (B,), or, when named in `fills`, (B, K, ...).

    `fills` has what an empty row holds. All that a search remembers of its rows comes and goes through these two
    methods, so that no part of it can get out of step with the others.
    """

    __slots__ = ()
    fills: ClassVar[Mapping[str, float]] = {}

    def select(self, sentences: Tensor, rows: int) -> Self:
        """The given sentences with `rows` rows each: more rows come empty, fewer must have been empty."""
        return type(self)(**{name: self._resized(name, tensor[sentences], rows) for name, tensor in self._tensors()})

    def join(self, other: Self) -> Self:
        """The sentences of both, which have the same number of rows."""
        return type(self)(**{name: torch.cat([tensor, getattr(other, name)]) for name, tensor in self._tensors()})

    def _tensors(self) -> list[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in fields(self)]  # type: ignore[arg-type]

    def _resized(self, name: str, tensor: Tensor, rows: int) -> Tensor:
        if name not in self.fills or tensor.size(1) == rows:
            return tensor
        beyond = (0, 0) * (tensor.dim() - 2) + (0, rows - tensor.size(1))
        return functional.pad(tensor, beyond, value=self.fills[name])
