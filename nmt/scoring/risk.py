"""The choice that is best on average, if the other candidates were the right translation."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from sacrebleu.metrics.chrf import CHRF

from nmt.scoring.metrics import bleu, forget_lines

Utility = Literal["chrf", "bleu"]


def by_expected_utility(texts: Sequence[str], weights: Sequence[float], utility: Utility) -> list[int]:
    """The candidates in the order of Σ over all, each itself among them, of weight · utility(candidate, other), best
    first.

    Minimum-Bayes-risk decoding (Kumar & Byrne 2004; with samples, which weigh the same, Eikema & Aziz 2020). The
    utility is sacreBLEU's of one sentence: chrF2, or BLEU with effective order. Of equals, the first stays first.
    """
    metric = CHRF() if utility == "chrf" else bleu(of_sentences=True)
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    different = list(dict.fromkeys(texts))
    share = {text: shares[[i for i, other in enumerate(texts) if other == text]].sum() for text in different}
    try:
        expected = {
            text: sum(share[other] * metric.sentence_score(text, [other]).score for other in different)
            for text in different
        }
    finally:
        forget_lines()
    return sorted(range(len(texts)), key=lambda i: -expected[texts[i]])
