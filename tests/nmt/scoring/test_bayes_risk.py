"""The choice by minimum Bayes risk, against sums that are written out."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu import sentence_bleu, sentence_chrf

from nmt.scoring.bayes_risk import Utility, expected_utilities, utilities

TEXTS = st.lists(st.text(alphabet="ab c", min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=5)


@pytest.mark.parametrize(("utility", "scorer"), [("chrf", sentence_chrf), ("bleu", sentence_bleu)])
@given(texts=TEXTS, seed=st.integers(0, 99))
def test_expected_utility_is_the_mean_over_all_candidates(
    utility: Utility, scorer: Any, texts: list[str], seed: int
) -> None:
    """Of each text as the translation and each as its reference, also where texts are equal."""
    probs = np.random.default_rng(seed).dirichlet(np.ones(len(texts)))
    wanted = [sum(p * scorer(text, [other]).score for p, other in zip(probs, texts, strict=True)) for text in texts]

    assert expected_utilities(texts, probs, utility).tolist() == pytest.approx(wanted, abs=1e-3)


def test_the_text_in_the_middle_is_chosen() -> None:
    """Each of the others agrees with it more than with the third, though none is the same."""
    texts = ["the cat sat there", "the dog sat there", "the dog ran there"]

    assert int(expected_utilities(texts, np.full(3, 1 / 3), "chrf").argmax()) == 1


def test_rows_are_translations_and_columns_references() -> None:
    """A short translation of a long reference is worse than a long one of a short reference: chrF2 weighs recall."""
    matrix = utilities(["the dog", "the dog sat on the mat"], "chrf")

    assert matrix[0, 1] < matrix[1, 0]
    assert matrix.diagonal().tolist() == [100, 100]
