"""The compiled kernels, each build that this processor runs, against torch."""

import pytest
import torch
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nmt import kernels
from nmt.kernels import Precision, product

RUNNABLE = [name for name, needed in kernels.BUILDS.items() if needed <= kernels.processor_flags()]


@pytest.fixture(params=RUNNABLE)
def build(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One build after the other in place of the best one."""
    loaded = kernels.load(request.param)
    if loaded is None:
        pytest.skip(f"{request.param} was not compiled here")
    monkeypatch.setattr(kernels, "library", lambda: loaded)
    return str(request.param)


def needs(precision: Precision) -> None:
    """Skip the test where the build does not have it."""
    if precision not in kernels.available():
        pytest.skip(f"no products in {precision}")


@pytest.mark.parametrize("outputs", [1, 3, 64, 131])
@pytest.mark.parametrize("inputs", [1, 4, 7, 61])
def test_products_are_those_of_torch(build: str, outputs: int, inputs: int) -> None:
    """For any number of rows, whole tiles of them and rests; in int8 within half a step of each input and weight."""
    torch.manual_seed(outputs)
    weight, bias = torch.randn(outputs, inputs), torch.randn(outputs)
    for rows in range(1, 15):
        x = torch.rand(rows, inputs) * 2 - 1
        expected = functional.linear(x, weight, bias)

        assert torch.allclose(product(kernels.pack(weight, bias, "fp32"), x), expected, atol=1e-5)
        if "int8" in kernels.available():
            rounding = 0.5 / 127 * (weight.abs().sum(dim=1) + inputs * weight.abs().amax(dim=1)) + 1e-4
            assert ((product(kernels.pack(weight, bias, "int8"), x) - expected).abs() <= rounding).all()


def test_int8_products_do_not_overflow(build: str) -> None:
    """The largest inputs and weights there are, added up more often than 16 bits hold."""
    needs("int8")
    x, weight = torch.ones(2, 1024), torch.ones(16, 1024)

    assert torch.allclose(product(kernels.pack(weight, None, "int8"), x), torch.full((2, 16), 1024.0))
    assert torch.allclose(product(kernels.pack(weight, None, "int8"), -x), torch.full((2, 16), -1024.0))


def test_int8_inputs_may_lie_in_a_larger_interval(build: str) -> None:
    """Which is known when the weights are packed; what lies beyond it is cut off."""
    needs("int8")
    weights = kernels.pack(torch.eye(5), None, "int8", largest=4.0)
    x = torch.tensor([[4.0, -4.0, 1.0, 0.0, 9.0]])

    assert torch.allclose(product(weights, x), x.clamp(max=4), atol=4 / 127 / 2)


@pytest.mark.parametrize("function", ["tanh", "exponential"])
def test_functions_of_products(build: str, function: kernels.Function) -> None:
    """tanh, and e²ˣ that stays finite and above zero."""
    x = torch.tensor([[-100.0, -3.0, -1e-4, 0.0, 0.5, 9.0, 100.0]]).T
    found = product(kernels.pack(torch.ones(1, 1), None, "fp32"), x, function)
    expected = x.tanh() if function == "tanh" else (2 * x.clamp(-22, 22)).exp()

    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert (torch.isfinite(found) & (found > 0)).all() or function == "tanh"


@pytest.mark.parametrize("size", [1, 5, 16, 37])
def test_an_lstm_over_sentences_is_that_of_torch(build: str, size: int) -> None:
    """Each sentence from zero states to its end, forward and backward; nothing is written behind the end."""
    torch.manual_seed(size)
    lengths, longest = torch.tensor([7, 1, 4]), 7
    lstm = torch.nn.LSTM(3, size, batch_first=True, bidirectional=True)
    x = torch.randn(3, longest, 3)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected = pad_packed_sequence(lstm(packed)[0], batch_first=True)[0]
    out, step = torch.zeros(3 * longest, 2 * size), torch.arange(longest).unsqueeze(1)
    for number, order in enumerate((step.expand(-1, 3), lengths - 1 - step)):
        inputs, recurrent, *biases = (own.detach() for own in lstm._flat_weights[4 * number : 4 * number + 4])
        known = product(kernels.pack(kernels.gates(inputs), kernels.gates(sum(biases)), "fp32"), x.flatten(0, 1))
        places = (torch.arange(3) * longest + order).where(step < lengths, -1)
        recurrent_weights = kernels.pack(kernels.gates(recurrent), None, "fp32")
        kernels.lstm_sequence(recurrent_weights, size, known, places, out, number * size)

    assert torch.allclose(out.view(3, longest, -1), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("flags", "best"),
    [
        (set(), "native_base"),
        ({"avx2", "fma"}, "native_avx2"),
        ({"avx2", "fma", "avx_vnni"}, "native_avxvnni"),
        ({"avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512dq"}, "native_avx2"),
        ({"avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}, "native_avx512"),
    ],
)
def test_the_best_build_that_the_processor_runs(flags: set[str], best: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never one with instructions that it lacks."""
    monkeypatch.setattr(kernels, "processor_flags", lambda: frozenset(flags))
    monkeypatch.setattr(kernels, "load", lambda name: name)

    assert kernels.library.__wrapped__() == best


def test_without_a_build_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no error: torch decodes then."""
    monkeypatch.setattr(kernels, "load", lambda name: None)
    monkeypatch.setattr(kernels, "library", kernels.library.__wrapped__)

    assert kernels.available() == ()
