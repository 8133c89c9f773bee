"""The sentences that are being decoded together, and all that search remembers of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic

import numpy as np

from nmt.arrays import Floats, Integers
from nmt.config import SearchConfig
from nmt.search.beam import Beams
from nmt.search.choice import Choice
from nmt.search.control import batch_control
from nmt.search.guides import Guide, Guides
from nmt.search.hypothesis import Hypothesis
from nmt.search.queue import Claim
from nmt.search.repetition import Repetition
from nmt.search.stepper import State, Stepper

Ticket = int


@dataclass(slots=True)
class Sentence:
    """A sentence in the queue or in the pool. finished: the n best hypotheses so far, best first."""

    ticket: Ticket
    source: Sequence[int]
    config: SearchConfig
    claim: Claim
    guide: Guide
    submitted: float
    entered: float = math.inf
    first_frame: int = 0
    finished: list[Hypothesis] = field(default_factory=list)

    def finish(self, hypothesis: Hypothesis) -> None:
        """Take one in that is among the n best and not there already."""
        groups = self.config.diversity_groups > 1  # which do not know of each other's ends
        if not (groups and any(hypothesis.pieces == other.pieces for other in self.finished)):
            self.finished.append(hypothesis)
            self.finished.sort(key=lambda own: -own.score)
            del self.finished[self.config.kept :]


@dataclass(slots=True)
class Pool(Generic[State]):
    """The sentences in the order in which all the others hold them, and the place of each in it."""

    stepper: Stepper[State]
    sentences: list[Sentence]
    beams: Beams
    choice: Choice
    repetition: Repetition
    guides: Guides
    state: State
    places: dict[Ticket, int] = field(init=False)

    def __post_init__(self) -> None:
        self.places = {sentence.ticket: place for place, sentence in enumerate(self.sentences)}

    @classmethod
    def start(cls, stepper: Stepper[State], sentences: list[Sentence], rows: int) -> "Pool[State]":
        """With that many rows a sentence, before the first piece."""
        configs, sources = [s.config for s in sentences], [s.source for s in sentences]
        first = np.zeros((len(sentences), rows), dtype=np.int64)
        return Pool(
            stepper,
            sentences,
            Beams.start(configs, sources, rows),
            Choice.start(configs, sources, rows),
            Repetition.start(configs, rows),
            Guides.start(configs, [s.guide for s in sentences], rows),
            stepper.select(stepper.start(sources), np.arange(len(sentences)), first),
        )

    @property
    def rows(self) -> int:
        """Rows a sentence."""
        return int(self.beams.pieces.shape[1])

    def advance(self) -> tuple[Integers, Floats]:
        """Extend every row by one piece. Returns the parents (B, K) and the weights (B, K, S) of the rows before."""
        control = batch_control([sentence.guide.controls for sentence in self.sentences], self.beams.length)
        step = self.stepper.step(self.beams.pieces, self.state, control)
        log_probs = self.repetition.filter(step.log_probs)
        banks = self.guides.filter(log_probs, step, self.beams)
        parents = self.beams.advance(log_probs, self.choice, banks)
        self.repetition.follow(parents, self.beams.pieces)
        self.guides.follow(parents, self.beams.pieces)
        self.state = step.state
        if self.rows > 1:  # a row that is alone is its own parent
            self.state = self.stepper.select(step.state, np.arange(len(self.sentences)), parents)
        return parents, step.weights

    def select(self, places: list[int], rows: int) -> "Pool[State]":
        """The sentences at those places, with that many rows; those beyond the present ones are empty copies."""
        chosen = np.array(places)
        kept = np.tile(np.minimum(np.arange(rows), self.rows - 1), (len(places), 1))
        return Pool(
            self.stepper,
            [self.sentences[place] for place in places],
            self.beams.select(chosen, rows),
            self.choice.select(chosen, rows),
            self.repetition.select(chosen, rows),
            self.guides.select(chosen, rows),
            self.stepper.select(self.state, chosen, kept),
        )

    def join(self, other: "Pool[State]") -> "Pool[State]":
        """The sentences of both, which have the same number of rows."""
        return Pool(
            self.stepper,
            self.sentences + other.sentences,
            self.beams.join(other.beams),
            self.choice.join(other.choice),
            self.repetition.join(other.repetition),
            self.guides.join(other.guides),
            self.stepper.join(self.state, other.state),
        )
