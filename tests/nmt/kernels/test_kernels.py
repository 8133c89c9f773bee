"""The compiled kernels, each build that this processor runs, against NumPy and torch."""

import re
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import pytest
import torch

from nmt import kernels
from nmt.config import ModelConfig
from nmt.kernels import Precision, builds, product
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.parts import Parts

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
def test_products_are_those_of_numpy(build: str, outputs: int, inputs: int) -> None:
    """For any number of rows, whole tiles of them and rests; in int8 within half a step of each input and weight."""
    rng = np.random.default_rng(outputs)
    weight, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((outputs, inputs), outputs))
    for rows in range(1, 15):
        x = (rng.random((rows, inputs)) * 2 - 1).astype(np.float32)
        expected = x @ weight.T + bias

        assert np.allclose(product(kernels.pack(weight, bias, "fp32"), x), expected, atol=1e-5)
        if "int8" in kernels.available():
            of_weights, of_inputs = inputs * np.abs(weight).max(axis=1) / 63, np.abs(weight).sum(axis=1) / 127
            rounding = (of_weights + of_inputs) / 2 * (1 + 1 / 127) + 1e-4
            assert (np.abs(product(kernels.pack(weight, bias, "int8"), x) - expected) <= rounding).all()


@pytest.mark.parametrize("inputs", [1, 4, 7, 61])
def test_int8_sums_are_those_of_whole_numbers(build: str, inputs: int) -> None:
    """However a processor multiplies bytes: what int8 costs in quality is the same on all of them."""
    needs("int8")
    rng = np.random.default_rng(inputs)
    rounded = rng.integers(-63, 64, (131, inputs)).astype(np.float32)
    rounded[:, 0] = 63  # so that a step of each output is one
    for rows in range(1, 15):
        x = rng.integers(-127, 128, (rows, inputs)).astype(np.float32)

        found = product(kernels.pack(rounded, None, "int8"), x / 127)

        assert np.allclose(found, x @ rounded.T / 127, rtol=1e-6, atol=0)


def test_int8_products_do_not_overflow(build: str) -> None:
    """The largest inputs and weights there are, added up more often than 16 bits hold."""
    needs("int8")
    x, weight = np.ones((2, 1024), np.float32), np.ones((16, 1024), np.float32)

    assert np.allclose(product(kernels.pack(weight, None, "int8"), x), 1024)
    assert np.allclose(product(kernels.pack(weight, None, "int8"), -x), -1024)
    assert np.allclose(product(kernels.pack(-weight, None, "int8"), x), -1024)


def test_what_is_no_number_stays_none(build: str) -> None:
    """In its own row alone, whatever bounds a function has for its argument."""
    x = np.array([[1.0], [np.nan], [-1.0]], np.float32)
    for function in ("tanh", "exponential"):
        found = product(kernels.pack(np.ones((9, 1), np.float32), None, "fp32"), x, function)
        assert np.isnan(found).all(axis=1).tolist() == [False, True, False]


def test_int8_inputs_may_lie_in_a_larger_interval(build: str) -> None:
    """Which is known when the weights are packed; what lies beyond it is cut off."""
    needs("int8")
    weights = kernels.pack(np.eye(5, dtype=np.float32), None, "int8", largest=4.0)
    x = np.array([[4.0, -4.0, 1.0, 0.0, 9.0]], np.float32)

    assert np.allclose(product(weights, x), np.minimum(x, 4), atol=4 / 127 / 2)


@pytest.mark.parametrize("function", ["tanh", "exponential"])
def test_functions_of_products(build: str, function: kernels.Function) -> None:
    """tanh, and e²ˣ that stays finite and above zero."""
    x = np.array([[-100.0, -3.0, -1e-4, 0.0, 0.5, 9.0, 100.0]], np.float32).T
    found = product(kernels.pack(np.ones((1, 1), np.float32), None, "fp32"), x, function)
    expected = np.tanh(x) if function == "tanh" else np.exp(2 * np.clip(x, -43, 43))

    assert np.allclose(found, expected, rtol=1e-5, atol=1e-7 if function == "tanh" else 0)
    assert (np.isfinite(found) & (found > 0)).all() or function == "tanh"


def test_inputs_of_another_width_are_refused() -> None:
    """The kernel would read beyond their end."""
    weights = kernels.pack(np.eye(5, dtype=np.float32), None, "fp32")

    with pytest.raises(ValueError, match="the inputs have 4 features; the weights want 5"):
        product(weights, np.zeros((1, 4), np.float32))


def test_other_types_and_no_rows_at_all_are_taken() -> None:
    """Doubles become floats on the way."""
    weights = kernels.pack(np.eye(5, dtype=np.float32), None, "fp32")

    assert np.array_equal(product(weights, np.eye(5)), np.eye(5))
    assert product(weights, np.zeros((0, 5))).shape == (0, 5)


@pytest.mark.parametrize("options", [{}, {"gate_norm": True}, {"layer_norm": True, "residual": True}], ids=str)
@pytest.mark.parametrize(("size", "layers"), [(1, 1), (5, 2), (16, 3), (37, 2)])
def test_an_encoder_is_that_of_torch(build: str, size: int, layers: int, options: dict[str, bool]) -> None:
    """Each sentence to its own end, in both directions, however many there are, and in whatever order."""
    torch.manual_seed(size)
    shape = {"embedding_size": 3, "encoder_size": size, "encoder_layers": layers, **options}
    model = Seq2Seq(ModelConfig.model_validate({"source_vocabulary": 9, "target_vocabulary": 9, **shape})).eval()
    for name, weight in model.named_parameters():
        if "norms" in name or "gain" in name:
            torch.nn.init.normal_(weight)
    lengths = np.array([7, 1, 4, *[3, 1, 2] * 8])
    sentences = [torch.randn(length, 3) for length in lengths.tolist()]
    packed = Parts(model.config, model.arrays(), "fp32").encoder()
    values = kernels.encode(packed, torch.cat(sentences).numpy(), lengths)

    assert len(values) == lengths.sum()
    for sentence, own in zip(sentences, np.split(values, lengths.cumsum()[:-1]), strict=True):
        alone = model.encoder(sentence[None], torch.tensor([len(sentence)]))[0][0]
        assert np.allclose(own, alone.detach(), atol=1e-5)


def test_an_encoder_wants_what_the_lengths_say() -> None:
    """It would read beyond the end."""
    model = Seq2Seq(ModelConfig.model_validate({"source_vocabulary": 9, "target_vocabulary": 9, "encoder_size": 2}))
    packed, width = Parts(model.config, model.arrays(), "fp32").encoder(), model.config.embedding_size

    for lengths in ([2, 2], [3, 0]):
        with pytest.raises(ValueError, match=re.escape(f"lengths of {lengths} are not all above 0")):
            kernels.encode(packed, np.zeros((3, width), np.float32), np.array(lengths))


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


@pytest.mark.parametrize(
    ("content", "sources", "message"),
    [
        (b"\x7fELF of other sources", "int width(void) { return 3; }", "compiled from other sources"),
        (b"", None, "cannot be loaded"),
    ],
)
def test_a_build_that_does_not_fit_is_left_out(
    content: bytes, sources: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of older sources would not fail but write where it should not; one that is damaged must not end all."""
    (tmp_path / f"native_base{EXTENSION_SUFFIXES[0]}").write_bytes(content)
    if sources:
        (tmp_path / "native.c").write_text(sources)
    monkeypatch.setattr(builds, "_FOLDER", tmp_path)

    with pytest.warns(UserWarning, match=message):
        assert builds.load("native_base") is None


def test_without_a_build_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no error: torch decodes then."""
    monkeypatch.setattr(builds, "load", lambda name: None)
    monkeypatch.setattr(builds, "library", builds.library.__wrapped__)

    assert kernels.available() == ()


def test_where_memory_lacks_there_is_an_error_and_the_process_goes_on() -> None:
    """An `Exception`, which costs a request; the next one is served."""
    code = """
import resource
import numpy as np
from nmt import kernels
weights = kernels.pack(np.ones((8, 64), np.float32), None, "fp32")
inputs = np.ones((400_000, 64), np.float32)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 60_000_000,) * 2)
for count in (len(inputs), 8, len(inputs), 8):
    try:
        print(kernels.product(weights, inputs[:count]).sum())
    except MemoryError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert (
        done.stdout.splitlines()
        == [
            "there is not enough memory for so much text at once; send less, or fewer texts at once",
            "4096.0",
        ]
        * 2
    )


@pytest.mark.parametrize("largest", [1.0, 4.0])
def test_int8_rounds_each_output_to_the_nearest_of_its_own_steps(largest: float) -> None:
    """Read back from what is packed."""
    needs("int8")
    rng = np.random.default_rng(0)
    weight = (rng.standard_normal((67, 13)) * 10.0 ** rng.integers(-3, 3, (67, 1))).astype(np.float32)
    packed = kernels.pack(weight, None, "int8", largest)
    steps, _, scale, _ = packed.held
    rounded = steps.swapaxes(1, 2).reshape(scale.size, -1)[: len(weight), : packed.width]
    error = np.abs(rounded * scale[: len(weight), None] * (127 / largest) - weight)

    assert (error <= 0.5001 / 63 * np.abs(weight).max(axis=1, keepdims=True)).all()
