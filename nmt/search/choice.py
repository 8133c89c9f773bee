"""Which extensions of its rows a search goes on with: the best, samples, or the best of groups that differ."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nmt.arrays import Flags, Floats, Integers
from nmt.config import SearchConfig
from nmt.search.rows import Rows
from nmt.search.top import allocate, best_extensions, largest

Chosen = tuple[Floats, Integers]
"""Log-probabilities (B, K) of the chosen extensions, and where they are (B, K) among the K · V of their sentence."""

Banks = Mapping[int, Integers]
"""By sentence, for those that share out their beam: the bank (K, V) of each extension, the best one 0."""

_IMPOSSIBLE, _LOWEST = np.float32(-np.inf), np.finfo(np.float32).min
BEST, SAMPLED, DIVERSE = range(3)


@dataclass(slots=True)
class Choice(Rows):
    """How each sentence chooses, a number each (B,); `group` and `place` (B, K) say which rows compete.

    The rows of a group take the extensions of that group's rows, the best of which goes to place 0. Beam search has
    one group, diverse beam search several; each sample is a group of its own. methods: those that there are.
    """

    method: Integers
    temperature: Floats
    top_k: Integers
    top_p: Floats
    seed: Integers
    diversity: Floats
    group: Integers
    place: Integers
    methods: set[int] = field(init=False)
    fills: ClassVar = {"group": 0, "place": 1 << 30}

    def __post_init__(self) -> None:
        self.methods = set(self.method.tolist())

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

    def __call__(self, log_probs: Floats, totals: Floats, length: Integers, free: Integers, banks: Banks) -> Chosen:
        """log_probs (B, K, V) of the next pieces · totals (B, K) of the rows · length (B,) so far · free (B, K)."""
        best, at = self._by_method(log_probs, totals, length, free)
        for number, bank in banks.items():
            best[number], at[number] = allocate(log_probs[number], totals[number], bank)
        return best, at

    def _by_method(self, log_probs: Floats, totals: Floats, length: Integers, free: Integers) -> Chosen:
        if self.methods == {BEST}:
            return best_extensions(log_probs, totals)
        best, at = np.empty_like(totals), np.empty(totals.shape, np.int64)
        for method in self.methods:
            which = np.flatnonzero(self.method == method)
            own = self.select(which, totals.shape[1])
            best[which], at[which] = own._choose(method, log_probs[which], totals[which], length[which], free[which])
        return best, at

    def _choose(self, method: int, log_probs: Floats, totals: Floats, length: Integers, free: Integers) -> Chosen:
        if method == BEST:
            return best_extensions(log_probs, totals)
        scores = totals[..., None] + log_probs
        return self._sample(scores, length) if method == SAMPLED else self._diversify(scores, free)

    def _sample(self, scores: Floats, length: Integers) -> Chosen:
        """Each row goes on with a piece drawn from softmax(scores / temperature), cut to the `top_k` likeliest and to
        the fewest that hold `top_p` (nucleus: Holtzman et al. 2020)."""
        rows, vocabulary = scores.shape[1:]
        highest = scores.max(axis=-1, keepdims=True)
        above = np.where(highest > _IMPOSSIBLE, scores - np.maximum(highest, _LOWEST), 0)
        shares = np.exp(above / self.temperature.reshape(-1, 1, 1))
        cut = (self.top_k > 0) | (self.top_p < 1)
        if cut.any():
            shares[cut] *= likeliest(shares[cut], self.top_k[cut], self.top_p[cut])
        total = shares.astype(np.float64).cumsum(axis=-1)
        drawn = uniform(self.seed, length, rows)[..., None] * total[..., -1:]
        piece = (total <= np.minimum(drawn, np.nextafter(total[..., -1:], 0))).sum(axis=-1)
        return np.take_along_axis(scores, piece[..., None], -1)[..., 0], np.arange(rows) * vocabulary + piece

    def _diversify(self, scores: Floats, free: Integers) -> Chosen:
        """Group by group, the best extensions after what those of the groups before cost: `diversity` for each row
        that chose the same piece in this step (Vijayakumar et al. 2018, Hamming diversity)."""
        sentences, rows, vocabulary = scores.shape
        flat, used = scores.reshape(sentences, -1), np.zeros((sentences, vocabulary), np.float32)
        best, at = np.full((sentences, rows), _IMPOSSIBLE), np.zeros((sentences, rows), np.int64)
        place = np.minimum(self.place, rows - 1)
        for group in range(int(self.group.max()) + 1):
            inside = self.group == group
            diverse = scores - (self.diversity[:, None] * used)[:, None]
            diverse[~inside] = _IMPOSSIBLE
            values, found = largest(diverse.reshape(sentences, -1), rows)
            possible = np.take_along_axis(values, place, 1) > _IMPOSSIBLE
            mine = inside & (self.place < free) & possible
            at = np.where(inside, np.take_along_axis(found, place, 1), at)
            best = np.where(mine, np.take_along_axis(flat, at, 1), best)
            np.add.at(used, (np.arange(sentences)[:, None], at % vocabulary), mine)
        return best, at


def likeliest(shares: Floats, top_k: Integers, top_p: Floats) -> Flags:
    """Which of shares (B, K, V) are among the top_k (B,) largest of a row, 0 for all, and among the fewest of these
    that hold top_p (B,) of their sum. Of equal ones the first."""
    ordered = -np.sort(-shares, axis=-1)  # of values alone: to sort places takes ten times as long
    most = np.where(top_k > 0, top_k, shares.shape[-1])[:, None, None]
    inside = np.where(np.arange(shares.shape[-1]) < most, ordered, 0).astype(np.float64)
    mass = inside.cumsum(axis=-1)
    # The first stays, also where top_p is 0 in this precision.
    count = np.maximum(1, (mass - inside < top_p[:, None, None] * mass[..., -1:]).sum(axis=-1, keepdims=True))
    least = np.take_along_axis(ordered, count - 1, -1)
    more, equal = shares > least, shares == least
    place = equal.astype(np.int32).cumsum(axis=-1, dtype=np.int32)
    kept: Flags = more | (equal & (place <= count - more.sum(axis=-1, keepdims=True)))
    return kept


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
