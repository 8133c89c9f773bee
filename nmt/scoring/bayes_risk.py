"""Minimum Bayes risk: of several translations, the one that agrees most with all the others."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from nmt.search.hypothesis import Floats

Utility = Literal["chrf", "bleu"]


def utilities(texts: Sequence[str], utility: Utility) -> Floats:
    """(N, N): what each text scores, from 0 to 100, if another (by column) is the reference: sentence-level chrF2, or
    sentence-level BLEU with effective order."""
    metric: Any = CHRF() if utility == "chrf" else BLEU(effective_order=True)
    return np.array(
        [[metric.sentence_score(text, [reference]).score for reference in texts] for text in texts], dtype=np.float32
    )


def expected_utilities(texts: Sequence[str], probs: Floats, utility: Utility) -> Floats:
    """(N,): the mean utility of each text, where reference n is right with the probability probs (N,).

    The text with the largest has the minimum Bayes risk (Kumar & Byrne 2004; for samples, which are all equally
    probable, Eikema & Aziz 2020). Equal texts are compared once.
    """
    distinct = list(dict.fromkeys(texts))
    number = np.array([distinct.index(text) for text in texts])
    mass = np.bincount(number, weights=probs)
    expected: Floats = (utilities(distinct, utility) @ mass)[number]
    return expected
