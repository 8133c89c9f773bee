"""Our recurrence against `nn.LSTM`, and against one step at a time."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.model.cells import BidirectionalLayer, LSTMLayer, reversal
from nmt.model.recurrence import lstm

D, T, B, X, H = 2, 5, 3, 7, 11  # distinct primes: swapped axes fail


def layers() -> list[nn.LSTM]:
    """One a direction, in double precision, so that equal means equal."""
    torch.manual_seed(0)
    return [nn.LSTM(X, H).double() for _ in range(D)]


def stacked(own: list[nn.LSTM]) -> tuple[Tensor, Tensor, Tensor]:
    """Their weights as our recurrence takes them."""
    input_weights, recurrent_weights, input_bias, recurrent_bias = (
        torch.stack(weights) for weights in zip(*(layer.parameters() for layer in own), strict=True)
    )
    return input_weights, recurrent_weights, input_bias + recurrent_bias


def random(*shape: int) -> Tensor:
    """A leaf in double precision."""
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_outputs_and_all_gradients_equal_the_library() -> None:
    """Of the inputs, of every weight and of the first state."""
    own = layers()
    inputs, hidden, cell, wanted = random(D, T, B, X), random(D, B, H), random(D, B, H), random(D, T, B, H).detach()
    leaves = [inputs, hidden, cell, *(p for layer in own for p in layer.parameters())]
    ours = lstm(inputs, stacked(own), (hidden, cell))
    theirs = torch.stack([layer(inputs[d], (hidden[d : d + 1], cell[d : d + 1]))[0] for d, layer in enumerate(own)])

    assert torch.allclose(ours, theirs)
    for mine, library in zip(
        torch.autograd.grad(ours, leaves, wanted), torch.autograd.grad(theirs, leaves, wanted), strict=True
    ):
        assert torch.allclose(mine, library)


def test_gradients_through_dropped_units_equal_differences() -> None:
    """`torch.autograd.gradcheck` on tiny sizes."""
    torch.manual_seed(0)
    weights = random(1, 8, 3), random(1, 8, 2), random(1, 8)
    kept = torch.tensor([[[2.0, 0.0], [0.0, 2.0]]], dtype=torch.float64)

    def run(inputs: Tensor, a: Tensor, b: Tensor, c: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        return lstm(inputs, (a, b, c), (hidden, cell), kept)

    assert torch.autograd.gradcheck(run, (random(1, 3, 2, 3), *weights, random(1, 2, 2), random(1, 2, 2)))


def normalized_step_by_step(leaves: list[Tensor], kept: Tensor) -> Tensor:
    """The published formulas, one gate of one direction at one step after the other: the outputs (D, T, B, H)."""
    outputs = []
    for inputs, w, u, bias, gain, hidden, cell, own in zip(*leaves, kept, strict=True):
        states = []
        for now in inputs:
            sums = (now @ w.T + (hidden * own) @ u.T).chunk(4, dim=-1)
            gates = [
                functional.layer_norm(part, [H], scale, shift)
                for part, scale, shift in zip(sums, gain.chunk(4), bias.chunk(4), strict=True)
            ]
            cell = gates[1].sigmoid() * cell + gates[0].sigmoid() * gates[2].tanh()
            hidden = gates[3].sigmoid() * cell.tanh()
            states.append(hidden)
        outputs.append(torch.stack(states))
    return torch.stack(outputs)


def test_outputs_and_all_gradients_of_normalized_gates_equal_autograd() -> None:
    """Of the inputs, of every weight, of the gain and of the first state, with dropped units."""
    torch.manual_seed(0)
    inputs, hidden, cell, wanted = random(D, T, B, X), random(D, B, H), random(D, B, H), random(D, T, B, H).detach()
    weights, gain = (random(D, 4 * H, X), random(D, 4 * H, H), random(D, 4 * H)), random(D, 4 * H)
    kept = torch.randint(0, 2, (D, B, H)).double() * 2
    leaves = [inputs, *weights, gain, hidden, cell]
    ours, plain = lstm(inputs, weights, (hidden, cell), kept, gain), normalized_step_by_step(leaves, kept)

    assert torch.allclose(ours, plain)
    for mine, automatic in zip(
        torch.autograd.grad(ours, leaves, wanted), torch.autograd.grad(plain, leaves, wanted), strict=True
    ):
        assert torch.allclose(mine, automatic)


def test_normalized_gates_do_not_see_the_scale_of_the_weights() -> None:
    """All weights of a gate times the same number change nothing: Ba et al. 2016, table 1."""
    torch.manual_seed(0)
    layer, inputs = LSTMLayer(X, H, gate_norm=True), torch.randn(B, T, X)
    before = layer(inputs, torch.zeros(B, H), torch.zeros(B, H))
    with torch.no_grad():
        for weight in (layer.lstm.weight_ih_l0, layer.lstm.weight_hh_l0):
            weight[:H] *= 7
            weight[2 * H :] *= 5

    assert torch.allclose(layer(inputs, torch.zeros(B, H), torch.zeros(B, H)), before, atol=1e-4)


@pytest.mark.parametrize("gate_norm", [False, True])
def test_recurrent_dropout_drops_the_same_units_at_all_steps(gate_norm: bool) -> None:
    """The whole sentence equals single steps that all get the same factors, and differs from no dropout."""
    layer = LSTMLayer(X, H, recurrent_dropout=0.5, gate_norm=gate_norm)
    inputs, hidden, cell = torch.randn(B, T, X), torch.randn(B, H), torch.randn(B, H)
    torch.manual_seed(1)
    whole = layer(inputs, hidden, cell)
    torch.manual_seed(1)
    kept = layer.kept(hidden)
    for t in range(T):
        hidden, cell = layer.step(inputs[:, t], hidden, cell, kept)

        assert torch.allclose(hidden, whole[:, t], atol=1e-6)
    assert kept is not None
    assert set(kept.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_nothing_is_dropped_in_evaluation(rate: float) -> None:
    """With and without a rate."""
    layer = LSTMLayer(X, H, rate).eval()

    assert layer.kept(torch.ones(B, H)) is None


@pytest.mark.parametrize("gate_norm", [False, True])
def test_narrow_numbers_stay_close_to_wide_ones_whatever_the_padding(gate_norm: bool) -> None:
    """In bfloat16, a padded sentence gives what it gives alone, and float32 nearly the same, gradients too."""
    torch.manual_seed(0)
    layer, inputs = BidirectionalLayer(X, H, gate_norm=gate_norm), torch.randn(2, T, X)
    lengths = torch.tensor([T, 2])
    wide = layer(inputs, reversal(lengths, T))
    with torch.autocast("cpu", torch.bfloat16):
        padded = layer(inputs, reversal(lengths, T))
        alone = layer(inputs[1:, :2], reversal(lengths[1:], 2))

    assert padded.dtype == torch.bfloat16
    assert torch.allclose(padded.float(), wide, atol=0.02)
    assert torch.allclose(padded[1, :2], alone[0], atol=0.005)
    parameters = list(layer.parameters())
    for mine, exact in zip(
        torch.autograd.grad(padded.float().pow(2).sum(), parameters),
        torch.autograd.grad(wide.pow(2).sum(), parameters),
        strict=True,
    ):
        assert functional.cosine_similarity(mine.flatten(), exact.flatten(), dim=0) > 0.999
