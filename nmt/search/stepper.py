"""All that search knows of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from nmt.arrays import Floats, Integers

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Step(Generic[State]):
    """What one decode step gives, for K rows of each of B sentences.

    log_probs (B, K, V) of the next piece, for search to overwrite · weights (B, K, S), the attention that went into it,
    0 behind the end of a source; S is the size of the longest.
    """

    log_probs: Floats
    weights: Floats
    state: State


class Stepper(Protocol[State]):
    """A model as search sees it. A state holds B sentences with K rows each; search never looks inside."""

    def start(self, sources: Sequence[Sequence[int]]) -> State:
        """Read the sources: the state before the first piece, with one row a sentence."""

    def step(self, pieces: Integers, state: State, control: Floats | None = None) -> Step[State]:
        """pieces (B, K): the last piece of each row, at first the start piece; PAD in an empty row, for which any
        finite numbers will do. control (B, up to S) is added to the scores of the attention before they become weights;
        what is not there is 0."""

    def select(self, state: State, sentences: Integers, rows: Integers) -> State:
        """sentences (B'), ascending, rows (B', K'): which sentences go on, and which rows of each, in which order."""

    def join(self, first: State, second: State) -> State:
        """The sentences of both states, which have the same number of rows."""
