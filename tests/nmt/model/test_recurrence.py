"""Our recurrence against `nn.LSTM`, and against one step at a time."""

import pytest
import torch
from torch import Tensor, nn

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


def test_recurrent_dropout_drops_the_same_units_at_all_steps() -> None:
    """The whole sentence equals single steps that all get the same factors, and differs from no dropout."""
    layer = LSTMLayer(X, H, recurrent_dropout=0.5)
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


def test_narrow_numbers_stay_close_to_wide_ones_whatever_the_padding() -> None:
    """In bfloat16, a padded sentence gives what it gives alone, and float32 gives nearly the same."""
    torch.manual_seed(0)
    layer, inputs = BidirectionalLayer(X, H), torch.randn(2, T, X)
    lengths = torch.tensor([T, 2])
    wide = layer(inputs, reversal(lengths, T))
    with torch.autocast("cpu", torch.bfloat16):
        padded = layer(inputs, reversal(lengths, T))
        alone = layer(inputs[1:, :2], reversal(lengths[1:], 2))

    assert padded.dtype == torch.bfloat16
    assert torch.allclose(padded.float(), wide, atol=0.02)
    assert torch.allclose(padded[1, :2], alone[0], atol=0.005)
