"""The network: shapes, and numbers that depend on nothing they should not depend on."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from nmt.config import ModelConfig, Wiring
from nmt.errors import ModelFolderError
from nmt.model.attention import Attention
from nmt.model.cells import LSTMLayer, reorder, reversal
from nmt.model.dropout import Dropout
from nmt.model.seq2seq import Seq2Seq
from nmt.model.shapes import weight_shapes

# Distinct primes, but where the dot score wants equal sizes: swapped axes fail.
B, S, T, V = 2, 3, 5, 11
WIRINGS = ("deep", "input_feeding", "conditional")
SCORES = ("additive", "dot", "scaled_dot", "general", "concat", "none")
VARIANTS = [
    *[{"wiring": wiring, "attention": score} for wiring in WIRINGS for score in SCORES],
    *[{"wiring": wiring, "layer_norm": True, "residual": True, "attention_heads": 2} for wiring in WIRINGS],
    *[{"wiring": wiring, "gate_norm": True} for wiring in WIRINGS],
    {"decoder_layers": 1, "encoder_layers": 1, "tying": "none"},
    {"decoder_layers": 3, "encoder_layers": 3, "tying": "two_way"},
]


def build(**settings: object) -> Seq2Seq:
    """A small network in evaluation mode."""
    torch.manual_seed(0)
    base = {
        "source_vocabulary": V,
        "target_vocabulary": V,
        "embedding_size": 6,
        "encoder_size": 4,
        "decoder_size": 8,
        "attention_size": 10,
    }
    return Seq2Seq(ModelConfig.model_validate({**base, **settings})).eval()


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sources of different length, their lengths, and targets."""
    torch.manual_seed(1)
    return torch.randint(4, V, (B, S)), torch.tensor([S, 1]), torch.randint(4, V, (B, T))


def test_shapes() -> None:
    """Vectors are (B, T, E), weights (B, T, S), logits (B, T, V)."""
    model = build()
    vectors, weights = model(*batch())

    assert vectors.shape == (B, T, 6)
    assert weights.shape == (B, T, S)
    assert model.logits(vectors).shape == (B, T, V)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_padding_changes_nothing(settings: dict[str, object]) -> None:
    """A sentence gives the same numbers alone and padded in a batch."""
    model = build(**settings)
    source, lengths, target = batch()
    together, weights = model(source, lengths, target)
    for row in range(B):
        size = int(lengths[row])
        alone, own = model(source[row : row + 1, :size], lengths[row : row + 1], target[row : row + 1])

        assert torch.allclose(alone[0], together[row], atol=1e-5)
        assert torch.allclose(own[0], weights[row, :, :size], atol=1e-5)
        assert weights[row, :, size:].abs().sum() == 0


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_step_by_step_equals_teacher_forcing(settings: dict[str, object]) -> None:
    """Feeding the same pieces one by one gives the logits and weights of the whole sentence at once."""
    model = build(**settings)
    source, lengths, target = batch()
    vectors, weights = model(source, lengths, target)
    memory, state = model.encode(source, lengths)
    steps = []
    for position in range(T):
        logits, weight, state = model.step(target[:, position : position + 1], memory, state)
        steps.append((logits, weight))

    assert torch.allclose(torch.cat([s[0] for s in steps], 1), model.logits(vectors), atol=1e-5)
    assert torch.allclose(torch.cat([s[1] for s in steps], 1), weights, atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("heads", [1, 2])
def test_attention_weights_are_a_distribution(score: str, heads: int) -> None:
    """Weights sum to 1 over the pieces and are 0 on padding; the context is their mix of the memory."""
    model = build(attention=score, attention_heads=heads)
    values, mask = torch.randn(B, S, 8), torch.tensor([[True, True, False], [True, False, False]])
    memory = model.decoder.attention.memory(values, mask)
    context, weights = model.decoder.attention(torch.randn(B, T, 8), memory)

    assert torch.allclose(weights.sum(-1), torch.ones(B, T), atol=1e-6)
    assert weights[~mask.unsqueeze(1).expand(-1, T, -1)].abs().sum() == 0
    assert context.shape == (B, T, 8)
    if heads == 1:
        assert torch.allclose(context, weights @ values, atol=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_attention_scores_follow_their_formulas(score: str) -> None:
    """The weights of one query are the softmax of the published score, computed naively here."""
    attention: Attention = build(attention=score).decoder.attention
    query, values = torch.randn(1, 1, 8), torch.randn(1, S, 8)
    memory = attention.memory(values, torch.ones(1, S, dtype=torch.bool))
    _, weights = attention(query, memory)

    q, h = query[0, 0], values[0]
    formula = {
        "additive": lambda: [attention.energy @ torch.tanh(attention.query(q) + attention.key(x)) for x in h],
        "concat": lambda: [
            attention.energy
            @ torch.tanh(torch.cat([attention.query.weight, attention.key.weight], 1) @ torch.cat([q, x]))
            for x in h
        ],
        "dot": lambda: [q @ x for x in h],
        "general": lambda: [q @ attention.key.weight @ x for x in h],
        "scaled_dot": lambda: [attention.query(q) @ attention.key(x) / math.sqrt(10) for x in h],
        "none": lambda: [torch.zeros(()) for _ in h],
    }[score]
    assert torch.allclose(weights[0, 0], torch.stack(formula()).softmax(0), atol=1e-6)


def test_lstm_step_equals_the_fused_layer() -> None:
    """The step by hand and `nn.LSTM` over the whole sequence agree."""
    torch.manual_seed(0)
    layer = LSTMLayer(3, 7)
    inputs, hidden, cell = torch.randn(B, T, 3), torch.randn(B, 7), torch.randn(B, 7)
    whole = layer(inputs, hidden, cell)
    for position in range(T):
        hidden, cell = layer.step(inputs[:, position], hidden, cell)

        assert torch.allclose(hidden, whole[:, position], atol=1e-6)


@pytest.mark.parametrize("wiring", get_args(Wiring))
def test_the_library_gets_states_as_it_wants_them(wiring: str) -> None:
    """On a GPU it refuses those that are not contiguous; here it does not care, so that only this test would see it."""
    model, seen = build(wiring=wiring, encoder_layers=2), []
    for layer in (own for own in model.modules() if isinstance(own, torch.nn.LSTM)):
        layer.register_forward_pre_hook(lambda _, given: seen.extend(given[1]))
    model(*batch())

    assert seen
    assert all(state.is_contiguous() for state in seen)


def test_reversal_keeps_the_padding_at_the_end_and_undoes_itself() -> None:
    """Each sequence is turned around within its own length."""
    order = reversal(torch.tensor([3, 1]), 3)
    sequence = torch.tensor([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]]).unsqueeze(-1)

    assert reorder(sequence, order).squeeze(-1).tolist() == [[3, 2, 1], [4, 0, 0]]
    assert torch.equal(reorder(reorder(sequence, order), order), sequence)


def test_tying_shares_the_tables() -> None:
    """Three-way tying has one table, two-way two, none three."""
    tables = {
        tying: len({id(p) for p in (m.source_embedding.weight, m.target_embedding.weight, m.output.weight)})
        for tying in ("three_way", "two_way", "none")
        for m in [build(tying=tying)]
    }

    assert tables == {"three_way": 1, "two_way": 2, "none": 3}


def test_dropout_keeps_the_expectation_and_is_off_in_evaluation() -> None:
    """About `rate` of the elements are zero, the mean stays, and evaluation changes nothing."""
    torch.manual_seed(0)
    dropout, ones = Dropout(0.3), torch.ones(401, 499)
    dropped = dropout.train()(ones)

    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(dropout.eval()(ones), ones)
    assert "0.301" in repr(dropout)


def test_dropout_of_nothing_draws_nothing() -> None:
    """A rate of 0 leaves the random state alone."""
    before = torch.get_rng_state()
    Dropout(0.0).train()(torch.ones(3))

    assert torch.equal(torch.get_rng_state(), before)


def test_weights_round_trip() -> None:
    """`load_weights` takes over what `weights` gave, also where tables are tied."""
    model, other = build(), build()
    nn.init.ones_(other.decoder.readout.weight)
    model.load_weights(other.weights())

    assert all(torch.equal(value, other.weights()[name]) for name, value in model.weights().items())


@pytest.mark.parametrize("tying", ["none", "two_way", "three_way"])
def test_a_network_of_given_weights_is_the_one_that_gave_them(tying: str) -> None:
    """Tied tables stay one, nothing is shared with what was given, and no random number is drawn."""
    model = build(tying=tying)
    weights = model.arrays()
    before = torch.get_rng_state()
    other = Seq2Seq.with_weights(model.config, weights).eval()

    assert torch.equal(torch.get_rng_state(), before)
    assert all(np.array_equal(value, weights[name]) for name, value in other.arrays().items())
    assert (other.output.weight is other.target_embedding.weight) == (tying != "none")
    assert not any(np.shares_memory(own, weights[name]) for name, own in other.arrays().items())
    batch = torch.tensor([[5, 6, 3]])
    lengths = torch.tensor([3])
    assert torch.equal(other(batch, lengths, batch)[0], model(batch, lengths, batch)[0])


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_the_shapes_that_a_folder_must_have_are_those_of_the_network(settings: dict[str, object]) -> None:
    """Told without building it, for every option that has a part in them."""
    model = build(**settings)

    assert weight_shapes(model.config) == {name: weight.shape for name, weight in model.arrays().items()}


def test_weights_that_do_not_fit_are_refused() -> None:
    """The message names what is missing, unknown and of another shape."""
    model = build()
    weights = model.weights()
    weights["stranger"] = weights.pop("decoder.bridge.bias")
    weights["decoder.readout.bias"] = torch.zeros(99)

    with pytest.raises(ModelFolderError, match=r"missing \['decoder.bridge.bias'\].*stranger.*decoder.readout.bias"):
        model.load_weights(weights)
