"""What all benchmarks share: one JSON line a figure, and the machine that it was measured on."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

from nmt.arrays import Arrays
from nmt.config import ModelConfig
from nmt.model.shapes import weight_shapes


def report(name: str, value: float, unit: str, **details: object) -> None:
    """Print a figure; `details` say what it was measured with."""
    rounded = float(f"{value:.4g}")
    print(json.dumps({"name": name, "value": rounded, "unit": unit, "machine": machine(), **details}), flush=True)


def machine() -> str:
    """Processor, cores and threads."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = names[0] if names else platform.machine()
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    return f"{model}, {os.cpu_count()} cores, {threads} threads, torch {version('torch')}"


def untrained(config: ModelConfig) -> Arrays:
    """Weights at random, without torch, whose memory and start would be measured as well."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in weight_shapes(config).items()}
