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
from nmt.search.hypothesis import Floats
from nmt.search.rows import Integers, Rows
from nmt.search.top import allocate, best_extensions

Chosen = tuple[Floats, Integers]
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

    method: Integers
    temperature: Floats
    top_k: Integers
    top_p: Floats
    seed: Integers
    diversity: Floats
    group: Integers
    place: Integers
    fills: ClassVar = {"group": 0, "place": 1 << 30}

    @classmethod
    def start(cls, configs: Sequence[SearchConfig], sources: Sequence[Sequence[int]], rows: int) -> Self:
        """As the configs say; the random numbers of a sentence follow from its seed and its source alone."""
        number = np.arange(rows)
        own = np.array([[config.group_size] for config in configs])
        inside = number < np.array([[config.width] for config in configs])
        seeds = [_seed(config, source) for config, source in zip(configs, sources, strict=True)]
        return cls(
            np.array([_method(config) for config in configs]),
            np.array([config.temperature for config in configs], dtype=np.float32),
            np.array([config.top_k for config in configs]),
            np.array([config.top_p for config in configs], dtype=np.float32),
            np.array(seeds, dtype=np.int64),
            np.array([config.diversity_penalty for config in configs], dtype=np.float32),
            np.where(inside, number // own, 0),
            np.where(inside, number % own, cls.fills["place"]),
        )

    @property
    def sentence(self) -> Integers:
        """(B, 1): beside `group`, where a group's numbers are."""
        return np.arange(len(self.group))[:, None]

    def __call__(self, log_probs: Tensor, totals: Floats, length: Integers, free: Integers, banks: Banks) -> Chosen:
        """log_probs (B, K, V) of the next pieces · totals (B, K) of the rows · length (B,) so far · free (B, K)."""
        best, at = self._by_method(log_probs, torch.from_numpy(totals), length, free)
        for number, bank in banks.items():
            best[number], at[number] = allocate(log_probs[number], torch.from_numpy(totals[number]), bank)
        return best.numpy(), at.numpy()

    def _by_method(self, log_probs: Tensor, totals: Tensor, length: Integers, free: Integers) -> tuple[Tensor, Tensor]:
        methods = set(self.method.tolist())
        if methods == {BEST}:
            return best_extensions(log_probs, totals)
        rows, scores = totals.size(1), totals.unsqueeze(-1) + log_probs
        best, at = scores.new_empty(scores.shape[:2]), torch.empty(scores.shape[:2], dtype=torch.long)
        for method in methods:
            which = np.flatnonzero(self.method == method)
            own = self.select(which, rows)
            best[which], at[which] = own._choose(method, scores[which], length[which], free[which])
        return best, at

    def _choose(self, method: int, scores: Tensor, length: Integers, free: Integers) -> tuple[Tensor, Tensor]:
        if method == SAMPLED:
            return self._sample(scores, length)
        if method == DIVERSE:
            return self._diversify(scores, torch.from_numpy(free))
        best, at = scores.flatten(1).topk(scores.size(1), dim=-1)
        return best, at

    def _sample(self, scores: Tensor, length: Integers) -> tuple[Tensor, Tensor]:
        """Each row goes on with a piece drawn from softmax(scores / temperature), cut to the `top_k` likeliest and to
        the fewest that hold `top_p` (nucleus: Holtzman et al. 2020)."""
        rows, vocabulary = scores.shape[1:]
        alive = scores.amax(dim=-1, keepdim=True) > _IMPOSSIBLE
        temperature, top_k, top_p = (
            torch.from_numpy(own).view(-1, 1, 1) for own in (self.temperature, self.top_k, self.top_p)
        )
        tempered = (scores / temperature).where(alive, 0.0)
        ordered, pieces = tempered.double().sort(dim=-1, descending=True, stable=True)
        probs = ordered.softmax(dim=-1)
        rank = torch.arange(vocabulary)
        most = top_k.where(top_k > 0, vocabulary)
        mass = (rank < most) * probs
        mass = mass / mass.sum(dim=-1, keepdim=True)
        kept = mass * (mass.cumsum(dim=-1) - mass < top_p)
        total = kept.cumsum(dim=-1)
        drawn = torch.from_numpy(uniform(self.seed, length, rows)).unsqueeze(-1)
        chosen = (total <= drawn * total[..., -1:]).sum(dim=-1, keepdim=True)
        chosen = chosen.clamp(max=(kept > 0).sum(dim=-1, keepdim=True) - 1)
        piece = pieces.gather(2, chosen)
        return scores.gather(2, piece).squeeze(2), torch.arange(rows) * vocabulary + piece.squeeze(2)

    def _diversify(self, scores: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """Group by group, the best extensions after what those of the groups before cost: `diversity` for each row
        that chose the same piece in this step (Vijayakumar et al. 2018, Hamming diversity)."""
        sentences, rows, vocabulary = scores.shape
        diversity, groups, places = map(torch.from_numpy, (self.diversity, self.group, self.place))
        used = scores.new_zeros(sentences, 1, vocabulary)
        best = torch.full((sentences, rows), _IMPOSSIBLE)
        at = torch.zeros(sentences, rows, dtype=torch.long)
        for group in range(int(groups.max()) + 1):
            inside = groups == group
            diverse = (scores - diversity[:, None, None] * used).masked_fill(~inside.unsqueeze(2), _IMPOSSIBLE)
            values, found = diverse.flatten(1).topk(rows, dim=-1)
            place = places.clamp(max=rows - 1)
            mine = inside & (places < free[:, group, None]) & (values.gather(1, place) > _IMPOSSIBLE)
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
    if config.method != "sample":
        return 0
    seed = secrets.randbits(32) if config.seed is None else config.seed
    return int(np.random.SeedSequence([seed, *source]).generate_state(1, np.uint64)[0].astype(np.int64))


def _method(config: SearchConfig) -> int:
    if config.method == "sample":
        return SAMPLED
    return DIVERSE if config.diversity_groups > 1 else BEST
