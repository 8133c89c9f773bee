"""The automata of the running batch: which pieces they let each row take."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nmt.search.automaton import DEAD, Automaton

Guide = tuple[Automaton, ...]
"""What a sentence's translation has to satisfy, all of it."""


@dataclass(slots=True)
class Guides:
    """The guide of each of B sentences, and the states (K, automata) of its rows. Who has no guide costs nothing."""

    guides: list[Guide]
    states: list[Tensor]

    @classmethod
    def start(cls, guides: Sequence[Guide], rows: int) -> "Guides":
        """Nothing read yet."""
        return cls(list(guides), [torch.zeros(rows, len(guide), dtype=torch.long) for guide in guides])

    def select(self, sentences: Tensor, rows: int) -> "Guides":
        """The given sentences with `rows` rows each; rows that are added are empty ones."""
        chosen = sentences.tolist()
        states = [functional.pad(self.states[i][:rows], (0, 0, 0, max(0, rows - len(self.states[i])))) for i in chosen]
        return Guides([self.guides[i] for i in chosen], states)

    def join(self, other: "Guides") -> "Guides":
        """The sentences of both."""
        return Guides(self.guides + other.guides, self.states + other.states)

    def filter(self, log_probs: Tensor, left: Tensor) -> Tensor:
        """log_probs (B, K, V), overwritten: -inf for pieces that a guide forbids, or after which the `left` pieces (B,)
        that may still come before the end would be too few."""
        for number, (guide, states) in enumerate(zip(self.guides, self.states, strict=True)):
            for automaton, state in zip(guide, states.unbind(1), strict=True):
                after = automaton.next[state]
                log_probs[number].masked_fill_(after == DEAD, float("-inf"))
                if bool((automaton.needed > left[number]).any()):
                    hopeless = automaton.needed[after.clamp(min=0)] > left[number]
                    log_probs[number].masked_fill_(hopeless, float("-inf"))
        return log_probs

    def follow(self, parents: Tensor, pieces: Tensor) -> None:
        """Each row becomes its parent (B, K), extended by its piece (B, K). Rows that are empty may go anywhere."""
        for number, guide in enumerate(self.guides):
            if guide:
                states = self.states[number][parents[number]]
                after = [automaton.next[states[:, i], pieces[number]] for i, automaton in enumerate(guide)]
                self.states[number] = torch.stack(after, dim=1).clamp(min=0).long()
