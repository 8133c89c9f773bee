"""Signs, without a reference, that a translation is good or is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nmt.arrays import Floats

Sign = Literal["low_confidence", "uncovered", "over_covered", "repetition"]

_COVERED = 0.2  # the attention that a source word must have got, over all target words, to count as translated
_OVER_COVERED = 2.5  # and what is so much that it may stand in the translation twice
_LONGEST_UNIT = 4
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Quality:
    """confidence: the geometric mean of the pieces' probabilities · coverage: the share of source words that the
    translation looked at · repetition: whether it says the same several times in a row · uncovered, over_covered: the
    numbers of the source words that it did not look at, and of those that it looked at too much."""

    confidence: float
    coverage: float
    repetition: bool
    uncovered: list[int]
    over_covered: list[int]


def quality(log_probs: Floats, looked_at: Floats, target_words: Sequence[str]) -> Quality:
    """log_probs (pieces,) · looked_at (source words,): the weight that each got, over all target words."""
    uncovered, over_covered = looked_at < _COVERED, looked_at > _OVER_COVERED
    return Quality(
        confidence(log_probs),
        1 - float(uncovered.mean()) if uncovered.size else 1.0,
        repeats(target_words),
        np.flatnonzero(uncovered).tolist(),
        np.flatnonzero(over_covered).tolist(),
    )


def confidence(log_probs: Floats) -> float:
    """The geometric mean of the pieces' probabilities, which does not fall with their number; of no pieces, 0."""
    return float(np.exp(log_probs.mean())) if log_probs.size else 0.0


def repeats(units: Sequence[str]) -> bool:
    """Whether some run of one to four units stands three times in a row; signs alone, as in "...", do not count."""
    for size in range(1, _LONGEST_UNIT + 1):
        for start in range(len(units) - _REPEATS * size + 1):
            unit = units[start : start + size]
            again = (units[start + n * size : start + (n + 1) * size] for n in range(1, _REPEATS))
            if any(text[0].isalnum() for text in unit) and all(other == unit for other in again):
                return True
    return False
