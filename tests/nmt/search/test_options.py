"""Each option of the search keeps its promise, whatever the table says and whoever decodes beside it."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from table import TableStepper, log_softmax

from nmt.arrays import Integers
from nmt.config import SearchConfig
from nmt.search.choice import Choice, likeliest, uniform
from nmt.search.engine import Engine, search_all
from nmt.search.hypothesis import Hypothesis
from nmt.search.penalties import end_penalty, length_penalty
from nmt.search.repetition import LONGEST_LOOP
from nmt.text.tokenizer import END

STEPPER = TableStepper()
sources = st.lists(st.integers(4, 6), min_size=1, max_size=5).map(lambda pieces: [*pieces, END])
methods = st.sampled_from([{"method": "beam", "beam_size": 4}, {"method": "greedy"}, {"method": "sample", "seed": 5}])
examples = settings(max_examples=40)


def text(hypothesis: Hypothesis) -> list[int]:
    """The pieces without the end of sentence."""
    assert hypothesis.pieces[-1] == END
    return hypothesis.pieces[:-1]


@given(source=sources, method=methods, n=st.integers(1, 4))
@examples
def test_no_ngram_stands_twice(source: list[int], method: dict[str, object], n: int) -> None:
    """Not even where the shortest length is out of reach for it: then the translation ends earlier."""
    config = SearchConfig.model_validate({**method, "no_repeat_ngram": n, "max_length": 14, "min_length": 12})
    for hypothesis in search_all(STEPPER, [source], config)[0]:
        pieces = text(hypothesis)
        ngrams = [tuple(pieces[i : i + n]) for i in range(len(pieces) - n + 1)]

        assert len(set(ngrams)) == len(ngrams)


@given(source=sources, method=methods, repeats=st.integers(1, 3))
@examples
def test_no_unit_stands_too_often_in_a_row(source: list[int], method: dict[str, object], repeats: int) -> None:
    """A loop of one to LONGEST_LOOP pieces ends after `max_repeats` rounds."""
    config = SearchConfig.model_validate({**method, "max_repeats": repeats, "max_length": 20, "min_length": 18})
    for hypothesis in search_all(STEPPER, [source], config)[0]:
        pieces = text(hypothesis)
        for size in range(1, LONGEST_LOOP + 1):
            for start in range(len(pieces) - size * (repeats + 1) + 1):
                rounds = [pieces[start + i * size : start + (i + 1) * size] for i in range(repeats + 1)]
                assert any(one != other for one, other in pairwise(rounds))


def test_what_is_remembered_against_repetition_is_bounded() -> None:
    """By the longest translation under way, however long the pool has not been empty."""
    engine, config = Engine(STEPPER), SearchConfig(no_repeat_ngram=3, max_length=6)
    for number in range(200):
        engine.submit([4 + number % 3, END], config)
        engine.step()
        assert engine._pool is None or engine._pool.repetition.history.shape[2] <= 7


def test_a_guard_changes_nothing_where_nothing_repeats() -> None:
    """The same hypotheses as without, when those do not repeat themselves."""
    plain = SearchConfig(beam_size=4, max_length=6)
    for source in ([4, 5, END], [6, 6, END], [5, END]):
        found = search_all(STEPPER, [source], plain)[0][0]
        if len(set(found.pieces)) == len(found.pieces):
            guarded = search_all(STEPPER, [source], SearchConfig(beam_size=4, max_length=6, max_repeats=3))[0][0]

            assert guarded.pieces == found.pieces


@given(source=sources, method=methods, low=st.floats(0, 2), more=st.floats(0.1, 2), most=st.integers(1, 12))
@examples
def test_lengths_keep_within_relative_and_absolute_bounds(
    source: list[int], method: dict[str, object], low: float, more: float, most: int
) -> None:
    """Not longer than the smaller of the upper bounds, and not shorter than the lower ones unless that is longer."""
    config = SearchConfig.model_validate(
        {**method, "max_length": most, "min_length_ratio": low, "max_length_ratio": low + more}
    )
    longest = min(most, max(1, math.ceil((low + more) * len(source))))
    shortest = min(longest, math.floor(low * len(source)))
    for hypothesis in search_all(STEPPER, [source], config)[0]:
        assert shortest <= len(text(hypothesis)) <= longest


@given(source=sources, seed=st.integers(0, 2**63 - 1), count=st.integers(1, 4), others=st.lists(sources, max_size=4))
@examples
def test_a_seed_repeats_its_samples_whatever_the_neighbours(
    source: list[int], seed: int, count: int, others: list[list[int]]
) -> None:
    """Alone, and entering a batch of beams and other samples half-way."""
    config = SearchConfig(method="sample", n_best=count, seed=seed, max_length=6, temperature=1.3)
    alone = search_all(STEPPER, [source], config)[0]
    engine = Engine(STEPPER)
    for number, other in enumerate(others):
        engine.submit(other, SearchConfig(method="sample" if number % 2 else "beam", max_length=9))
        engine.step()
    ticket = engine.submit(source, config)
    beside = {finished.ticket: finished.hypotheses for finished in engine.run()}[ticket]

    assert len(alone) == count
    assert [h.pieces for h in beside] == [h.pieces for h in alone]
    assert [h.score for h in beside] == pytest.approx([h.score for h in alone], abs=1e-4)


DRAWS = 4000
SCORES = np.log(np.array([0.1, 0.3, 0.05, 0.2, 0.35], np.float32))


def drawn(source: Sequence[int] = (4, END), step: int = 0, rows: int = 1, **options: float) -> Integers:
    """The pieces (DRAWS, rows) of sentences that differ in the seed alone, where each row draws from SCORES."""
    configs = [
        SearchConfig.model_validate({"method": "sample", "n_best": rows, "seed": seed, **options})
        for seed in range(DRAWS)
    ]
    choice = Choice.start(configs, [source] * DRAWS, rows)
    totals, free = np.zeros((DRAWS, rows), np.float32), np.ones((DRAWS, rows), np.int64)
    _, at = choice(np.tile(SCORES, (DRAWS, rows, 1)), totals, np.full(DRAWS, step), free, {})
    return at % len(SCORES)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.1, 0.3, 0.05, 0.2, 0.35]),
        ({"temperature": 0.5}, np.exp(log_softmax(SCORES / 0.5)).tolist()),
        ({"temperature": 3.0}, np.exp(log_softmax(SCORES / 3)).tolist()),
        ({"top_k": 2}, [0, 0.3 / 0.65, 0, 0, 0.35 / 0.65]),
        ({"top_p": 0.6}, [0, 0.3 / 0.65, 0, 0, 0.35 / 0.65]),
        ({"top_p": 0.7}, [0, 0.3 / 0.85, 0, 0.2 / 0.85, 0.35 / 0.85]),
        ({"top_p": 1e-9}, [0, 0, 0, 0, 1]),
        ({"top_p": 1e-50}, [0, 0, 0, 0, 1]),
        ({"top_k": 3, "top_p": 0.5}, [0, 0.3 / 0.65, 0, 0, 0.35 / 0.65]),
        ({"top_k": 4, "top_p": 0.8}, [0, 0.3 / 0.85, 0, 0.2 / 0.85, 0.35 / 0.85]),
    ],
    ids=str,
)
def test_samples_follow_the_distribution(options: dict[str, float], expected: list[float]) -> None:
    """Frequencies are within four standard deviations of the tempered and cut probabilities."""
    frequencies = np.bincount(drawn(**options)[:, 0], minlength=len(SCORES)) / DRAWS

    for frequency, wanted in zip(frequencies, expected, strict=True):
        assert frequency == pytest.approx(wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / DRAWS))


@pytest.mark.parametrize("other", [{"rows": 2}, {"step": 1}, {"source": (5, END)}], ids=str)
def test_other_rows_steps_and_sources_draw_anew_from_the_same_seed(other: dict[str, Any]) -> None:
    """Each pair of pieces, one with and one without the difference, is as frequent as the two say that know nothing of
    each other."""
    pairs = Counter(zip(drawn()[:, 0].tolist(), drawn(**other)[:, -1].tolist(), strict=True))
    shares = np.exp(SCORES).tolist()

    for pair in product(range(len(shares)), repeat=2):
        wanted = shares[pair[0]] * shares[pair[1]]
        assert pairs[pair] / DRAWS == pytest.approx(wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / DRAWS))


def test_of_pieces_as_likely_the_first_stay() -> None:
    """A cut keeps as many as it says, also where several stand at its edge; without a cut all stay."""
    shares = np.array([[[0.2, 0.4, 0.2, 0.2, 0.0]]], np.float32).repeat(5, axis=0)
    top_k, top_p = np.array([1, 2, 3, 0, 0]), np.array([1, 1, 1, 0.7, 1], np.float32)

    kept = likeliest(shares, top_k, top_p)[:, 0]

    assert [np.flatnonzero(own).tolist() for own in kept] == [[1], [0, 1], [0, 1, 2], [0, 1, 2], [0, 1, 2, 3]]


def test_random_numbers_depend_on_seed_step_and_row_alone() -> None:
    """They are spread over [0, 1), differ from each other, and are the same beside other sentences."""
    seeds, steps = np.arange(-500, 500), np.arange(1000) % 7
    numbers = uniform(seeds, steps, 8)

    assert ((numbers >= 0) & (numbers < 1)).all()
    assert len(np.unique(numbers)) == numbers.size
    assert abs(numbers.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(numbers[:, 0], numbers[:, 1])[0, 1]) < 0.1
    np.testing.assert_array_equal(uniform(seeds[3:4], steps[3:4], 5), numbers[3:4, :5])


@given(source=sources)
@examples
def test_a_cold_sample_is_greedy(source: list[int]) -> None:
    """As the temperature falls, the likeliest piece is all that is left; so it does with top_k 1."""
    greedy = search_all(STEPPER, [source], SearchConfig(method="greedy", max_length=6))[0][0]
    for options in ({"temperature": 1e-6}, {"top_k": 1}):
        config = SearchConfig.model_validate({"method": "sample", "max_length": 6, **options})

        assert search_all(STEPPER, [source], config)[0][0].pieces == greedy.pieces


@given(source=sources, groups=st.sampled_from([2, 3, 6]))
@examples
def test_groups_that_cost_each_other_nothing_are_beams_of_their_own(source: list[int], groups: int) -> None:
    """With penalty 0, each group finds what a beam of its size finds."""
    alone = SearchConfig(beam_size=6 // groups, n_best=6 // groups, max_length=4, length_penalty=0)
    several = SearchConfig(
        beam_size=6, n_best=6, max_length=4, length_penalty=0, diversity_groups=groups, diversity_penalty=0
    )
    wanted = {tuple(h.pieces) for h in search_all(STEPPER, [source], alone)[0]}
    found = search_all(STEPPER, [source], several)[0]

    assert {tuple(h.pieces) for h in found} >= wanted


@given(source=sources)
@examples
def test_groups_that_cost_each_other_much_begin_differently(source: list[int]) -> None:
    """Three groups of one: the first pieces of three translations are three, and the first is the greedy one."""
    config = SearchConfig(beam_size=3, n_best=3, diversity_groups=3, diversity_penalty=10, max_length=5, min_length=2)
    assume(np.ptp(STEPPER.log_probs(source, [])[END + 1 :]) < config.diversity_penalty)
    found = search_all(STEPPER, [source], config)[0]
    greedy = search_all(STEPPER, [source], SearchConfig(method="greedy", max_length=5, min_length=2))[0][0]

    assert len({h.pieces[0] for h in found}) == 3
    assert greedy.pieces in [h.pieces for h in found]


@given(
    source=sources,
    shape=st.sampled_from([(2, 2), (4, 2), (6, 2), (6, 3), (8, 4)]),
    penalty=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    form=st.sampled_from(["power", "gnmt"]),
)
@examples
def test_diverse_search_is_one_group_after_the_other(
    source: list[int], shape: tuple[int, int], penalty: float, form: str
) -> None:
    """The paths of each group as a list, with what each piece costs it."""
    beam_size, groups = shape
    config = SearchConfig.model_validate(
        {
            "beam_size": beam_size,
            "n_best": beam_size,
            "max_length": 4,
            "length_penalty_form": form,
            "diversity_groups": groups,
            "diversity_penalty": penalty,
        }
    )
    found = search_all(STEPPER, [source], config)[0]

    assert [own.pieces for own in found] == diverse(source, config)


def diverse(source: list[int], config: SearchConfig) -> list[list[int]]:
    """What several groups say counts once. What has ended keeps its place in its group, and costs the others nothing
    after the step in which it did."""
    live: list[dict[tuple[int, ...], float]] = [{(): 0.0} for _ in range(config.diversity_groups)]
    free, finished = [config.group_size] * len(live), dict[tuple[int, ...], float]()
    for length in range(config.max_length + 1):
        rows_that_took = Counter[int]()
        for group, paths in enumerate(live):
            longer = {
                (*path, piece): log_prob + float(STEPPER.log_probs(source, path)[piece])
                for path, log_prob in paths.items()
                for piece in ([END, 4, 5, 6] if length < config.max_length else [END])
            }
            costs = {path: config.diversity_penalty * rows_that_took[path[-1]] - longer[path] for path in longer}
            best = sorted(longer, key=costs.__getitem__)[: free[group]]
            rows_that_took.update(path[-1] for path in best)
            finished |= {path: longer[path] for path in best if path[-1] == END}
            live[group] = {path: longer[path] for path in best if path[-1] != END}
            free[group] -= len(best) - len(live[group])
    ranked = sorted(finished, key=lambda path: -finished[path] / length_penalty(len(path), config))
    return [list(path) for path in ranked[: config.n_best]]


@given(source=sources, groups=st.sampled_from([1, 2, 4]), others=st.lists(sources, max_size=3))
@examples
def test_diverse_search_does_not_see_its_neighbours(source: list[int], groups: int, others: list[list[int]]) -> None:
    """Text and score beside plain beams of another width are those of the sentence alone."""
    config = SearchConfig(beam_size=4, n_best=4, diversity_groups=groups, max_length=5, diversity_penalty=1)
    engine = Engine(STEPPER)
    for other in others:
        engine.submit(other, SearchConfig(beam_size=6, max_length=7))
    ticket = engine.submit(source, config)
    beside = {finished.ticket: finished.hypotheses for finished in engine.run()}[ticket]

    assert [h.pieces for h in beside] == [h.pieces for h in search_all(STEPPER, [source], config)[0]]


@given(source=sources, options=methods, penalty=st.sampled_from([0.0, 0.5, 1.0]))
@examples
def test_log_probabilities_are_the_networks_own(source: list[int], options: dict[str, object], penalty: float) -> None:
    """No option of the choice enters the log-probabilities that a hypothesis reports."""
    config = SearchConfig.model_validate(
        {**options, "max_length": 6, "temperature": 2.0, "no_repeat_ngram": 3, "length_penalty": penalty}
    )
    for hypothesis in search_all(STEPPER, [source], config)[0]:
        places = range(len(hypothesis.pieces))
        expected = [float(STEPPER.log_probs(source, hypothesis.pieces[:i])[hypothesis.pieces[i]]) for i in places]

        np.testing.assert_allclose(hypothesis.log_probs, expected, atol=1e-4)
        assert hypothesis.score == pytest.approx(sum(expected) / length_penalty(len(expected), config), abs=1e-4)


def test_the_end_penalty_weighs_the_end_by_the_lengths() -> None:
    """c · S / T · log P(end): here 2 · 3 / 2 · -0.5."""
    weights = np.full((2, 3), 1 / 3, dtype=np.float32)
    log_probs = np.array([-1, -0.5], dtype=np.float32)

    assert end_penalty(log_probs, weights, SearchConfig(end_penalty=2.0)) == pytest.approx(-1.5)


def test_early_stop_never_loses_to_a_full_search() -> None:
    """The best of a search that may stop early is that of one that cannot, for every form of the penalties."""
    for seed in range(30):
        source = [4 + seed % 3, 4 + seed // 3 % 3, 4 + seed // 9 % 3, END]
        for form, exponent in (("power", 0.0), ("power", 0.5), ("gnmt", 1.0), ("power", 1.5)):
            shared = {"beam_size": 8, "max_length": 5, "length_penalty_form": form, "length_penalty": exponent}
            shared |= {"end_penalty": 0.2, "coverage_penalty": 0.1}
            early = search_all(STEPPER, [source], SearchConfig.model_validate({**shared, "n_best": 1}))[0]
            full = search_all(STEPPER, [source], SearchConfig.model_validate({**shared, "n_best": 8}))[0]

            assert early[0].score == pytest.approx(full[0].score, abs=1e-6)


def test_ties_are_broken_alike_alone_and_beside_a_sample() -> None:
    """Of extensions that score the same, a beam takes the same ones whatever its neighbours ask for."""
    rng = np.random.default_rng(0)
    log_probs = rng.integers(-4, 0, (2, 3, 40)).astype(np.float32)
    totals, length, free = np.zeros((2, 3), np.float32), np.ones(2, np.int64), np.zeros((2, 3), np.int64)
    beam, sample = SearchConfig(beam_size=3), SearchConfig(method="sample", n_best=3, seed=1)
    alone, beside = (Choice.start([beam, other], [[4, END]] * 2, 3) for other in (beam, sample))
    first, second = (own(log_probs, totals, length, free, {}) for own in (alone, beside))

    assert np.array_equal(first[1][0], second[1][0])
