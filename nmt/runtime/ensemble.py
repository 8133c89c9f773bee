"""Several models that write one translation together, as one stepper over theirs."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from nmt.arrays import Floats, Integers
from nmt.search.stepper import Step, Stepper

Mixing = Literal["log_linear", "mean"]

EnsembleState = tuple[Any, ...]
"""The state of each member."""


class EnsembleStepper:
    """Members that know the same pieces: they mix their probabilities at each step; attention is the mean of theirs."""

    def __init__(self, members: Sequence[Stepper[Any]], mixing: Mixing = "log_linear") -> None:
        self._members, self._mixing = list(members), mixing

    def start(self, sources: Sequence[Sequence[int]]) -> EnsembleState:
        """Each member reads the sources."""
        return tuple(member.start(sources) for member in self._members)

    def step(self, pieces: Integers, state: EnsembleState, control: Floats | None = None) -> Step[EnsembleState]:
        """pieces (B, K): one piece a row, the same for all members; so is what controls attention."""
        steps = [member.step(pieces, own, control) for member, own in zip(self._members, state, strict=True)]
        log_probs = mix([step.log_probs for step in steps], self._mixing)
        weights = np.mean([step.weights for step in steps], axis=0)
        return Step(log_probs, weights, tuple(step.state for step in steps))

    def select(self, state: EnsembleState, sentences: Integers, rows: Integers) -> EnsembleState:
        """The same sentences and rows of each member."""
        return tuple(member.select(own, sentences, rows) for member, own in zip(self._members, state, strict=True))

    def join(self, first: EnsembleState, second: EnsembleState) -> EnsembleState:
        """Both, for each member."""
        return tuple(member.join(*own) for member, *own in zip(self._members, first, second, strict=True))


def ensemble_of(steppers: Sequence[Stepper[Any]], mixing: Mixing) -> Stepper[Any]:
    """An ensemble of several; one alone as it is, at no cost a step."""
    return steppers[0] if len(steppers) == 1 else EnsembleStepper(steppers, mixing)


def mix(log_probs: Sequence[Floats], mixing: Mixing) -> Floats:
    """Log-probabilities (..., V) of each model → those of all, which are normalized as well.

    ``log_linear``: the mean of the logarithms, normalized, so what one model finds impossible stays unlikely; ``mean``:
    the mean of the probabilities, so one model is enough.
    """
    if mixing == "mean":
        mean: Floats = _log_sum(np.stack(log_probs), axis=0)[0] - np.float32(math.log(len(log_probs)))
        return mean
    logarithms: Floats = np.mean(log_probs, axis=0)
    return logarithms - _log_sum(logarithms, axis=-1)


def _log_sum(values: Floats, axis: int) -> Floats:
    """log Σ eˣ over an axis, which stays; -inf where all are."""
    most = np.maximum(values.max(axis=axis, keepdims=True), np.finfo(values.dtype).min)
    with np.errstate(divide="ignore"):
        logarithms: Floats = most + np.log(np.exp(values - most).sum(axis=axis, keepdims=True))
    return logarithms
