"""The automata of the running batch: which pieces they let each row take, and which rows they keep alive."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmt.arrays import Flags, Floats, Integers
from nmt.config import SearchConfig
from nmt.search.automaton import FAR, Automaton
from nmt.search.beam import Beams
from nmt.search.choice import Banks
from nmt.search.control import Control
from nmt.search.stepper import State, Step
from nmt.text.tokenizer import END

_IMPOSSIBLE = np.float32(-np.inf)
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
    anchors: Floats
    controls: tuple[Control, ...] = ()

    @classmethod
    def anywhere(cls, *automata: Automaton) -> "Guide":
        """Phrases that translate no term."""
        return cls(automata, np.zeros((len(automata), 0), np.float32))

    @property
    def fewest(self) -> int:
        """The pieces that a translation needs at least; from `FAR` on, none does."""
        return int(self.bound(np.zeros((len(self.automata), 1), np.int64))[0]) if self.automata else 0

    def bound(self, states: Integers) -> Integers:
        """The fewest pieces (...) to an end from states (automata, ...).

        Of several phrases, one after the other: first the nearest, then the others from wherever that has led.
        """
        if len(self.automata) == 1:
            needed: Integers = self.automata[0].needed[states[0]].astype(np.int64)
            return needed
        rest, settled = self.read("rest", states), self.read("settled", states)
        bound: Integers = rest.sum(axis=0) - (rest - settled).max(axis=0)
        return bound

    def read(self, name: str, states: Integers) -> Integers:
        """What the automata know of their states (automata, ...)."""
        known = zip(self.automata, states, strict=True)
        return np.array([getattr(own, name)[at] for own, at in known], np.int64)


FREE = Guide.anywhere()


@dataclass(slots=True)
class Guided:
    """A sentence with a guide: the states (automata, K) of its rows.

    solo: its rows do not compete, so that none can be kept because it has come nearer to what is wanted · pursuing
    (automata, K): the phrase that a row is made to write.
    """

    guide: Guide
    solo: bool
    states: Integers
    pursuing: Flags

    @classmethod
    def start(cls, config: SearchConfig, guide: Guide, rows: int) -> "Guided":
        """Nothing read yet."""
        solo = config.group_size == 1 or config.diversity_groups > 1
        nothing = np.zeros((len(guide.automata), rows), np.int64)
        return cls(guide, solo, nothing, nothing > 0)

    def select(self, rows: int) -> "Guided":
        """With that many rows; those that are added are empty ones."""
        added = [(0, 0), (0, max(0, rows - self.states.shape[1]))]
        states, pursuing = np.pad(self.states[:, :rows], added), np.pad(self.pursuing[:, :rows], added)
        return Guided(self.guide, self.solo, states, pursuing)

    def follow(self, parents: Integers, pieces: Integers) -> None:
        """Each row becomes its parent (K,), extended by its piece (K,)."""
        states = zip(self.guide.automata, self.states[:, parents], strict=True)
        self.states = np.array([own.after(before, pieces) for own, before in states], np.int64)
        self.pursuing = self.pursuing[:, parents]

    def filter(self, log_probs: Floats, unguarded: Floats | None, weights: Floats, left: int) -> Integers | None:
        """log_probs (K, V), overwritten: -inf for pieces after which the `left` that may still come before the end are
        too few.

        unguarded (K, V): log_probs before weaker filters, if there were any, for rows of which these left nothing that
        the guide allows · weights (K, S): the attention behind this step. Returns the banks (K, V) in which the
        extensions compete, where these are to share out the beam.
        """
        missing = self.guide.read("rest", self.states) > 0
        likeliest = log_probs.argmax(axis=-1)
        hopeless = self._hopeless(left)
        log_probs[hopeless] = _IMPOSSIBLE
        if unguarded is not None:
            stuck = log_probs.max(axis=-1) == _IMPOSSIBLE
            log_probs[stuck] = np.where(hopeless, _IMPOSSIBLE, unguarded)[stuck]
        if not missing.any():
            return None
        looking = self.guide.anchors @ weights[:, : self.guide.anchors.shape[1]].T > 0
        due = (likeliest == END) | (looking & self.guide.automata[0].opens[likeliest]) | self.pursuing
        if self.solo:
            due |= self._inviting(log_probs)
        self._pursue(log_probs, missing & due)
        return None if self.solo else self._banks(missing, due)

    def _hopeless(self, left: int) -> Flags:
        """(K, V): after which pieces it is too far to an end."""
        after = [own.ahead(at) for own, at in zip(self.guide.automata, self.states, strict=True)]
        dead = [at == len(own.needed) - 1 for own, at in zip(self.guide.automata, after, strict=True)]
        hopeless: Flags = np.any(dead, axis=0)
        if left < sum(own.most for own in self.guide.automata):
            ends = hopeless[:, END].copy()
            hopeless = self.guide.bound(np.array(after)) > left
            hopeless[:, END] = ends
        return hopeless

    def _ahead(self, name: str, chosen: Integers) -> Integers:
        """(chosen, K, V): what those automata know of the states after each piece."""
        return np.array([self.guide.automata[number].ahead(self.states[number], name) for number in chosen.tolist()])

    def _banks(self, missing: Flags, due: Flags) -> Integers:
        """(K, V): how many pieces of the phrases that are missing (automata, K) are still to come after each extension.

        A term that has not been begun comes no nearer in rows in which it is not due (automata, K).
        """
        before = self.guide.read("lacking", self.states)
        whole = np.array([[own.lacking[:-1].max()] for own in self.guide.automata])
        early: Flags = self.guide.anchors.any(axis=1, keepdims=True) & ~due & (before == whole)
        shared: Integers = np.zeros((before.shape[1], len(self.guide.automata[0].opens)), np.int32)
        for number in np.flatnonzero(missing.any(axis=1)).tolist():
            banks = self.guide.automata[number].ahead(self.states[number], "lacking")
            banks[early[number]] = before[number, early[number], None]
            shared += banks
        shared[:, END] = 0
        return shared

    def _inviting(self, log_probs: Floats) -> Flags:
        """(automata, K): where a phrase that may stand anywhere can go on with a piece that is likely enough."""
        settled = self._ahead("settled", np.arange(len(self.states)))
        nearer = settled < self.guide.read("settled", self.states)[..., None]
        best = np.where(nearer, log_probs, _IMPOSSIBLE).max(axis=-1)
        anywhere = ~self.guide.anchors.any(axis=1, keepdims=True)
        inviting: Flags = anywhere & (best > log_probs.max(axis=-1) + _LIKELY_ENOUGH)
        return inviting

    def _pursue(self, log_probs: Floats, due: Flags) -> None:
        """In rows where phrases are due (automata, K), only pieces that bring the nearest of them nearer."""
        self.pursuing = np.zeros_like(due)
        if not due.any():
            return
        chosen = np.flatnonzero(due.any(axis=1))
        settled = self._ahead("settled", chosen)
        settled[:, log_probs[:, END] > _IMPOSSIBLE, END] = 0
        np.copyto(settled, FAR, where=log_probs == _IMPOSSIBLE)
        nearest = settled.min(axis=-1)
        nearer = due[chosen] & (nearest < self.guide.read("settled", self.states)[chosen])
        left = np.where(nearer, nearest, FAR)
        steps, first = left.min(axis=0), left.argmin(axis=0)
        pursued = nearer & (np.arange(len(chosen))[:, None] == first)
        self.pursuing[chosen] = pursued & (steps > 0)
        detours = settled[first, np.arange(len(log_probs))] > steps[:, None]
        log_probs[detours & pursued.any(axis=0)[:, None]] = _IMPOSSIBLE


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

    def filter(self, log_probs: Floats, step: Step[State], beams: Beams) -> Banks:
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
                own.follow(parents[number], pieces[number])
