"""One step of beam search over many sentences at once, each with its own settings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nmt.config import SearchConfig
from nmt.search.hypothesis import Floats, Hypothesis
from nmt.search.penalties import final_score, length_penalty
from nmt.text.tokenizer import BEGIN, END, PAD, UNKNOWN

_NEVER = torch.tensor([PAD, UNKNOWN, BEGIN])
_IMPOSSIBLE = float("-inf")


@dataclass(slots=True)
class Beams:
    """The rows of B sentences, K a sentence. A row whose log-probability is -inf is empty.

    pieces (B, K), the last of each row · log_probs (B, K), of each row so far · and a sentence each (B,): length, the
    pieces so far · free, the places that no finished hypothesis has taken · shortest and longest, the limits.
    """

    pieces: Tensor
    log_probs: Tensor
    length: Tensor
    free: Tensor
    shortest: Tensor
    longest: Tensor

    @classmethod
    def start(cls, configs: Sequence[SearchConfig], rows: int) -> "Beams":
        """One live row a sentence, which holds nothing but the start piece."""
        log_probs = torch.full((len(configs), rows), _IMPOSSIBLE)
        log_probs[:, 0] = 0.0
        return cls(
            torch.full((len(configs), rows), BEGIN),
            log_probs,
            torch.zeros(len(configs), dtype=torch.long),
            torch.tensor([config.width for config in configs]),
            torch.tensor([config.min_length for config in configs]),
            torch.tensor([config.max_length for config in configs]),
        )

    def select(self, sentences: Tensor, rows: int) -> "Beams":
        """The given sentences with `rows` rows each: more rows come empty, fewer must have been empty."""
        pieces, log_probs = self.pieces[sentences, :rows], self.log_probs[sentences, :rows]
        extra = rows - pieces.size(1)
        pieces = torch.nn.functional.pad(pieces, (0, extra), value=BEGIN)
        log_probs = torch.nn.functional.pad(log_probs, (0, extra), value=_IMPOSSIBLE)
        return Beams(pieces, log_probs, *(getattr(self, name)[sentences] for name in _A_SENTENCE))

    def join(self, other: "Beams") -> "Beams":
        """The sentences of both, which have the same number of rows."""
        return Beams(*(torch.cat([getattr(self, name), getattr(other, name)]) for name in self.__slots__))

    def advance(self, log_probs: Tensor) -> Tensor:
        """Extend the rows by one piece each, in place: log_probs (B, K, V) of the next. Returns the parents (B, K).

        A sentence's best extensions take its free places in the order of their log-probability. One that ends keeps its
        place for good (Bahdanau et al. 2015 shrink the beam alike), so a beam of 1 is greedy search, and a beam wide
        enough to hold every hypothesis is exhaustive search. All extensions of a step are equally long, so they can be
        compared without penalties.
        """
        sentences, rows, vocabulary = log_probs.shape
        extended = (self.log_probs.unsqueeze(-1) + self._allowed(log_probs)).view(sentences, rows * vocabulary)
        best, at = extended.topk(rows, dim=-1)
        parents = at // vocabulary
        taken = torch.arange(rows) >= self.free.unsqueeze(1)
        self.pieces = at % vocabulary
        self.log_probs = best.masked_fill(taken, _IMPOSSIBLE)
        self.length += 1
        return parents

    def end(self) -> Tensor:
        """Take the rows that have ended out of the beam, in place. Returns where they are (B, K)."""
        ended = (self.pieces == END) & (self.log_probs > _IMPOSSIBLE)
        self.log_probs = self.log_probs.masked_fill(ended, _IMPOSSIBLE)
        self.free = self.free - ended.sum(dim=1)
        return ended

    def _allowed(self, log_probs: Tensor) -> Tensor:
        """log_probs (B, K, V) with -inf for pieces that no text has and where the limits of length forbid or force."""
        log_probs = log_probs.index_fill(2, _NEVER, _IMPOSSIBLE)
        if bool((self.length < self.shortest).any()):
            log_probs[..., END].masked_fill_((self.length < self.shortest).unsqueeze(1), _IMPOSSIBLE)
        full = self.length >= self.longest
        if bool(full.any()):
            ends = log_probs[..., END].clone()
            log_probs.masked_fill_(full[:, None, None], _IMPOSSIBLE)
            log_probs[..., END] = ends
        return log_probs


_A_SENTENCE = ("length", "free", "shortest", "longest")


@dataclass(frozen=True, slots=True)
class Frame:
    """What a step left behind, to trace hypotheses back through.

    pieces, parents, log_probs (B, K) after the step · weights (B, K, S) of the rows before it · places: the row in
    these arrays of each sentence, by ticket, shared by all frames between two changes of the pool.
    """

    pieces: NDArray[np.int64]
    parents: NDArray[np.int64]
    log_probs: Floats
    weights: Floats
    places: dict[int, int]


def trace(frames: Sequence[Frame], ticket: int, row: int, source_size: int, config: SearchConfig) -> Hypothesis:
    """The hypothesis that ends in `row` of the last frame, read backwards from there to the first."""
    pieces, totals, weights = [], [], []
    for frame in reversed(frames):
        place = frame.places[ticket]
        parent = frame.parents[place, row]
        pieces.append(int(frame.pieces[place, row]))
        totals.append(frame.log_probs[place, row])
        weights.append(frame.weights[place, parent, :source_size])
        row = parent
    log_probs = np.diff(np.array(totals[::-1], dtype=np.float32), prepend=np.float32(0))
    attention = np.array(weights[::-1], dtype=np.float32)
    return Hypothesis(pieces[::-1], log_probs, attention, final_score(float(totals[0]), attention, config))


def can_still_win(best_live: float, finished: Sequence[Hypothesis], config: SearchConfig) -> bool:
    """Whether a live row can still enter the n-best list. Exact: a search that stops here has lost nothing.

    A log-probability only falls and a coverage penalty is never positive, so the best that a row can become is its
    log-probability now over the largest length penalty to come.
    """
    if len(finished) < config.n_best:
        return True
    threshold = sorted((hypothesis.score for hypothesis in finished), reverse=True)[config.n_best - 1]
    return best_live / length_penalty(config.max_length + 1, config) > threshold
