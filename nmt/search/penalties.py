"""How hypotheses of different length, and of different coverage of the source, are compared.

score = log-probability / length penalty + coverage penalty + end penalty, where the length counts the end of sentence.
Neither of the two that are added is ever positive, on which `nmt.search.beam.can_win` relies.
"""

import numpy as np

from nmt.arrays import Floats
from nmt.config import SearchConfig

_LEAST_COVERAGE = 1e-4  # a source piece that no target piece looked at; its logarithm must stay finite


def length_penalty(length: int, config: SearchConfig) -> float:
    """What a log-probability is divided by.

    ``power``: length^a; with a = 1 the mean log-probability of a piece.
    ``gnmt``: ((5 + length) / 6)^a (Wu et al. 2016, eq. 14).
    """
    base = float(length) if config.length_penalty_form == "power" else (5 + length) / 6
    return float(base**config.length_penalty)


def coverage_penalty(weights: Floats, config: SearchConfig) -> float:
    """b · Σ log min(Σ weights, 1) over the source pieces (Wu et al. 2016, eq. 14); never positive.

    weights (T, S).
    """
    covered = np.clip(weights.sum(axis=0), _LEAST_COVERAGE, 1.0)
    return config.coverage_penalty * float(np.log(covered).sum())


def end_penalty(log_probs: Floats, weights: Floats, config: SearchConfig) -> float:
    """c · S / T · log P(end of sentence); never positive (OpenNMT's end-of-sentence normalization: Klein et al. 2017).

    An end that the model did not expect is most often one that comes too early, and then S / T is large as well.
    """
    target_pieces, source_pieces = weights.shape
    return float(config.end_penalty * source_pieces / target_pieces * log_probs[-1])


def final_score(log_probs: Floats, weights: Floats, config: SearchConfig) -> float:
    """The score that hypotheses are ranked by. log_probs (T,), the end of sentence last · weights (T, S)."""
    score = float(log_probs.sum()) / length_penalty(len(log_probs), config)
    if config.coverage_penalty:
        score += coverage_penalty(weights, config)
    if config.end_penalty:
        score += end_penalty(log_probs, weights, config)
    return score
