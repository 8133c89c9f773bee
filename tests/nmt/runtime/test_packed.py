"""The packed step against the step of the network it was packed from."""

import itertools
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nmt import Translator, kernels
from nmt.arrays import Floats
from nmt.config import ModelConfig, SearchConfig
from nmt.errors import ConfigError
from nmt.kernels import Memory, Precision, available
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime import precision as precision_module
from nmt.runtime.ensemble import EnsembleStepper
from nmt.runtime.packed import PackedState, PackedStepper
from nmt.runtime.parts import Parts
from nmt.runtime.precision import new_stepper
from nmt.runtime.stepper import ModelState, ModelStepper, stepper_of
from nmt.search.engine import search_all
from nmt.search.stepper import Step
from nmt.search.top import best_extensions, largest
from nmt.text.tokenizer import BEGIN, END, PAD

GOLD = Path(__file__).parents[2] / "data" / "gold.en-de.tsv"
SOURCES = [[5, 6, 7, END], [9, END], [8, 8, 9, 10, 11, END]]
SIZES = {"embedding_size": 16, "encoder_size": 8, "decoder_size": 12, "attention_size": 8}
SCORES = ["additive", "dot", "scaled_dot", "general", "concat", "none"]
WIRINGS = ["deep", "input_feeding", "conditional"]
EXTRAS = [
    {},
    {"attention_heads": 2},
    {"residual": True, "decoder_layers": 2},
    {"layer_norm": True},
    {"gate_norm": True},
    {"tying": "none"},
]


def needs(precision: Precision) -> None:
    """Skip the test where the processor cannot do it."""
    if precision not in available():
        pytest.skip(f"this processor adds up {precision} products wrongly")


def network(**options: object) -> Seq2Seq:
    torch.manual_seed(1)
    return Seq2Seq(ModelConfig.read({"source_vocabulary": 50, "target_vocabulary": 50, **SIZES, **options}, "test"))


def packed(model: Seq2Seq, precision: Precision = "fp32") -> PackedStepper:
    return PackedStepper(model.config, model.arrays(), precision)


def steps(stepper: ModelStepper, count: int = 6, controlled: bool = False) -> Iterator[Step[ModelState]]:
    """Steps with pieces at random, of which one drops a sentence and gives the others three rows; controlled: with
    factors at random on the attention, of which some are 0 and some are for none."""
    rng, state, pieces = np.random.default_rng(2), stepper.start(SOURCES), np.full((3, 1), BEGIN)
    for number in range(count):
        factors = rng.random((len(pieces), 4)) * 5
        factors[0, 1] = 0
        control = logarithms(factors) if controlled and number % 3 else None
        step = stepper.step(pieces, state, control)
        yield step
        state = step.state
        if number == 2:
            state = stepper.select(state, np.array([0, 2]), np.zeros((2, 3), np.int64))
        pieces = rng.integers(4, 50, (2, 3) if number >= 2 else (3, 1))


def logarithms(factors: Sequence[Sequence[float]] | Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(np.array(factors, np.float32))


def largest_difference(model: Seq2Seq, precision: Precision, controlled: bool = False) -> float:
    one, two = (steps(own, controlled=controlled) for own in (ModelStepper(model), packed(model, precision)))
    return max(
        float(np.abs(getattr(one, name) - getattr(two, name)).max())
        for one, two in zip(one, two, strict=True)
        for name in ("log_probs", "weights")
    )


@pytest.mark.parametrize(("attention", "wiring"), list(itertools.product(SCORES, WIRINGS)))
def test_in_fp32_every_step_is_the_networks(attention: str, wiring: str) -> None:
    """To 1e-5, for every score, wiring, number of heads and layers, with residuals and with normalized layers."""
    size = {"decoder_size": 16} if attention == "dot" else {}
    for extra in EXTRAS:
        model = network(attention=attention, wiring=wiring, **size, **extra)
        assert largest_difference(model, "fp32") < 1e-5, extra


@pytest.mark.parametrize(("attention", "wiring"), list(itertools.product(SCORES, WIRINGS)))
def test_steered_attention_is_the_networks(attention: str, wiring: str) -> None:
    """Of both steppers, in every step, whether it is steered or not."""
    size = {"decoder_size": 16} if attention == "dot" else {}
    for extra in EXTRAS[:2]:
        model = network(attention=attention, wiring=wiring, **size, **extra)
        assert largest_difference(model, "fp32", controlled=True) < 1e-5, extra


@pytest.mark.parametrize("new", [ModelStepper, packed])
def test_steered_weights_are_multiplied_and_sum_to_1(new: Callable[[Seq2Seq], ModelStepper]) -> None:
    """Those of padding stay 0, and what the state remembers is not steered."""
    factors = [[1.0, 3, 0], [0, 1, 1], [2, 1, 0.5]]
    stepper, pieces = new(network()), np.full((3, 1), BEGIN)
    state = stepper.start(SOURCES)
    free, steered = stepper.step(pieces, state), stepper.step(pieces, state, logarithms(factors))
    again = stepper.step(pieces, state)
    wanted = free.weights * np.pad(factors, [(0, 0), (0, 3)], constant_values=1)[:, None]

    assert np.allclose(steered.weights, wanted / wanted.sum(axis=-1, keepdims=True), atol=1e-5)
    assert np.array_equal(free.weights, again.weights)
    assert not np.allclose(free.log_probs, steered.log_probs)


def test_in_int8_every_step_stays_close_to_the_networks() -> None:
    """Log-probabilities and weights of a random network, whose rounding errors add up over the steps."""
    needs("int8")
    for wiring, extra in itertools.product(WIRINGS, EXTRAS):
        assert largest_difference(network(wiring=wiring, **extra), "int8") < 0.06, (wiring, extra)


def test_in_int8_a_trained_model_prefers_the_same_pieces(box: Translator) -> None:
    """Led through translations of people, in 97 of 100 places at least."""
    needs("int8")
    assert agreement(box, Translator.load(precision="int8")) >= 0.97


def agreement(first: Translator, second: Translator) -> float:
    """In what share of the places of twenty translations the likeliest piece of both is the same."""
    pairs = [line.split("\t")[:2] for line in GOLD.read_text(encoding="utf-8").splitlines()[:20]]
    scored = first.score([(english, german) for english, german in pairs], "de", "en")
    places = [[place for own in scored for place in model.alternatives(own, 1)] for model in (first, second)]
    return sum(one[0][0] == other[0][0] for one, other in zip(*places, strict=True)) / len(places[0])


@pytest.mark.parametrize("precision", get_args(Precision))
def test_a_sentence_does_not_depend_on_its_neighbours(precision: Precision) -> None:
    """In no precision, and on no engine of several: the same pieces, and scores to 1e-4."""
    needs(precision)
    generator = np.random.default_rng(0)
    sources = [[*generator.integers(4, 50, generator.integers(1, 9)).tolist(), END] for _ in range(100)]
    stepper, config = packed(network(), precision), SearchConfig(beam_size=3, max_length=6)
    together = search_all(stepper, sources, config, engines=3)
    for source, (best, *_) in zip(sources, together, strict=True):
        alone = search_all(stepper, [source], config)[0][0]
        assert best.pieces == alone.pieces
        assert best.score == pytest.approx(alone.score, abs=1e-4)


@pytest.mark.parametrize("precision", get_args(Precision))
def test_many_sentences_become_what_each_does_alone(precision: Precision) -> None:
    """More than are encoded together, and more rows of many pieces than are read out together; some are empty."""
    needs(precision)
    stepper, rng = packed(network(source_vocabulary=9000, target_vocabulary=9000), precision), np.random.default_rng(3)
    sources = [[*rng.integers(4, 9000, size), END] for size in rng.integers(1, 9, 100)]
    pieces = np.where(rng.random((100, 2)) < 0.7, 7, PAD)
    state = stepper.select(stepper.start(sources), np.arange(100), np.zeros((100, 2), np.int64))
    together = stepper.step(pieces, state)

    for number in range(0, 100, 3):
        alone = stepper.step(np.array([[7]]), stepper.start([sources[number]]))
        for row, live in enumerate(pieces[number] != PAD):
            weights = together.weights[number, row, : len(sources[number])]
            np.testing.assert_allclose(together.log_probs[number, row], live * alone.log_probs[0, 0], atol=1e-5)
            np.testing.assert_allclose(weights, live * alone.weights[0, 0], atol=1e-6)


@pytest.mark.parametrize("precision", get_args(Precision))
def test_sentences_that_go_leave_the_others_what_they_look_at(precision: Precision) -> None:
    """That stays where it is, whoever comes or goes, and is no part of an array that others need."""
    needs(precision)
    stepper, rng = packed(network(), precision), np.random.default_rng(5)
    sources = [[*rng.integers(4, 50, size), END] for size in (3, 6, 4, 5, 3, 6, 5, 4, 3, 4)]
    control = logarithms([[1, 0, 2]])

    def chosen(state: PackedState, *places: int) -> PackedState:
        return stepper.select(state, np.array(places), np.zeros((len(places), 1), np.int64))

    def stepped(state: PackedState, piece: int, control: Floats | None = None) -> Step[PackedState]:
        return stepper.step(np.full((len(state.rows), 1), piece), state, control)

    def check(step: Step[PackedState], own: Sequence[int], alone: Sequence[Step[PackedState]]) -> None:
        for at, (number, one) in enumerate(zip(own, alone, strict=True)):
            np.testing.assert_allclose(step.log_probs[at], one.log_probs[0], atol=1e-5)
            np.testing.assert_allclose(step.weights[at, :, : len(sources[number])], one.weights[0], atol=1e-6)

    start = stepper.start(sources[:8])
    first = stepped(chosen(chosen(start, 0, 1, 2, 4, 5, 6, 7), 0, 1, 2, 4, 5, 6), 7, control.repeat(6, axis=0))
    second = stepped(stepper.join(first.state, stepper.start(sources[8:])), 8)
    third = stepped(chosen(second.state, 0, 6), 9)

    assert third.weights.shape == (2, 1, 4)
    assert third.state.memory.held[0][0] is start.memory.held[0][0]
    assert all(array.base is None for own in start.memory.held for array in own)
    early = [0, 1, 2, 5, 6, 7]
    alone = {number: stepped(stepper.start([sources[number]]), 7, control) for number in early}
    check(first, early, list(alone.values()))
    alone = {number: stepped(step.state, 8) for number, step in alone.items()}
    alone |= {number: stepped(stepper.start([sources[number]]), 8) for number in (8, 9)}
    check(second, list(alone), list(alone.values()))
    check(third, [0, 8], [stepped(alone[number].state, 9) for number in (0, 8)])


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("wiring", WIRINGS)
def test_empty_rows_change_nothing_for_the_others(precision: Precision, wiring: str) -> None:
    """Wherever they stand, in each of some steps in which others are empty; what is said of them is 0."""
    needs(precision)
    rng, stepper = np.random.default_rng(4), packed(network(wiring=wiring), precision)
    shape, everywhere = (3, 4), np.tile(np.arange(4), (3, 1))
    full = some = stepper.select(stepper.start(SOURCES), np.arange(3), np.zeros(shape, np.int64))
    alive = np.full(shape, True)
    for _ in range(4):
        pieces, alive = rng.integers(4, 50, shape), alive & (rng.random(shape) < 0.7)
        whole, part = stepper.step(pieces, full), stepper.step(np.where(alive, pieces, PAD), some)
        full, some = (stepper.select(own.state, np.arange(3), everywhere) for own in (whole, part))
        for one, other in ((whole.log_probs, part.log_probs), (whole.weights, part.weights)):
            assert np.array_equal(one[alive], other[alive])
            assert not other[~alive].any()


@pytest.mark.parametrize("wiring", WIRINGS)
def test_a_step_without_a_live_row_says_nothing(wiring: str) -> None:
    """And the sentences that are joined to it are none the worse."""
    stepper = packed(network(wiring=wiring))
    nothing = stepper.step(np.full((3, 1), PAD), stepper.start(SOURCES))
    joined = stepper.join(nothing.state, stepper.start(SOURCES[:1]))
    step, alone = (
        stepper.step(np.array([[PAD]] * 3 + [[7]]), joined),
        stepper.step(np.array([[7]]), stepper.start(SOURCES[:1])),
    )

    assert not nothing.log_probs.any()
    assert not nothing.weights.any()
    assert np.array_equal(step.log_probs[3], alone.log_probs[0])


def test_pieces_for_other_rows_are_refused() -> None:
    """The kernel would read beyond their end."""
    stepper = packed(network())
    state = stepper.start(SOURCES)

    for shape in ((3, 2), (2, 1)):
        with pytest.raises(ValueError, match=re.escape(f"pieces {shape} for rows (3, 1) of 3 sentences")):
            stepper.step(np.full(shape, 7), state)


def test_what_the_kernels_know_of_a_memory_is_what_is_held() -> None:
    """Whoever has come or gone."""
    stepper = packed(network())
    joined = stepper.join(stepper.start(SOURCES), stepper.start(SOURCES))
    left = stepper.select(joined, np.array([0, 2, 4]), np.zeros((3, 1), np.int64)).memory

    assert np.array_equal(left.table, Memory.of(left.held).table)
    assert [len(values) for values, _ in left.held] == [len(SOURCES[number]) for number in (0, 2, 1)]


@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(2, 3000)), dead=st.integers(0, 3))
def test_best_extensions_are_those_of_a_full_sort(shape: Sequence[int], dead: int) -> None:
    """Of blocks of any size, with rows that are empty and pieces that are forbidden."""
    rng = np.random.default_rng(sum(shape))
    log_probs = np.where(rng.random(shape) < 0.1, -np.inf, rng.standard_normal(shape)).astype(np.float32)
    totals = rng.standard_normal(shape[:2]).astype(np.float32)
    totals[:, :dead] = -np.inf
    sums = (totals[..., None] + log_probs).reshape(shape[0], -1)
    wanted = -np.sort(-sums, axis=1)[:, : shape[1]]
    for found, at in (best_extensions(log_probs, totals), largest(sums, shape[1])):
        assert np.array_equal(found, wanted)
        assert np.array_equal(found, np.take_along_axis(sums, at, 1))


def test_auto_takes_a_narrower_precision_only_where_it_is_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And logs what it measured."""
    seconds = {"fp32": 1.0, "int8": 0.5}
    monkeypatch.setattr(kernels, "available", lambda: ("fp32", "int8"))
    monkeypatch.setattr(precision_module, "_seconds", lambda config, weights, precision: seconds[precision])
    model = network().config, network().arrays()
    with caplog.at_level(logging.INFO):
        assert new_stepper(*model, "auto").precision == "int8"
    assert "decoding in int8; the output layer takes for 80 rows: fp32 1000.00 ms, int8 500.00 ms" in caplog.text
    seconds["int8"] = 0.84

    assert new_stepper(*model, "auto").precision == "fp32"


def test_without_kernels_the_network_is_stepped_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """To the same translations, with a warning that says how to get them; int8 is not there then."""
    model, config = (network().config, network().arrays()), SearchConfig(beam_size=3, max_length=6)
    fast = search_all(new_stepper(*model), SOURCES, config)
    monkeypatch.setattr(kernels, "available", lambda: ())
    stepper = new_stepper(*model, "auto")
    slow = search_all(stepper, SOURCES, config)

    assert isinstance(stepper, ModelStepper)
    assert [[one.pieces for one in own] for own in slow] == [[one.pieces for one in own] for own in fast]
    assert "without compiled kernels, several times slower: install a C compiler" in caplog.text
    with pytest.raises(ConfigError, match="'int8' cannot be had on this processor; it has fp32"):
        new_stepper(*model, "int8")


def test_networks_that_are_being_trained_are_packed_where_kernels_step_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are at the time."""
    model = network()
    stepper = stepper_of(model)
    before = stepper.start(SOURCES)
    with torch.no_grad():
        model.source_embedding.weight.zero_()

    assert isinstance(stepper, PackedStepper)
    for own, other in zip(stepper.start(SOURCES).memory.held, before.memory.held, strict=True):
        assert np.array_equal(own[0], other[0])
    monkeypatch.setattr(kernels, "available", lambda: ())
    assert isinstance(stepper_of(model), ModelStepper)


@pytest.mark.parametrize("new", [packed, ModelStepper])
def test_a_long_sentence_that_has_gone_costs_the_others_nothing(new: Callable[[Seq2Seq], ModelStepper]) -> None:
    """What they are padded to shrinks with the longest of them, and changes no number."""
    stepper, pieces = new(network()), np.array([[7], [8]])
    left = stepper.select(stepper.start(SOURCES), np.array([0, 1]), np.zeros((2, 1), np.int64))
    step, alone = stepper.step(pieces, left), stepper.step(pieces, stepper.start(SOURCES[:2]))

    assert step.weights.shape[-1] == 4
    np.testing.assert_allclose(step.log_probs, alone.log_probs, atol=1e-5)


def test_members_of_both_kinds_write_one_translation() -> None:
    """Also when a long sentence has gone, and both look at less."""
    model, config = network(), SearchConfig(beam_size=2, max_length=9)
    sources = [[5, 6, 7, 8, 9, END], [9, 8, 7, 6, END], [8, 7, 9, 10, END]]
    both = EnsembleStepper([packed(model), ModelStepper(model)])
    state = both.select(both.start(sources), np.array([1, 2]), np.zeros((2, 1), np.int64))

    assert both.step(np.full((2, 1), BEGIN), state).weights.shape == (2, 1, 5)
    results = (search_all(stepper, sources, config) for stepper in (both, packed(model)))
    for found, wanted in zip(*results, strict=True):
        assert found[0].pieces == wanted[0].pieces
        assert np.allclose(found[0].weights, wanted[0].weights, atol=1e-5)


def test_auto_decodes() -> None:
    """With what it measures on this very machine."""
    assert new_stepper(network().config, network().arrays(), "auto").precision in available()


def test_a_precision_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names those that can."""
    monkeypatch.setattr(kernels, "available", lambda: ("fp32",))
    with pytest.raises(ConfigError, match="'int8' cannot be had on this processor; it has fp32, and auto picks one"):
        new_stepper(network().config, network().arrays(), "int8")


@pytest.mark.parametrize("extra", [{}, {"layer_norm": True}, {"residual": True}], ids=str)
@pytest.mark.parametrize("wiring", WIRINGS)
def test_int8_has_only_what_stays_in_its_interval(extra: dict[str, object], wiring: str) -> None:
    """What leaves a normalized layer or a shortcut may exceed 1; the embedded pieces have a range of their own."""
    model = network(wiring=wiring, **extra)
    parts, bounded = Parts(model.config, model.arrays(), "int8"), not extra
    first, upper = (layer.directions[0][0] for layer in parts.encoder()._held)
    layers, scores, readout, output = parts.decoder()._held
    key = parts.key()
    assert key is not None
    assert scores.query is not None
    from_layers = [upper, readout, key, scores.query, parts.linear("decoder.bridge", parts.bounded)]

    assert first.struct.range == pytest.approx(4 * model.source_embedding.weight.abs().max().item())
    assert output.struct.range > 0
    assert [weights.struct.range > 0 for weights in from_layers] == [bounded] * len(from_layers)
    assert (layers[0].cell.weights.struct.range > 0) == (bounded or wiring != "conditional")
