"""Which extensions of its rows a search goes on with: the best, samples, or the best of groups that differ."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nmt.config import SearchConfig
from nmt.search.rows import Rows
from nmt.search.top import allocate, best_extensions

Chosen = tuple[Tensor, Tensor]
"""Log-probabilities (B, K) of the chosen extensions, and where they are (B, K) among the K · V of their sentence."""

Banks = Mapping[int, Tensor]
"""By sentence, for those that share out their beam: the bank (K, V) of each extension, the best one 0."""

_IMPOSSIBLE = float("-inf")
BEST, SAMPLED, DIVERSE = range(3)


@dataclass(slots=True)
class Choice(Rows):
    """How each sentence chooses, a number each (B,); `group` and `place` (B, K) say which rows compete.

    The rows of a group take the extensions of that group's rows, the best of which goes to place 0. Beam search has
    one group, diverse beam search several; each sample is a group of its own.
    """

    method: Tensor
    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    seed: Tensor
    diversity: Tensor
    group: Tensor
    place: Tensor
    fills: ClassVar = {"group": 0, "place": 1 << 30}

    @classmethod
    def start(cls, configs: Sequence[SearchConfig], sources: Sequence[Sequence[int]], rows: int) -> Self:
        """As the configs say; the random numbers of a sentence follow from its seed and its source alone."""
        number = torch.arange(rows)
        own = torch.tensor([config.group_size for config in configs]).unsqueeze(1)
        inside = number < torch.tensor([config.width for config in configs]).unsqueeze(1)
        seeds = [_seed(config, source) for config, source in zip(configs, sources, strict=True)]
        return cls(
            torch.tensor([_method(config) for config in configs]),
            torch.tensor([config.temperature for config in configs]),
            torch.tensor([config.top_k for config in configs]),
            torch.tensor([config.top_p for config in configs]),
            torch.tensor(seeds, dtype=torch.long),
            torch.tensor([config.diversity_penalty for config in configs]),
            (number // own).where(inside, 0),
            (number % own).where(inside, cls.fills["place"]),
        )

    def __call__(self, log_probs: Tensor, totals: Tensor, length: Tensor, free: Tensor, banks: Banks) -> Chosen:
        """log_probs (B, K, V) of the next pieces · totals (B, K) of the rows · length (B,) so far · free (B, K)."""
        best, at = self._by_method(log_probs, totals, length, free)
        for number, bank in banks.items():
            best[number], at[number] = allocate(log_probs[number], totals[number], bank)
        return best, at

    def _by_method(self, log_probs: Tensor, totals: Tensor, length: Tensor, free: Tensor) -> Chosen:
        methods = set(self.method.tolist())
        if methods == {BEST}:
            return best_extensions(log_probs, totals)
        rows, scores = totals.size(1), totals.unsqueeze(-1) + log_probs
        best, at = scores.new_empty(scores.shape[:2]), torch.empty(scores.shape[:2], dtype=torch.long)
        for method in methods:
            which = (self.method == method).nonzero().squeeze(1)
            own = self.select(which, rows)
            best[which], at[which] = own._choose(method, scores[which], length[which], free[which])
        return best, at

    def _choose(self, method: int, scores: Tensor, length: Tensor, free: Tensor) -> Chosen:
        if method == SAMPLED:
            return self._sample(scores, length)
        if method == DIVERSE:
            return self._diversify(scores, free)
        best, at = scores.flatten(1).topk(scores.size(1), dim=-1)
        return best, at

    def _sample(self, scores: Tensor, length: Tensor) -> Chosen:
        """Each row goes on with a piece drawn from softmax(scores / temperature), cut to the `top_k` likeliest and to
        the fewest that hold `top_p` (nucleus: Holtzman et al. 2020)."""
        rows, vocabulary = scores.shape[1:]
        alive = scores.amax(dim=-1, keepdim=True) > _IMPOSSIBLE
        tempered = (scores / self.temperature[:, None, None]).where(alive, 0.0)
        ordered, pieces = tempered.double().sort(dim=-1, descending=True, stable=True)
        probs = ordered.softmax(dim=-1)
        rank = torch.arange(vocabulary)
        most = self.top_k.where(self.top_k > 0, vocabulary)[:, None, None]
        mass = (rank < most) * probs
        mass = mass / mass.sum(dim=-1, keepdim=True)
        kept = mass * (mass.cumsum(dim=-1) - mass < self.top_p[:, None, None])
        total = kept.cumsum(dim=-1)
        drawn = torch.from_numpy(uniform(self.seed.numpy(), length.numpy(), rows)).unsqueeze(-1)
        chosen = (total <= drawn * total[..., -1:]).sum(dim=-1, keepdim=True)
        chosen = chosen.clamp(max=(kept > 0).sum(dim=-1, keepdim=True) - 1)
        piece = pieces.gather(2, chosen)
        return scores.gather(2, piece).squeeze(2), torch.arange(rows) * vocabulary + piece.squeeze(2)

    def _diversify(self, scores: Tensor, free: Tensor) -> Chosen:
        """Group by group, the best extensions after what those of the groups before cost: `diversity` for each row
        that chose the same piece in this step (Vijayakumar et al. 2018, Hamming diversity)."""
        sentences, rows, vocabulary = scores.shape
        used = scores.new_zeros(sentences, 1, vocabulary)
        best = torch.full((sentences, rows), _IMPOSSIBLE)
        at = torch.zeros(sentences, rows, dtype=torch.long)
        for group in range(int(self.group.max()) + 1):
            inside = self.group == group
            diverse = (scores - self.diversity[:, None, None] * used).masked_fill(~inside.unsqueeze(2), _IMPOSSIBLE)
            values, found = diverse.flatten(1).topk(rows, dim=-1)
            place = self.place.clamp(max=rows - 1)
            mine = inside & (self.place < free[:, group, None]) & (values.gather(1, place) > _IMPOSSIBLE)
            at = found.gather(1, place).where(inside, at)
            best = scores.flatten(1).gather(1, at).where(mine, best)
            used.squeeze(1).scatter_add_(1, at % vocabulary, mine.float())
        return best, at


def uniform(seeds: NDArray[np.int64], steps: NDArray[np.int64], rows: int) -> NDArray[np.float64]:
    """Numbers (B, rows) in [0, 1), each a function of seed (B,), step (B,) and row alone.

    SplitMix64 (Steele, Lea & Flood 2014) of a counter: no state that a neighbour could advance.
    """
    number = np.add.outer(steps.astype(np.uint64) << np.uint64(16), np.arange(1, rows + 1, dtype=np.uint64))
    mixed: NDArray[np.uint64] = np.add(seeds.astype(np.uint64)[:, None], np.multiply(_GOLDEN, number))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = np.multiply(mixed ^ (mixed >> np.uint64(shift)), np.uint64(factor))
    mixed = (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)
    share: NDArray[np.float64] = mixed.astype(np.float64) / 2**53
    return share


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _seed(config: SearchConfig, source: Sequence[int]) -> int:
    seed = secrets.randbits(32) if config.seed is None else config.seed
    return int(np.random.SeedSequence([seed, *source]).generate_state(1, np.uint64)[0].astype(np.int64))


def _method(config: SearchConfig) -> int:
    if config.method == "sample":
        return SAMPLED
    return DIVERSE if config.diversity_groups > 1 else BEST
