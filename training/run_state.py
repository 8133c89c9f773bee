"""All that a resume needs, saved so that an interruption at any moment leaves a whole checkpoint."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nmt.errors import Diverged, TrainingError
from training.disk import write_atomically
from training.identity import Given, Identity

STATE = Path("checkpoints") / "last.safetensors"
"""Where it is in the folder of a run."""


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
    validated_update: int = 0
    skipped_updates: int = 0
    skips_in_a_row: int = 0
    kept: list[int] = field(default_factory=list)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors into one file. Raises `Diverged`, and writes nothing, if a value is not finite."""
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    broken = sorted(name for name, tensor in ready.items() if not bool(torch.isfinite(tensor).all()))
    if broken:
        raise Diverged(
            f"{broken[0]} is not finite ({len(broken)} of {len(ready)} tensors are not), so {path} was not written; "
            f"lower learning_rate, or set precision to float32, and start again: the run resumes from its last "
            f"checkpoint, which is finite"
        )
    write_atomically(path, save(ready, metadata=metadata))


def save_state(path: Path, tensors: Mapping[str, Tensor], progress: Progress, begun: Identity) -> None:
    """Write tensors, progress and what the run was begun with into one file."""
    save_tensors(path, tensors, {"progress": json.dumps(asdict(progress)), "begun": json.dumps(begun)})


def load_state(path: Path) -> tuple[dict[str, Tensor], Progress]:
    """Read the tensors and the progress that `save_state` wrote."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, _progress(file)  # noqa: SIM118 - not a mapping


def load_progress(path: Path) -> Progress:
    """How far the run is that was saved there; at its start if there is no file yet."""
    if not path.exists():
        return Progress()
    with _opened(path) as file:
        return _progress(file)


def load_identity(path: Path) -> Identity:
    """What the run was begun with; nothing if there is no file yet, or one of an earlier version."""
    if not path.exists():
        return {}
    with _opened(path) as file:
        return {name: Given(*own) for name, own in json.loads((file.metadata() or {}).get("begun", "{}")).items()}


def _progress(file: Any) -> Progress:
    return Progress(**json.loads(file.metadata()["progress"]))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
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
