"""How hypotheses of different length, and of different coverage of the source, are compared.

score = log-probability / length penalty + coverage penalty, where the length counts the end of sentence.
"""

import numpy as np

from nmt.config import SearchConfig
from nmt.search.hypothesis import Floats

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


def final_score(log_prob: float, weights: Floats, config: SearchConfig) -> float:
    """The score that hypotheses are ranked by. weights (T, S)."""
    score = log_prob / length_penalty(len(weights), config)
    return score + (coverage_penalty(weights, config) if config.coverage_penalty else 0.0)
