"""All that a resume needs, saved so that an interruption at any moment leaves a whole checkpoint."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nmt.errors import TrainingError


@dataclass(slots=True)
class Progress:
    """Where a run stands: all of it but the tensors."""

    update: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    best_score: float | None = None
    best_update: int = 0
    validations_since_best: int = 0
    skipped_updates: int = 0
    kept: list[int] = field(default_factory=list)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as a whole: written beside, flushed to the disk, renamed, and the rename flushed as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save_state(path: Path, tensors: Mapping[str, Tensor], progress: Progress) -> None:
    """Write tensors and progress into one file."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(contiguous, metadata={"progress": json.dumps(asdict(progress))}))


def load_state(path: Path) -> tuple[dict[str, Tensor], Progress]:
    """Read what `save_state` wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            return {name: file.get_tensor(name) for name in file.keys()}, progress  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        raise TrainingError(f"the checkpoint {path} cannot be read ({error}); delete it to start anew") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state under flat names."""
    return {
        f"optimizer.{index}.{name}": value
        for index, entries in optimizer.state_dict()["state"].items()
        for name, value in entries.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, entry = name.split(".")
            state.setdefault(int(index), {})[entry] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
