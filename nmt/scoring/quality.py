"""Signs, without a reference, that a translation is good or is not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmt.search.hypothesis import Floats

_COVERED = 0.2  # the attention that a source word must have got, over all target words, to count as translated
_LONGEST_UNIT = 4
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Quality:
    """confidence: the geometric mean of the pieces' probabilities · coverage: the share of source words that the
    translation looked at · repetition: whether it says the same several times in a row."""

    confidence: float
    coverage: float
    repetition: bool


def quality(log_probs: Floats, word_weights: Floats, target_words: Sequence[str]) -> Quality:
    """log_probs (pieces,), word_weights (target words, source words)."""
    looked_at = np.minimum(word_weights, 1).sum(axis=0) if word_weights.size else np.zeros(word_weights.shape[1])
    coverage = float((looked_at >= _COVERED).mean()) if looked_at.size else 1.0
    confidence = float(np.exp(log_probs.mean())) if log_probs.size else 0.0
    return Quality(confidence, coverage, repeats(target_words))


def repeats(units: Sequence[str]) -> bool:
    """Whether some run of one to four units stands three times in a row; signs alone, as in "...", do not count."""
    for size in range(1, _LONGEST_UNIT + 1):
        for start in range(len(units) - _REPEATS * size + 1):
            unit = units[start : start + size]
            again = (units[start + n * size : start + (n + 1) * size] for n in range(1, _REPEATS))
            if any(text[0].isalnum() for text in unit) and all(other == unit for other in again):
                return True
    return False
