"""What all benchmarks share: one JSON line a figure, and the machine that it was measured on."""

import json
import os
import platform
from pathlib import Path

import torch


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
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"
