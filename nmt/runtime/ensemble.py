"""Several models that write one translation together, as one stepper over theirs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nmt.model.mixture import Mixing, mix
from nmt.search.stepper import Step, Stepper

EnsembleState = tuple[Any, ...]
"""The state of each member."""


class EnsembleStepper:
    """Members that know the same pieces: they mix their probabilities at each step; attention is the mean of theirs."""

    def __init__(self, members: Sequence[Stepper[Any]], mixing: Mixing = "log_linear") -> None:
        self._members, self._mixing = list(members), mixing

    def start(self, sources: Sequence[Sequence[int]]) -> EnsembleState:
        """Each member reads the sources."""
        return tuple(member.start(sources) for member in self._members)

    def step(self, pieces: Tensor, state: EnsembleState, control: Tensor | None = None) -> Step[EnsembleState]:
        """pieces (B, K): one piece a row, the same for all members; so is what controls attention."""
        steps = [member.step(pieces, own, control) for member, own in zip(self._members, state, strict=True)]
        log_probs = mix([step.log_probs for step in steps], self._mixing)
        weights = torch.stack([step.weights for step in steps]).mean(dim=0)
        return Step(log_probs, weights, tuple(step.state for step in steps))

    def select(self, state: EnsembleState, sentences: Tensor, rows: Tensor) -> EnsembleState:
        """The same sentences and rows of each member."""
        return tuple(member.select(own, sentences, rows) for member, own in zip(self._members, state, strict=True))

    def join(self, first: EnsembleState, second: EnsembleState) -> EnsembleState:
        """Both, for each member."""
        return tuple(member.join(*own) for member, *own in zip(self._members, first, second, strict=True))


def together(steppers: Sequence[Stepper[Any]], mixing: Mixing) -> Stepper[Any]:
    """An ensemble of several; one alone as it is, at no cost a step."""
    return steppers[0] if len(steppers) == 1 else EnsembleStepper(steppers, mixing)
