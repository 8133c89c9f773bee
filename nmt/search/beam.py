"""One step of beam search over many sentences at once, each with its own settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from nmt.arrays import Floats, Integers
from nmt.config import SearchConfig
from nmt.search.choice import Banks, Choice
from nmt.search.hypothesis import Hypothesis
from nmt.search.penalties import final_score, length_penalty
from nmt.search.rows import Rows
from nmt.text.tokenizer import BEGIN, END, PAD

_NEVER = slice(PAD, BEGIN + 1)
_IMPOSSIBLE = np.float32(-np.inf)


@dataclass(slots=True)
class Beams(Rows):
    """The rows of B sentences, K a sentence.

    pieces (B, K), the last of each row, PAD where it is empty · log_probs (B, K), of each row so far, -inf where it is
    empty · free (B, K): the places of the row's group that no finished hypothesis has taken; none beyond the width of a
    sentence · and a sentence each (B,): length, the pieces so far · shortest and longest, the limits.
    """

    pieces: Integers
    log_probs: Floats
    free: Integers
    length: Integers
    shortest: Integers
    longest: Integers
    fills: ClassVar = {"pieces": PAD, "log_probs": -np.inf, "free": 0}

    @classmethod
    def start(cls, configs: Sequence[SearchConfig], sources: Sequence[Sequence[int]], rows: int) -> Self:
        """One live row a group, which holds nothing but the start piece."""
        limits = [config.lengths(len(source)) for config, source in zip(configs, sources, strict=True)]
        number = np.arange(rows)
        size = np.array([[config.group_size] for config in configs])
        width = np.array([[config.width] for config in configs])
        first = (number % size == 0) & (number < width)
        return cls(
            np.where(first, BEGIN, PAD),
            np.where(first, np.float32(0), _IMPOSSIBLE),
            size * (number < width),
            np.zeros(len(configs), dtype=np.int64),
            np.array([shortest for shortest, _ in limits]),
            np.array([longest for _, longest in limits]),
        )

    def left(self, sentence: int) -> int:
        """Pieces that may still come after the next one, the end of sentence not among them."""
        return max(0, int(self.longest[sentence] - self.length[sentence]) - 1)

    def advance(self, log_probs: Floats, choice: Choice, banks: Banks) -> Integers:
        """Extend the rows by one piece each, in place: log_probs (B, K, V) of the next, which are overwritten.

        Returns the parents (B, K).

        A group's best extensions take its free places in the order of their log-probability. One that ends keeps its
        place for good (Bahdanau et al. 2015 shrink the beam alike), so a beam of 1 is greedy search, and a beam wide
        enough to hold every hypothesis is exhaustive search. All extensions of a step are equally long, so they can be
        compared without penalties.
        """
        self._forbid(log_probs)
        best, at = choice(log_probs, self.log_probs, self.length, self.free, banks)
        empty = (choice.place >= self.free) | (best == _IMPOSSIBLE)
        parents, pieces = np.divmod(at, log_probs.shape[2])
        self.pieces, self.log_probs = np.where(empty, PAD, pieces), np.where(empty, _IMPOSSIBLE, best)
        self.length = self.length + 1
        return parents

    def end(self, choice: Choice) -> list[list[int]]:
        """Take the rows that have ended out of the beam, in place. Returns the sentence and the row of each."""
        ended = self.pieces == END
        if not np.count_nonzero(ended):
            return []
        self.pieces, self.log_probs = np.where(ended, PAD, self.pieces), np.where(ended, _IMPOSSIBLE, self.log_probs)
        of_own_group = choice.group[:, :, None] == choice.group[:, None]
        self.free = self.free - (of_own_group & ended[:, None]).sum(axis=-1)
        return np.argwhere(ended).tolist()

    def _forbid(self, log_probs: Floats) -> None:
        """log_probs (B, K, V), overwritten: -inf for pad, unknown and begin, and where a length forbids or forces.

        A row for which nothing is left may end, whatever forbids it: every sentence gets an answer.
        """
        log_probs[..., _NEVER] = _IMPOSSIBLE
        short, full = self.length < self.shortest, self.length >= self.longest
        if np.count_nonzero(short | full):
            ends = log_probs[..., END].copy()
            log_probs[short, :, END] = _IMPOSSIBLE
            log_probs[full] = _IMPOSSIBLE
            stuck = log_probs.max(axis=-1) == _IMPOSSIBLE
            log_probs[..., END] = np.where(stuck, ends, log_probs[..., END])


@dataclass(frozen=True, slots=True)
class Frame:
    """What a step left behind, to trace hypotheses back through.

    pieces, parents, log_probs (B, K) after the step · weights (B, K, S) of the rows before it · places: the row in
    these arrays of each sentence, by ticket, shared by all frames between two changes of the pool.
    """

    pieces: Integers
    parents: Integers
    log_probs: Floats
    weights: Floats
    places: dict[int, int]


def trace(frames: Sequence[Frame], ticket: int, row: int, source_size: int, config: SearchConfig) -> Hypothesis:
    """The hypothesis that ends in `row` of the last frame, read backwards from there to the first.

    Number by number, as NumPy takes longer to find a few of them.
    """
    pieces, totals, weights = [], [], []
    for frame in reversed(frames):
        place = frame.places[ticket]
        pieces.append(frame.pieces.item(place, row))
        totals.append(frame.log_probs.item(place, row))
        row = frame.parents.item(place, row)
        weights.append(frame.weights[place, row, :source_size])
    log_probs = np.array(totals[::-1], dtype=np.float32)
    log_probs[1:] -= log_probs[:-1].copy()
    attention = np.array(weights[::-1], dtype=np.float32)
    return Hypothesis(pieces[::-1], log_probs, attention, final_score(log_probs, attention, config))


def can_win(log_prob: float, length: int, finished: Sequence[Hypothesis], config: SearchConfig) -> bool:
    """Whether a row of that log-probability can be among the n best once it has ended, after `length` pieces at most.

    finished: the n best so far, best first. Exact: a search that stops here has lost nothing.

    A log-probability only falls and what penalties add is never positive, so the best that a row can become is its
    log-probability now over the largest length penalty to come.
    """
    return len(finished) < config.kept or log_prob / length_penalty(length, config) > finished[-1].score
