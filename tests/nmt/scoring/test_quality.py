"""Signs of quality, on cases that can be reckoned by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.scoring.quality import quality, repeats

ONE_WORD = np.ones(1, dtype=np.float32)
SURE = np.zeros(1, dtype=np.float32)


def test_confidence_is_the_geometric_mean_of_the_probabilities() -> None:
    """One half and one eighth make one quarter."""
    log_probs = np.log(np.array([0.5, 0.125], dtype=np.float32))

    assert quality(log_probs, ONE_WORD, ["x"]).confidence == pytest.approx(0.25)


@given(log_probs=st.lists(st.floats(-50, 0), min_size=1, max_size=9))
def test_confidence_lies_between_the_least_and_the_most_likely_piece(log_probs: list[float]) -> None:
    """It is a mean, and a probability."""
    found = quality(np.array(log_probs), ONE_WORD, ["x"]).confidence

    assert math.exp(min(log_probs)) * 0.999 <= found <= min(1.0, math.exp(max(log_probs)) * 1.001)


def test_a_translation_without_pieces_inspires_no_confidence() -> None:
    """There is no mean of nothing."""
    assert quality(np.zeros(0, dtype=np.float32), ONE_WORD, []).confidence == 0


def test_coverage_is_the_share_of_source_words_that_were_looked_at() -> None:
    """Two words got a fifth or more in all, one of them in bits; the other two did not."""
    weights = np.array([[0.7, 0.15, 0.05, 0.1], [0.75, 0.15, 0.1, 0.0]], dtype=np.float32)

    assert quality(SURE, weights.sum(axis=0), ["x", "y"]).coverage == 0.5


@pytest.mark.parametrize(("shape", "coverage"), [((0, 3), 0.0), ((2, 0), 1.0), ((0, 0), 1.0)])
def test_coverage_without_words_on_a_side(shape: tuple[int, int], coverage: float) -> None:
    """An empty translation covers nothing; of an empty source nothing is left out."""
    assert quality(SURE, np.zeros(shape, dtype=np.float32).sum(axis=0), []).coverage == coverage


def test_source_words_that_got_too_little_or_too_much_are_named() -> None:
    """The first was looked at by all three target words, the last by none."""
    weights = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.9, 0.1, 0.0]], dtype=np.float32)
    found = quality(SURE, weights.sum(axis=0), ["x", "y", "z"])

    assert (found.over_covered, found.uncovered) == ([0], [2])


@given(weights=st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=4))
def test_coverage_is_a_share(weights: list[list[float]]) -> None:
    """It lies between 0 and 1, and another target word never makes it less."""
    matrix = np.array(weights)

    assert (
        0 <= quality(SURE, matrix[:-1].sum(axis=0), []).coverage <= quality(SURE, matrix.sum(axis=0), []).coverage <= 1
    )


@pytest.mark.parametrize(
    "text",
    [
        "no no no",
        "well no no no",
        "of the of the of the",
        "a b c a b c a b c",
        "a b c d a b c d a b c d e",
        "so . so . so .",
    ],
)
def test_a_run_that_stands_three_times_is_a_repetition(text: str) -> None:
    """Runs of one to four words count, wherever they stand."""
    assert repeats(text.split())
    assert quality(SURE, ONE_WORD, text.split()).repetition


@pytest.mark.parametrize(
    "text", ["", "no", "no no", "no no yes no no", "a b a b a", ". . .", "? ! ? ! ? !", "a b c d e " * 3]
)
def test_what_stands_twice_or_is_made_of_signs_is_no_repetition(text: str) -> None:
    """Emphasis and an ellipsis are legitimate, and runs of five words are not looked for."""
    assert not repeats(text.split())


@given(
    before=st.lists(st.sampled_from("pqr.")),
    unit=st.lists(st.sampled_from("xy!"), min_size=1, max_size=4).filter(lambda u: "x" in u),
    after=st.lists(st.sampled_from("pqr.")),
)
def test_a_repetition_is_found_in_any_surroundings(before: list[str], unit: list[str], after: list[str]) -> None:
    """What stands before and after hides nothing."""
    assert repeats([*before, *unit * 3, *after])
