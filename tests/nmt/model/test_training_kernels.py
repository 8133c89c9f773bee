"""The compiled part of an update against the same in torch, in double precision, for which there is no kernel."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from nmt.kernels import available
from nmt.model.attention import additive_scores
from nmt.model.dropout import Dropout
from nmt.model.recurrence import lstm

pytestmark = pytest.mark.skipif(not available(), reason="the kernels were not compiled")

B, T, S = 3, 5, 7  # distinct primes: swapped axes fail
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 0.03}
"""Of the largest value. bfloat16 has 8 bits; a recurrence rounds to them at each step."""


def assert_equal_in_torch(run: Callable[..., Tensor], leaves: Sequence[Tensor], dtype: torch.dtype) -> None:
    """The result and the gradients of all leaves, as they are and in double precision."""
    torch.manual_seed(1)
    ours = [own.to(dtype).requires_grad_() for own in leaves]
    exact = [own.detach().double().requires_grad_() for own in ours]
    result, wanted = run(*ours), run(*exact)
    weights = torch.randn_like(wanted).to(result.dtype)
    mine = torch.autograd.grad(result, ours, weights)
    theirs = torch.autograd.grad(wanted, exact, weights.double())
    for own, other in zip((result, *mine), (wanted, *theirs), strict=True):
        assert (own - other).abs().max() <= TOLERANCE[dtype] * other.abs().max()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("heads", "size"), [(1, 11), (2, 19), (1, 67), (2, 64)])
def test_additive_scores_and_their_gradients(dtype: torch.dtype, heads: int, size: int) -> None:
    """Of sizes below, above and equal to whole vectors; also where tanh is flat."""
    torch.manual_seed(0)
    features = heads * size
    leaves = [3 * torch.randn(B, T, features), 30 * torch.randn(B, S, features), torch.randn(features)]

    assert_equal_in_torch(lambda *own: additive_scores(*own, heads), leaves, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("gate_norm", [False, True])
@pytest.mark.parametrize(("directions", "size"), [(2, 11), (1, 67)])
def test_outputs_of_a_recurrence_and_all_gradients(
    dtype: torch.dtype, kept: bool, gate_norm: bool, directions: int, size: int
) -> None:
    """With and without dropped units and normalized gates."""
    torch.manual_seed(0)
    inputs, state = torch.randn(directions, T, B, S), torch.randn(2, directions, B, size)
    weights = torch.randn(directions, 4 * size, S), torch.randn(directions, 4 * size, size) / size**0.5
    gain, bias = torch.randn(2, directions, 4 * size)
    factors = torch.randint(0, 2, (directions, B, size)) * 2.0

    def run(*own: Tensor) -> Tensor:
        inputs, into, within, bias, hidden, cell, gain = own
        cell = cell.to(torch.promote_types(cell.dtype, torch.float32))
        dropped = factors.to(inputs.dtype) if kept else None
        return lstm(inputs, (into, within, bias), (hidden, cell), dropped, gain if gate_norm else None) + 0 * gain.sum()

    assert_equal_in_torch(run, [inputs, *weights, bias, *state, gain], dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_dropout_and_its_gradient(dtype: torch.dtype) -> None:
    """More elements than one thread takes at a time, in another order than they lie in."""
    torch.manual_seed(0)
    leaves = [torch.randn(241, 211).t()]

    def run(values: Tensor) -> Tensor:
        torch.manual_seed(2)
        kept: Tensor = Dropout(0.3).train()(values)
        return kept

    assert_equal_in_torch(run, leaves, dtype)


def test_what_is_no_number_stays_none() -> None:
    """So that the trainer sees that a run has gone astray, and skips the update."""
    queries, keys, energy = torch.randn(B, T, 11), torch.randn(B, S, 11), torch.randn(11)
    queries[1, 2, 3] = float("nan")

    assert additive_scores(queries, keys, energy, 1)[1, 0, 2].isnan().all()


def test_the_same_bits_with_any_number_of_threads() -> None:
    """Each row is worked out by one thread."""
    torch.manual_seed(0)
    queries, keys = (torch.randn(B, length, 67, requires_grad=True) for length in (T, S))
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        scores = additive_scores(queries, keys, torch.ones(67), 1)
        results.append((scores, *torch.autograd.grad(scores.sum(), (queries, keys))))
    torch.set_num_threads(before)

    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))
