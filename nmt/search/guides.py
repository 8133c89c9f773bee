"""The automata of the running batch: which pieces they let each row take, and which rows they keep alive."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nmt.config import SearchConfig
from nmt.search.automaton import FAR, Automaton
from nmt.search.beam import Beams
from nmt.search.choice import Banks
from nmt.search.control import Control
from nmt.search.rows import Integers
from nmt.search.stepper import State, Step
from nmt.text.tokenizer import END

_IMPOSSIBLE = float("-inf")
_LIKELY_ENOUGH = math.log(0.01)
"""Of the likeliest piece: then a row that cannot wait for a better place in a beam begins a phrase."""


@dataclass(frozen=True, slots=True, eq=False)
class Guide:
    """What a sentence's translation has to satisfy, all of it, and where its attention is steered.

    automata: with several, each has a phrase that it wants · anchors (automata, source pieces): 1 where the term stands
    that the phrase is to translate, -1 elsewhere in the text, 0 for tag and end; all 0 for a phrase that may stand
    anywhere.
    """

    automata: tuple[Automaton, ...]
    anchors: Tensor
    controls: tuple[Control, ...] = ()

    @classmethod
    def anywhere(cls, *automata: Automaton) -> "Guide":
        """Phrases that translate no term."""
        return cls(automata, torch.zeros(len(automata), 0))

    @property
    def fewest(self) -> int:
        """The pieces that a translation needs at least; from `FAR` on, none does."""
        return int(self.bound(torch.zeros(len(self.automata), 1, dtype=torch.long))[0]) if self.automata else 0

    def bound(self, states: Tensor) -> Tensor:
        """The fewest pieces (...) to an end from states (automata, ...).

        Of several phrases, one after the other: first the nearest, then the others from wherever that has led.
        """
        if len(self.automata) == 1:
            return self.automata[0].needed[states[0]]
        rest, settled = self.read("rest", states), self.read("settled", states)
        return rest.sum(dim=0) - (rest - settled).amax(dim=0)

    def read(self, name: str, states: Tensor) -> Tensor:
        """What the automata know of their states (automata, ...)."""
        known = zip(self.automata, states, strict=True)
        return torch.stack([getattr(own, name).index_select(0, at.flatten()).view(at.shape) for own, at in known])


FREE = Guide.anywhere()


@dataclass(slots=True)
class Guided:
    """A sentence with a guide: the states (automata, K) of its rows.

    solo: its rows do not compete, so that none can be kept because it has come nearer to what is wanted · pursuing
    (automata, K): the phrase that a row is made to write.
    """

    guide: Guide
    solo: bool
    states: Tensor
    pursuing: Tensor

    @classmethod
    def start(cls, config: SearchConfig, guide: Guide, rows: int) -> "Guided":
        """Nothing read yet."""
        solo = config.group_size == 1 or config.diversity_groups > 1
        nothing = torch.zeros(len(guide.automata), rows, dtype=torch.long)
        return cls(guide, solo, nothing, nothing.bool())

    def select(self, rows: int) -> "Guided":
        """With that many rows; those that are added are empty ones."""
        missing = max(0, rows - self.states.size(1))
        states, pursuing = (functional.pad(own[:, :rows], (0, missing)) for own in (self.states, self.pursuing))
        return Guided(self.guide, self.solo, states, pursuing)

    def follow(self, parents: Tensor, pieces: Tensor) -> None:
        """Each row becomes its parent (K,), extended by its piece (K,)."""
        states = zip(self.guide.automata, self.states[:, parents], strict=True)
        self.states = torch.stack([own.next[before, pieces] for own, before in states]).long()
        self.pursuing = self.pursuing[:, parents]

    def filter(self, log_probs: Tensor, unguarded: Tensor | None, weights: Tensor, left: int) -> Tensor | None:
        """log_probs (K, V), overwritten: -inf for pieces after which the `left` that may still come before the end are
        too few.

        unguarded (K, V): log_probs before weaker filters, if there were any, for rows of which these left nothing that
        the guide allows · weights (K, S): the attention behind this step. Returns the banks (K, V) in which the
        extensions compete, where these are to share out the beam.
        """
        missing = self.guide.read("rest", self.states) > 0
        likeliest = log_probs.argmax(dim=-1)
        after = torch.stack([own.next[at] for own, at in zip(self.guide.automata, self.states, strict=True)])
        hopeless = self._hopeless(after, left)
        log_probs.masked_fill_(hopeless, _IMPOSSIBLE)
        if unguarded is not None:
            stuck = log_probs.amax(dim=-1, keepdim=True) == _IMPOSSIBLE
            log_probs.copy_(unguarded.masked_fill(hopeless, _IMPOSSIBLE).where(stuck, log_probs))
        if not bool(missing.any()):
            return None
        looking = self.guide.anchors @ weights[:, : self.guide.anchors.size(1)].T > 0
        due = (likeliest == END) | (looking & self.guide.automata[0].opens[likeliest]) | self.pursuing
        if self.solo:
            due |= self._inviting(log_probs, after)
        self._pursue(log_probs, after, missing & due)
        return None if self.solo else self._banks(after, due)

    def _hopeless(self, after: Tensor, left: int) -> Tensor:
        """(K, V): where the states (automata, K, V) are too far from an end."""
        dead = [at == len(own.needed) - 1 for own, at in zip(self.guide.automata, after, strict=True)]
        hopeless = torch.stack(dead).any(dim=0)
        if left < sum(own.most for own in self.guide.automata):
            ends = hopeless[:, END].clone()
            hopeless = self.guide.bound(after) > left
            hopeless[:, END] = ends
        return hopeless

    def _banks(self, after: Tensor, due: Tensor) -> Tensor:
        """(K, V): how many pieces of the phrases are still to come after each extension.

        A term that has not been begun comes no nearer in rows in which it is not due (automata, K).
        """
        before, banks = self.guide.read("lacking", self.states), self.guide.read("lacking", after)
        whole = torch.stack([own.lacking[:-1].amax() for own in self.guide.automata]).unsqueeze(1)
        early = self.guide.anchors.any(dim=1, keepdim=True) & ~due & (before == whole)
        shared = before.unsqueeze(2).where(early.unsqueeze(2), banks).sum(dim=0)
        shared[:, END] = 0
        return shared

    def _inviting(self, log_probs: Tensor, after: Tensor) -> Tensor:
        """(automata, K): where a phrase that may stand anywhere can go on with a piece that is likely enough."""
        nearer = self.guide.read("settled", after) < self.guide.read("settled", self.states).unsqueeze(2)
        best = log_probs.masked_fill(~nearer, _IMPOSSIBLE).amax(dim=-1)
        anywhere = ~self.guide.anchors.any(dim=1, keepdim=True)
        return anywhere & (best > log_probs.amax(dim=-1) + _LIKELY_ENOUGH)

    def _pursue(self, log_probs: Tensor, after: Tensor, due: Tensor) -> None:
        """In rows where phrases are due (automata, K), only pieces that bring the nearest of them nearer."""
        self.pursuing = due
        if not bool(due.any()):
            return
        settled = self.guide.read("settled", after)
        settled[:, :, END] = settled[:, :, END].where(log_probs[:, END] == _IMPOSSIBLE, 0)
        nearest = settled.masked_fill(log_probs == _IMPOSSIBLE, FAR).amin(dim=-1)
        due = due & (nearest < self.guide.read("settled", self.states))
        steps, chosen = nearest.masked_fill(~due, FAR).min(dim=0)
        pursued = due & (torch.arange(len(due)).unsqueeze(1) == chosen)
        self.pursuing = pursued & (steps > 0)
        detours = settled[chosen, torch.arange(len(log_probs))] > steps.unsqueeze(1)
        log_probs.masked_fill_(detours & pursued.any(dim=0).unsqueeze(1), _IMPOSSIBLE)


@dataclass(slots=True)
class Guides:
    """The sentences of the batch, in order: those that have a guide, and None. Who has none costs nothing."""

    sentences: list[Guided | None]

    @classmethod
    def start(cls, configs: Sequence[SearchConfig], guides: Sequence[Guide], rows: int) -> "Guides":
        """Nothing read yet."""
        pairs = zip(configs, guides, strict=True)
        return cls([Guided.start(config, guide, rows) if guide.automata else None for config, guide in pairs])

    def select(self, sentences: Integers, rows: int) -> "Guides":
        """The given sentences with `rows` rows each."""
        chosen = [self.sentences[i] for i in sentences.tolist()]
        return Guides([own.select(rows) if own else None for own in chosen])

    def join(self, other: "Guides") -> "Guides":
        """The sentences of both."""
        return Guides(self.sentences + other.sentences)

    def filter(self, log_probs: Tensor, step: Step[State], beams: Beams) -> Banks:
        """log_probs (B, K, V), what weaker filters made of those of the step, are overwritten as `Guided.filter` says.
        Returns the banks, by sentence."""
        banks = {}
        for number, own in enumerate(self.sentences):
            if own:
                unguarded = None if log_probs is step.log_probs else step.log_probs[number]
                shared = own.filter(log_probs[number], unguarded, step.weights[number], beams.left(number))
                if shared is not None:
                    banks[number] = shared
        return banks

    def follow(self, parents: Integers, pieces: Integers) -> None:
        """Each row becomes its parent (B, K), extended by its piece (B, K)."""
        for number, own in enumerate(self.sentences):
            if own:
                own.follow(torch.from_numpy(parents[number]), torch.from_numpy(pieces[number]))
