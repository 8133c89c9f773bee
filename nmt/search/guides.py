"""The automata of the running batch: which pieces they let each row take, and which rows they keep alive."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nmt.config import SearchConfig
from nmt.search.automaton import DEAD, FAR, Automaton
from nmt.search.choice import Banks
from nmt.text.tokenizer import END

Guide = tuple[Automaton, ...]
"""What a sentence's translation has to satisfy, all of it. With several, each has a phrase that it wants."""

_IMPOSSIBLE = float("-inf")


def fewest(guide: Guide) -> int:
    """The pieces that a translation needs at least to satisfy a guide; from `FAR` on, none does."""
    return int(_bound(guide, torch.zeros(len(guide), 1, dtype=torch.long))[0]) if guide else 0


@dataclass(slots=True)
class Guided:
    """A sentence with a guide: the states (K, automata) of its rows.

    solo: its rows do not compete, so that none can be kept because it has come nearer to what is wanted · pursuing
    (K, automata): in solo rows, the phrase that is being written.
    """

    guide: Guide
    solo: bool
    states: Tensor
    pursuing: Tensor

    @classmethod
    def start(cls, config: SearchConfig, guide: Guide, rows: int) -> "Guided":
        """Nothing read yet."""
        solo = config.group_size == 1 or config.diversity_groups > 1
        nothing = torch.zeros(rows, len(guide), dtype=torch.long)
        return cls(guide, solo, nothing, nothing.bool())

    def select(self, rows: int) -> "Guided":
        """With that many rows; those that are added are empty ones."""
        states, pursuing = (
            functional.pad(own[:rows], (0, 0, 0, max(0, rows - len(own)))) for own in (self.states, self.pursuing)
        )
        return Guided(self.guide, self.solo, states, pursuing)

    def follow(self, parents: Tensor, pieces: Tensor) -> None:
        """Each row becomes its parent (K,), extended by its piece (K,). Rows that are empty may go anywhere."""
        states = self.states[parents]
        after = [automaton.next[states[:, i], pieces] for i, automaton in enumerate(self.guide)]
        self.states, self.pursuing = torch.stack(after, dim=1).clamp(min=0).long(), self.pursuing[parents]

    def filter(self, log_probs: Tensor, unguarded: Tensor, left: int) -> tuple[Tensor, Tensor | None]:
        """log_probs (K, V), with -inf for pieces after which the `left` that may still come before the end are too few.

        unguarded (K, V): log_probs before weaker filters, for rows of which these left nothing that the guide allows.
        Also the banks (K, V) in which the extensions compete, where these are to share out the beam.
        """
        after = torch.stack([a.next[s] for a, s in zip(self.guide, self.states.unbind(1), strict=True)])
        hopeless = _bound(self.guide, after) > left
        hopeless[:, END] = (after[:, :, END] == DEAD).any(dim=0)
        allowed = log_probs.masked_fill(hopeless, _IMPOSSIBLE)
        stuck = allowed.amax(dim=-1, keepdim=True) == _IMPOSSIBLE
        if bool(stuck.any()):
            allowed = unguarded.masked_fill(hopeless, _IMPOSSIBLE).where(stuck, allowed)
        missing = torch.stack([a.rest[s] > 0 for a, s in zip(self.guide, self.states.unbind(1), strict=True)], dim=1)
        if not bool(missing.any()):
            return allowed, None
        if self.solo:
            return self._pursue(allowed, after, missing, log_probs.argmax(dim=-1) == END), None
        return allowed, self._banks(after)

    def _banks(self, after: Tensor) -> Tensor:
        """(K, V): how many pieces of the phrases are still to come."""
        banks = torch.stack([a.lacking[own] for a, own in zip(self.guide, after, strict=True)]).sum(dim=0)
        banks[:, END] = 0
        return banks

    def _pursue(self, allowed: Tensor, after: Tensor, missing: Tensor, ending: Tensor) -> Tensor:
        """Rows that would end (K,), if they were free, write a phrase that they miss, and nothing else until then."""
        settled = torch.stack([a.settled[own] for a, own in zip(self.guide, after, strict=True)], dim=1)
        settled[:, :, END] = settled[:, :, END].where(after[:, :, END].T == DEAD, 0)
        now = torch.stack([a.settled[s] for a, s in zip(self.guide, self.states.unbind(1), strict=True)], dim=1)
        nearest = settled.masked_fill((allowed == _IMPOSSIBLE).unsqueeze(1), FAR).amin(dim=-1)
        wanted = missing & (self.pursuing | ending.unsqueeze(1)) & (nearest < now)
        steps, chosen = nearest.masked_fill(~wanted, FAR).min(dim=1, keepdim=True)
        pursued = wanted & (torch.arange(len(self.guide)) == chosen)
        self.pursuing = pursued & (steps > 0)
        detours = settled[torch.arange(len(settled)), chosen.squeeze(1)] > steps
        return allowed.masked_fill(detours & pursued.any(dim=1, keepdim=True), _IMPOSSIBLE)


def _bound(guide: Guide, states: Tensor) -> Tensor:
    """The fewest pieces (…) that satisfy the whole guide from states (automata, …).

    Of several phrases, one after the other: first the nearest, then the others from wherever that has led.
    """
    if len(guide) == 1:
        return guide[0].needed[states[0]]
    rest = torch.stack([automaton.rest[own] for automaton, own in zip(guide, states, strict=True)])
    settled = torch.stack([automaton.settled[own] for automaton, own in zip(guide, states, strict=True)])
    return rest.sum(dim=0) - (rest - settled).amax(dim=0)


@dataclass(slots=True)
class Guides:
    """The sentences of the batch, in order: those that have a guide, and None. Who has none costs nothing."""

    sentences: list[Guided | None]

    @classmethod
    def start(cls, configs: Sequence[SearchConfig], guides: Sequence[Guide], rows: int) -> "Guides":
        """Nothing read yet."""
        pairs = zip(configs, guides, strict=True)
        return cls([Guided.start(config, guide, rows) if guide else None for config, guide in pairs])

    def select(self, sentences: Tensor, rows: int) -> "Guides":
        """The given sentences with `rows` rows each."""
        chosen = [self.sentences[i] for i in sentences.tolist()]
        return Guides([own.select(rows) if own else None for own in chosen])

    def join(self, other: "Guides") -> "Guides":
        """The sentences of both."""
        return Guides(self.sentences + other.sentences)

    def filter(self, log_probs: Tensor, unguarded: Tensor, left: Tensor) -> Banks:
        """log_probs (B, K, V) are overwritten, as `Guided.filter` says, with left (B,). Returns the banks, by
        sentence."""
        banks = {}
        for number, own in enumerate(self.sentences):
            if own:
                log_probs[number], shared = own.filter(log_probs[number], unguarded[number], int(left[number]))
                if shared is not None:
                    banks[number] = shared
        return banks

    def follow(self, parents: Tensor, pieces: Tensor) -> None:
        """Each row becomes its parent (B, K), extended by its piece (B, K)."""
        for number, own in enumerate(self.sentences):
            if own:
                own.follow(parents[number], pieces[number])
