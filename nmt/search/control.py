"""Attention that is steered from outside: what is added to its scores, and in which steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmt.arrays import Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class Control:
    """What is added to the scores of a sentence's source pieces, bias (S,), from the step `first` until before `last`.

    The logarithm of a factor: after the softmax, the weights are as if they had been multiplied by it, and their sum
    brought back to 1. Steps count the target pieces from 0.
    """

    bias: Floats
    first: int
    last: int


def total(controls: Sequence[Control], step: int) -> Floats | None:
    """The sum (S,) of those that hold in a step, if there are any."""
    active = [control.bias for control in controls if control.first <= step < control.last]
    return np.sum(active, axis=0) if active else None


def batch_control(sentences: Sequence[Sequence[Control]], steps: Integers) -> Floats | None:
    """What holds for each sentence of a batch in its step (B,): (B, S), for the longest that is controlled."""
    if not any(sentences):
        return None
    totals = [total(own, step) for own, step in zip(sentences, steps.tolist(), strict=True)]
    size = max((len(own) for own in totals if own is not None), default=0)
    if not size:
        return None
    padded = np.zeros((len(totals), size), np.float32)
    for row, own in zip(padded, totals, strict=True):
        if own is not None:
            row[: len(own)] = own
    return padded
