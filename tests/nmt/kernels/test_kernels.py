"""The compiled kernels, each build that this processor runs, against torch."""

import pytest
import torch
from torch.nn import functional

from nmt import kernels
from nmt.config import ModelConfig
from nmt.kernels import Precision, builds, product
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.parts import packed_encoder

RUNNABLE = [name for name, needed in builds.BUILDS.items() if needed <= builds.processor_flags()]


@pytest.fixture(params=RUNNABLE)
def build(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One build after the other in place of the best one."""
    loaded = builds.load(request.param)
    if loaded is None:
        pytest.skip(f"{request.param} was not compiled here")
    monkeypatch.setattr(builds, "library", lambda: loaded)
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


@pytest.mark.parametrize(("size", "layers"), [(1, 1), (5, 2), (16, 3), (37, 2)])
def test_an_encoder_is_that_of_torch(build: str, size: int, layers: int) -> None:
    """Each sentence to its own end, in both directions; nothing is written behind it."""
    torch.manual_seed(size)
    shape = {"embedding_size": 3, "encoder_size": size, "encoder_layers": layers}
    model = Seq2Seq(ModelConfig(source_vocabulary=9, target_vocabulary=9, **shape)).eval()
    lengths, embedded = torch.tensor([7, 1, 4]), torch.randn(3, 7, 3)
    packed = packed_encoder(model, "fp32")
    assert packed
    values = kernels.encode(packed, embedded, lengths)

    for number, length in enumerate(lengths.tolist()):
        alone = model.encoder(embedded[number : number + 1, :length], torch.tensor([length]))[0][0]
        assert torch.allclose(values[number, :length], alone, atol=1e-5)
        assert not values[number, length:].any()


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
    monkeypatch.setattr(builds, "processor_flags", lambda: frozenset(flags))
    monkeypatch.setattr(builds, "load", lambda name: name)

    assert builds.library.__wrapped__() == best


def test_without_a_build_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no error: torch decodes then."""
    monkeypatch.setattr(builds, "load", lambda name: None)
    monkeypatch.setattr(builds, "library", builds.library.__wrapped__)

    assert kernels.available() == ()
