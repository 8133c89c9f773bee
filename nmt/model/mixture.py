"""What several models say together."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Mixing = Literal["log_linear", "mean"]


def mix(log_probs: Sequence[Tensor], mixing: Mixing) -> Tensor:
    """Log-probabilities (..., V) of each model → those of all, which are normalized as well.

    ``log_linear``: the mean of the logarithms, normalized, so what one model finds impossible stays unlikely; ``mean``:
    the mean of the probabilities, so one model is enough. Of one model, its own.
    """
    if len(log_probs) == 1:
        return log_probs[0]
    stacked = torch.stack(list(log_probs))
    if mixing == "mean":
        return stacked.logsumexp(dim=0) - math.log(len(log_probs))
    return stacked.mean(dim=0).log_softmax(dim=-1)
