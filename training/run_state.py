"""All that a resume needs, saved so that an interruption at any moment leaves a whole checkpoint."""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nmt.errors import Diverged, SaveError, TrainingError

_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "choose an --output that can be written",
    errno.EACCES: "make the folder writable for you",
    errno.EPERM: "make the folder writable for you",
}


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


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as a whole: written beside, flushed to the disk, renamed, and the rename flushed as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()  # on a full disk, half a file is in the way of everything else
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make sure that what was renamed in a folder stays renamed when the power fails."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writes_explained(folder: Path) -> Iterator[None]:
    """Turn what the system says when a write fails into a `SaveError` that says what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "check the disk")
        raise SaveError(
            f"{error.filename or folder} could not be written: {error.strerror or error}. What was saved before is "
            f"whole; {advice}, then give the same command again: it goes on from there"
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder to one run at a time; the lock ends with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"another process trains in {folder}; wait for it, or choose another --output"
            ) from error
        yield


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


def save_state(path: Path, tensors: Mapping[str, Tensor], progress: Progress) -> None:
    """Write tensors and progress into one file."""
    save_tensors(path, tensors, {"progress": json.dumps(asdict(progress))})


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
