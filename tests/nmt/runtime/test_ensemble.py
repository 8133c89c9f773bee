"""Several models that write one translation, against one model and against sums that are written out."""

from collections.abc import Sequence
from itertools import chain, permutations
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table import TableStepper, log_softmax

from nmt.arrays import Floats
from nmt.config import SearchConfig
from nmt.runtime.ensemble import EnsembleStepper, Mixing, ensemble_of, mix
from nmt.search.engine import search_all
from nmt.search.hypothesis import Hypothesis
from nmt.search.stepper import Stepper
from nmt.text.tokenizer import BEGIN

SOURCES = [[4, 5, 3], [6, 3], [5, 5, 6, 4, 3], [4, 3]]
SEARCH = SearchConfig(beam_size=4, n_best=4, max_length=6, coverage_penalty=0.3)
MIXINGS: tuple[Mixing, ...] = get_args(Mixing)


class OtherTable(TableStepper):
    """A table of its own for each number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def log_probs(self, source: Sequence[int], pieces: Sequence[int]) -> Floats:
        """As if the source began with the number."""
        return super().log_probs([self.number, *source], pieces)

    def weights(self, source: Sequence[int], pieces: Sequence[int]) -> Floats:
        """As if the target began with the number."""
        return super().weights(source, [self.number, *pieces])


def assert_same(found: list[list[Hypothesis]], wanted: list[list[Hypothesis]]) -> None:
    """Pieces, probabilities, weights and scores."""
    for one, other in zip(*(list(chain.from_iterable(every)) for every in (found, wanted)), strict=True):
        assert one.pieces == other.pieces
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-5)
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-5)
        assert one.score == pytest.approx(other.score, abs=1e-5)


@pytest.mark.parametrize("mixing", MIXINGS)
def test_a_model_with_itself_is_the_model(mixing: Mixing) -> None:
    """Three of a kind say what one says, through a whole search of sentences that come and go."""
    one = TableStepper()

    assert_same(search_all(EnsembleStepper([one] * 3, mixing), SOURCES, SEARCH), search_all(one, SOURCES, SEARCH))


@pytest.mark.parametrize("mixing", MIXINGS)
def test_the_order_of_the_models_does_not_matter(mixing: Mixing) -> None:
    """Any order gives the same hypotheses."""
    members = [OtherTable(number) for number in range(3)]
    first, *others = (search_all(EnsembleStepper(order, mixing), SOURCES, SEARCH) for order in permutations(members))

    for other in others:
        assert_same(other, first)


def test_the_models_decide_together_and_their_attention_is_averaged() -> None:
    """One step of two models is the mixture of their steps, row by row."""
    members = [OtherTable(number) for number in range(2)]
    stepper = EnsembleStepper(members, "mean")
    pieces = np.full((len(SOURCES), 1), BEGIN)
    step = stepper.step(pieces, stepper.start(SOURCES))

    for row, source in enumerate(SOURCES):
        probs = np.mean([np.exp(member.log_probs(source, [])) for member in members], axis=0)
        weights = np.mean([member.weights(source, []) for member in members], axis=0)
        np.testing.assert_allclose(np.exp(step.log_probs[row, 0]), probs, rtol=1e-5)
        np.testing.assert_allclose(step.weights[row, 0, : len(source)], weights, rtol=1e-5)


def test_one_alone_is_stepped_as_it_is() -> None:
    """There is nothing to mix."""
    one: Stepper[object] = TableStepper()  # type: ignore[assignment]

    assert ensemble_of([one], "mean") is one


MEMBERS = st.lists(st.lists(st.floats(-9, 9), min_size=3, max_size=3).map(np.array).map(log_softmax), min_size=2)


@given(log_probs=MEMBERS)
def test_mean_is_that_of_the_probabilities(log_probs: list[Floats]) -> None:
    """Of each piece; it sums to 1 of itself."""
    np.testing.assert_allclose(np.exp(mix(log_probs, "mean")), np.exp(log_probs).mean(axis=0), rtol=1e-4)


@given(log_probs=MEMBERS)
def test_log_linear_is_the_geometric_mean_of_the_probabilities(log_probs: list[Floats]) -> None:
    """Brought to the sum 1."""
    product = np.exp(log_probs, dtype=np.float64).prod(axis=0) ** (1 / len(log_probs))

    np.testing.assert_allclose(np.exp(mix(log_probs, "log_linear")), product / product.sum(), rtol=1e-3, atol=1e-5)


def test_what_one_model_is_sure_against_survives_in_the_mean_alone() -> None:
    """That is the difference between the two."""
    log_probs = [np.log(np.array(probs, np.float32)) for probs in ([0.9, 0.1], [1e-9, 1 - 1e-9])]

    assert np.exp(mix(log_probs, "mean")[0]) == pytest.approx(0.45)
    assert np.exp(mix(log_probs, "log_linear")[0]) < 0.01


@pytest.mark.parametrize("mixing", MIXINGS)
def test_what_no_model_finds_possible_is_impossible(mixing: Mixing) -> None:
    """And not no number at all."""
    log_probs = [np.log(np.array(shares, np.float32)) for shares in ([0.25, 0.75], [0.5, 0.5])]
    found = mix([np.append(own, np.float32(-np.inf)) for own in log_probs], mixing)

    np.testing.assert_allclose(found, np.append(mix(log_probs, mixing), np.float32(-np.inf)), rtol=1e-6)
