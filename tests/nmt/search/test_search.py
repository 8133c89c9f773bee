"""Search, held against exhaustive search and against itself under other circumstances."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table import TableStepper

from nmt.config import SearchConfig
from nmt.search.engine import Engine, search_all
from nmt.search.hypothesis import Hypothesis
from nmt.search.penalties import coverage_penalty, final_score, length_penalty
from nmt.text.tokenizer import END

LETTERS = (4, 5, 6)
STEPPER = TableStepper()
SOURCES = [[4, 5, 3], [6, 3], [5, 5, 6, 4, 3], [4, 3], [6, 6, 6, 3]]


def every_hypothesis(source: Sequence[int], config: SearchConfig) -> list[Hypothesis]:
    """All hypotheses within the limits of length, scored one by one."""
    paths: list[list[int]] = [[]]
    finished = []
    while paths:
        path = paths.pop()
        if len(path) >= config.min_length:
            finished.append([*path, END])
        if len(path) < config.max_length:
            paths += [[*path, letter] for letter in LETTERS]
    return [scored(source, pieces, config) for pieces in finished]


def scored(source: Sequence[int], pieces: list[int], config: SearchConfig) -> Hypothesis:
    """A hypothesis with what the table says of it."""
    prefixes = [pieces[:i] for i in range(len(pieces))]
    log_probs = np.array([STEPPER.log_probs(source, p)[piece] for p, piece in zip(prefixes, pieces, strict=True)])
    weights = np.array([STEPPER.weights(source, prefix) for prefix in prefixes])
    return Hypothesis(pieces, log_probs, weights, final_score(log_probs, weights, config))


configs = st.builds(
    SearchConfig,
    beam_size=st.integers(1, 5),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0]),
    length_penalty_form=st.sampled_from(["power", "gnmt"]),
    coverage_penalty=st.sampled_from([0.0, 0.3]),
    end_penalty=st.sampled_from([0.0, 0.2]),
    max_length=st.integers(3, 6),
    min_length=st.integers(0, 3),
)


@pytest.mark.parametrize("source", SOURCES, ids=str)
@pytest.mark.parametrize("form", ["power", "gnmt"])
@pytest.mark.parametrize("coverage", [0.0, 0.4])
def test_widest_beam_is_exhaustive_search(source: list[int], form: str, coverage: float) -> None:
    """A beam that holds every hypothesis finds the best of all, and the n best in order."""
    config = SearchConfig(
        beam_size=32, n_best=3, max_length=2, length_penalty_form=form, coverage_penalty=coverage, length_penalty=0.7
    )
    best = sorted(every_hypothesis(source, config), key=lambda h: -h.score)[:3]
    found = search_all(STEPPER, [source], config)[0]

    assert [h.pieces for h in found] == [h.pieces for h in best]
    assert [h.score for h in found] == pytest.approx([h.score for h in best], abs=1e-4)


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_beam_of_one_is_greedy(source: list[int]) -> None:
    """Beam 1, method greedy, and taking the best piece step by step are the same."""
    pieces: list[int] = []
    while not pieces or pieces[-1] != END:
        log_probs = STEPPER.log_probs(source, pieces)
        allowed = [END, *LETTERS] if len(pieces) < 9 else [END]
        pieces.append(max(allowed, key=lambda piece: float(log_probs[piece])))
    beam = search_all(STEPPER, [source], SearchConfig(beam_size=1, max_length=9))[0][0]
    greedy = search_all(STEPPER, [source], SearchConfig(method="greedy", max_length=9))[0][0]

    assert beam.pieces == greedy.pieces == pieces


@given(config=configs)
@settings(max_examples=30, deadline=None)
def test_a_batch_is_its_sentences_one_by_one(config: SearchConfig) -> None:
    """Neighbours change neither text nor score nor attention."""
    together = search_all(STEPPER, SOURCES, config)
    alone = [search_all(STEPPER, [source], config)[0] for source in SOURCES]

    assert [[h.pieces for h in own] for own in together] == [[h.pieces for h in own] for own in alone]
    for one, other in zip(together, alone, strict=True):
        assert one[0].score == pytest.approx(other[0].score, abs=1e-5)
        assert np.allclose(one[0].weights, other[0].weights, atol=1e-6)


@given(config=configs, source=st.sampled_from(SOURCES))
@settings(max_examples=30, deadline=None)
def test_what_search_says_of_a_hypothesis_is_true(config: SearchConfig, source: list[int]) -> None:
    """Log-probabilities, attention and score are those of the pieces, and the limits of length are kept."""
    for found in search_all(STEPPER, [source], config)[0]:
        expected = scored(source, found.pieces, config)

        assert found.pieces[-1] == END
        assert config.min_length <= len(found.pieces) - 1 <= config.max_length
        assert np.allclose(found.log_probs, expected.log_probs, atol=1e-4)
        assert np.allclose(found.weights, expected.weights, atol=1e-5)
        assert found.score == pytest.approx(expected.score, abs=1e-4)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_sentences_that_enter_a_running_batch_are_translated_as_alone(seed: int) -> None:
    """Random arrivals, each with settings of its own, in an engine with few rows; nothing is lost or doubled."""
    rng = random.Random(seed)
    work = [
        (rng.choice(SOURCES), SearchConfig(beam_size=rng.randint(1, 4), max_length=rng.randint(1, 5)))
        for _ in range(12)
    ]
    engine, waiting = Engine(STEPPER, max_rows=9), list(range(len(work)))
    tickets: dict[int, int] = {}
    found: dict[int, list[Hypothesis]] = {}
    while waiting or engine.busy:
        for _ in range(min(len(waiting), rng.randint(0, 3))):
            number = waiting.pop()
            tickets[engine.submit(*work[number])] = number
        for finished in engine.step():
            assert tickets[finished.ticket] not in found
            found[tickets[finished.ticket]] = finished.hypotheses

    assert len(found) == len(work)
    for number, (source, config) in enumerate(work):
        assert [h.pieces for h in found[number]] == [h.pieces for h in search_all(STEPPER, [source], config)[0]]


def test_cancelled_sentences_disappear_and_change_nothing() -> None:
    """One cancelled in the pool and one in the queue: neither is answered, the others are as ever."""
    config = SearchConfig(beam_size=3, max_length=5, min_length=4)
    engine = Engine(STEPPER, max_rows=9)
    tickets = [engine.submit(source, config) for source in SOURCES]
    engine.step()
    engine.cancel(tickets[0])
    engine.cancel(tickets[4])
    answered = {finished.ticket: finished.hypotheses for finished in engine.run()}

    assert sorted(answered) == sorted(set(tickets) - {tickets[0], tickets[4]})
    assert not engine.busy
    for number in (1, 2, 3):
        expected = search_all(STEPPER, [SOURCES[number]], config)[0][0].pieces
        assert answered[tickets[number]][0].pieces == expected


def test_first_come_first_served_within_the_rows() -> None:
    """With room for two sentences, the third waits until one has gone."""
    engine = Engine(STEPPER, max_rows=4)
    for source in SOURCES[:3]:
        engine.submit(source, SearchConfig(beam_size=2, max_length=3, min_length=3))
    engine.step()

    assert [len(engine.step()) for _ in range(7)] == [0, 0, 2, 0, 0, 0, 1]


def test_a_sentence_that_exceeds_every_budget_is_still_translated() -> None:
    """A pool that is empty takes anything."""
    engine = Engine(STEPPER, max_rows=1, max_memory=1)
    engine.submit(SOURCES[2], SearchConfig(beam_size=5, max_length=3))

    assert len(next(engine.run()).hypotheses) == 1


def test_an_engine_without_work_steps_in_vain() -> None:
    """Nothing in, nothing out."""
    assert Engine(STEPPER).step() == []


def test_n_best_is_sorted_and_distinct() -> None:
    """The alternatives come best first, and no two are the same."""
    found = search_all(STEPPER, [SOURCES[0]], SearchConfig(beam_size=5, n_best=5, max_length=6))[0]

    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert len({tuple(h.pieces) for h in found}) == len(found) == 5


def test_stopping_early_loses_nothing() -> None:
    """Without length normalization the search ends before the beam is full, with the same best hypothesis."""
    config = SearchConfig(beam_size=32, max_length=3, length_penalty=0.0)
    for source in SOURCES:
        best = max(every_hypothesis(source, config), key=lambda h: h.score)

        assert search_all(STEPPER, [source], config)[0][0].pieces == best.pieces


def test_stopping_early_saves_steps() -> None:
    """What cannot win any more is not searched to the longest length."""
    steps = 0

    class Counting(TableStepper):
        def step(self, *given: Any) -> Any:
            nonlocal steps
            steps += 1
            return super().step(*given)

    search_all(Counting(), [[4, 5, END]], SearchConfig(beam_size=4, max_length=30, length_penalty=0.0))
    assert steps < 15


def test_length_penalties_follow_the_papers() -> None:
    """Power: length to the exponent. GNMT: Wu et al. 2016, eq. 14."""
    assert length_penalty(9, SearchConfig(length_penalty=0.5)) == pytest.approx(3)
    assert length_penalty(7, SearchConfig(length_penalty=2.0, length_penalty_form="gnmt")) == pytest.approx(4)
    assert length_penalty(7, SearchConfig(length_penalty=0.0)) == 1


def test_coverage_penalty_follows_the_paper_and_is_finite_where_nothing_looked() -> None:
    """The sum of log min(coverage, 1); a source piece without any attention costs as much as one with 10⁻⁴."""
    weights = np.array([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]], dtype=np.float32)

    assert coverage_penalty(weights, SearchConfig(coverage_penalty=2.0)) == pytest.approx(2 * np.log(0.75 * 1e-4))


@pytest.mark.parametrize("form", ["power", "gnmt"])
@pytest.mark.parametrize("coverage", [0.0, 0.3])
@pytest.mark.parametrize("end", [0.0, 0.2])
def test_a_score_is_the_formula_of_the_docs(form: str, coverage: float, end: float) -> None:
    """Σ log P / lp + cp + ep, by hand for three pieces of the target and two of the source."""
    log_probs = np.array([-0.3, -0.7, -0.5], dtype=np.float32)
    weights = np.array([[0.5, 0.5], [0.1, 0.9], [0.2, 0.8]], dtype=np.float32)
    options = {"length_penalty": 0.5, "length_penalty_form": form, "coverage_penalty": coverage, "end_penalty": end}
    score = final_score(log_probs, weights, SearchConfig.model_validate(options))
    length = 3 if form == "power" else 8 / 6

    assert score == pytest.approx(-1.5 / length**0.5 + coverage * np.log(0.8) + end * 2 / 3 * -0.5)


def test_weights_of_every_hypothesis_sum_to_one() -> None:
    """Not only the best carries its attention."""
    for found in search_all(STEPPER, SOURCES, SearchConfig(beam_size=4, n_best=4, max_length=5)):
        for hypothesis in found:
            assert hypothesis.weights.shape[0] == len(hypothesis.pieces)
            assert np.allclose(hypothesis.weights.sum(axis=1), 1, atol=1e-5)
