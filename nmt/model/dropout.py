"""Dropout that does not spend its time drawing random numbers."""

from typing import Any

import torch
from torch import Tensor, nn

from nmt.kernels import training


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) whose mask costs one random byte an element.

    `torch.nn.Dropout` draws one double an element, on a CPU one after the other: a twelfth of a whole training update.
    The rate is rounded to 1/256, and the scale follows the rounded rate, so that the expectation is exact.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.dropped_bytes = min(255, round(rate * 256))

    def forward(self, values: Tensor) -> Tensor:
        """Zero each element with the probability `rate` and scale the others up; in evaluation, change nothing."""
        if not self.training or not self.dropped_bytes:
            return values
        words = torch.empty(values.numel() // 8 + 1, dtype=torch.int64, device=values.device)
        words.random_(-(2**63), None)
        random_bytes = words.view(torch.uint8)[: values.numel()].view(values.shape)
        kept: Tensor = _Drop.apply(values, random_bytes, self.dropped_bytes)  # type: ignore[no-untyped-call]
        return kept

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        return f"rate={self.dropped_bytes / 256:.3f}"


class _Drop(torch.autograd.Function):
    """Both ways are the same: what was zeroed gets no gradient, and the other gradients are scaled up."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, random_bytes: Tensor, dropped: int) -> Tensor:
        ctx.save_for_backward(random_bytes)
        ctx.dropped = dropped
        return _drop(values, random_bytes, dropped)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (random_bytes,) = ctx.saved_tensors
        return _drop(gradients[0], random_bytes, ctx.dropped), None, None


def _drop(values: Tensor, random_bytes: Tensor, dropped: int) -> Tensor:
    scale = 256 / (256 - dropped)
    if training.usable(values):
        return training.drop(values.contiguous(), random_bytes, dropped, scale)
    return values * (random_bytes >= dropped) * scale
