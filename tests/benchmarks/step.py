"""Where a decode step's time goes, as JSON lines:
`PYTHONPATH=tests/benchmarks:tests/system python tests/benchmarks/step.py`.

The network of JoeyNMT in `decode.py` with random weights, one thread, beam 5, 64 sentences of 14 pieces and one: a
whole step, each of its products by itself, what is left of it, and the search for the best extensions after it; in each
precision of this processor. Then one large product, ours and that of NumPy's library.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # which is read when NumPy is imported

import time
from collections.abc import Callable

import numpy as np
from decode import JOEYNMT
from figures import report, untrained
from peers import VOCABULARY

from nmt import kernels
from nmt.arrays import Floats
from nmt.config import ModelConfig
from nmt.kernels import Precision
from nmt.runtime.packed import PackedStepper

BEAM, LENGTH, SECONDS = 5, 14, 1.0
EMBEDDING, SIZE, MEMORY = JOEYNMT["embedding_size"], JOEYNMT["decoder_size"], 2 * JOEYNMT["encoder_size"]
PRODUCTS = {
    "lstm": (4 * SIZE, EMBEDDING + SIZE),
    "query": (JOEYNMT["attention_size"], SIZE),
    "readout": (EMBEDDING, SIZE + MEMORY),
    "output": (VOCABULARY, EMBEDDING),
}
LARGE = 320, (2048, 768)


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    for precision in kernels.available():
        config = {**JOEYNMT, "source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY}
        network = ModelConfig.read(config, "step")
        stepper = PackedStepper(network, untrained(network), precision)
        for sentences in (64, 1):
            measure_step(stepper, sentences, rng)
        rows, shape = LARGE
        report_speed("step.product", shape, rows, of_product(shape, rows, precision, rng), precision)
    weight, inputs = uniform(rng, *LARGE[1]), uniform(rng, LARGE[0], LARGE[1][1])
    report_speed("step.product_of_numpy", LARGE[1], LARGE[0], seconds(lambda: inputs @ weight.T), "fp32")


def measure_step(stepper: PackedStepper, sentences: int, rng: np.random.Generator) -> None:
    """Of that many sentences, in milliseconds."""
    sources = rng.integers(10, VOCABULARY, (sentences, LENGTH)).tolist()
    state = stepper.start(sources)
    state = stepper.select(state, np.arange(sentences), np.zeros((sentences, BEAM), np.int64))
    pieces = rng.integers(10, VOCABULARY, (sentences, BEAM))
    log_probs = stepper.step(pieces, state).log_probs
    rows = sentences * BEAM
    whole = seconds(lambda: stepper.step(pieces, state))
    parts = {name: of_product(shape, rows, stepper.precision, rng) for name, shape in PRODUCTS.items()}
    parts["rest"] = whole - sum(parts.values())
    totals = np.zeros((sentences, BEAM), np.float32)
    after = {"best_extensions": seconds(lambda: kernels.best_extensions(log_probs, totals))}
    for name, taken in ({"whole": whole} | parts | after).items():
        report(f"step.{name}", 1000 * taken, "ms", precision=stepper.precision, rows=rows)


def of_product(shape: tuple[int, int], rows: int, precision: Precision, rng: np.random.Generator) -> float:
    """Seconds of the kernels' product of so many rows with weights of a shape."""
    weights, inputs = kernels.pack(uniform(rng, *shape), None, precision), uniform(rng, rows, shape[1])
    return seconds(lambda: kernels.product(weights, inputs))


def report_speed(name: str, shape: tuple[int, int], rows: int, taken: float, precision: str) -> None:
    """A product of rows with weights of a shape."""
    report(name, 2e-9 * rows * shape[0] * shape[1] / taken, "GFLOP/s", precision=precision)


def uniform(rng: np.random.Generator, *shape: int) -> Floats:
    """Numbers in [-1, 1)."""
    return rng.uniform(-1, 1, shape).astype(np.float32)


def seconds(work: Callable[[], object]) -> float:
    """Of the fastest of all repetitions: what else the machine does can only make it slower."""
    best, until = float("inf"), time.perf_counter() + SECONDS
    while (started := time.perf_counter()) < until:
        work()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    main()
