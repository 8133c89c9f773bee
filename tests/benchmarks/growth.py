"""How time and memory of search grow with the sentences that wait: `python tests/benchmarks/growth.py [--plot FILE]`.

Each number of sentences is a process of its own, which submits them all at once to an engine on one core and lets go of
each when it is done. The network is that of `training/recipes/multi30k.en-de.toml` with random weights, in the faster
precision of this processor, greedy search.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl
from figures import report, untrained
from peers import VOCABULARY, made_up

from nmt.config import ModelConfig, SearchConfig
from nmt.runtime.precision import new_stepper
from nmt.search.engine import Engine
from training.config import read_recipe

COUNTS = (1, 100, 1000, 3000, 10_000, 30_000, 100_000)
RECIPE = Path(__file__).parents[2] / "training" / "recipes" / "multi30k.en-de.toml"


def main() -> None:
    """Print two lines a number of sentences; draw them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path, help="an SVG file")
    parser.add_argument("--here", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.here)))
        return
    points = []
    for count in COUNTS:
        command = [sys.executable, __file__, "--here", str(count)]
        seconds, memory, precision = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )
        speed = round(count / seconds, 1)
        report(f"decode.growth_s.{count}", seconds, "s", precision=precision, sentences_per_s=speed)
        report(f"decode.growth_mb.{count}", memory, "MiB, the most so far", precision=precision)
        points.append((count, seconds, memory))
    if arguments.plot:
        plot(points, arguments.plot)


def measure(count: int) -> tuple[float, float, str]:
    """Seconds from the first submission to the last result, the most memory that was resident so far, and the
    precision."""
    size = VOCABULARY // 2
    shape = {**read_recipe(RECIPE).model, "source_vocabulary": size, "target_vocabulary": size}
    network = ModelConfig.read(shape, "growth")
    stepper = new_stepper(network, untrained(network), "auto")
    sources = [[piece % size for piece in source] for source in made_up(1000)[0]]
    config = SearchConfig(method="greedy", min_length=15, max_length=15)
    engine = Engine(stepper)
    started = time.perf_counter()
    for number in range(count):
        engine.submit(sources[number % len(sources)], config)
    done = sum(1 for _ in engine.run())
    seconds = time.perf_counter() - started
    if done != count:
        raise RuntimeError(f"{done} of {count} sentences came back")
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, stepper.precision


def plot(points: list[tuple[int, float, float]], path: Path) -> None:
    """Time and memory by sentences."""
    mpl.use("svg")
    from matplotlib import pyplot

    counts, seconds, memory = zip(*points, strict=True)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.loglog(counts, seconds, "o-")
    left.set(xlabel="sentences waiting at once", ylabel="seconds", title="Time")
    right.semilogx(counts, memory, "o-")
    right.set(xlabel="sentences waiting at once", ylabel="MiB, most resident", ylim=(0, None), title="Memory")
    for axis in (left, right):
        axis.grid(visible=True, alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main()
