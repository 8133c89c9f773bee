"""Small runs in processes of their own, killed where a job says: started as a program that reads jobs and forks.

Loading torch takes seconds, so one process loads it once and forks a fresh one for each run; it never computes itself.
A job and its answer, the exit statuses of its ranks, are a line of JSON each.
"""

import errno
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the optimizer would load it in every fork anew
from safetensors.torch import save_file
from small_run import small_run

from nmt.errors import NmtError
from nmt.package import ModelFolder, save_model_folder
from training import ranks
from training.disk import writes_explained
from training.stopping import stop_signals
from training.trainer import Trainer
from training.validation import ValidationResult

INTERRUPTED = 3


class Runs:
    """Sends jobs to the program below."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, folder: Path, **job: Any) -> list[int]:
        """Exit status of each rank; a signal counts negative. See `_work` for what a job may say."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"folder": str(folder), **job}), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


@contextmanager
def forked_runs() -> Iterator[Runs]:
    """The program, as long as it is needed."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Runs(process)
        assert process.stdin
        process.stdin.close()


def _work(
    folder: Path,
    stop_at_batch: int | None = None,
    signals: int = 1,
    kill_at_operation: int | None = None,
    fail_at_operation: int | None = None,
    kill_after: float | None = None,
    threads: int = 1,
    largest_file: int | None = None,
    endless_validation: bool = False,
    record: bool = False,
    copy_of: str | None = None,
    **settings: Any,
) -> int:
    """Train, or write a copy of a model folder. SIGTERM comes before the forward pass of a batch, SIGKILL at a file
    operation, where the disk may also be full, or so many seconds after the first save has begun."""
    torch.set_num_threads(threads)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    if kill_at_operation is not None:
        _at_operation(kill_at_operation, _die)
    if fail_at_operation is not None:
        _at_operation(fail_at_operation, _fill_the_disk)
    with stop_signals() as stop, ranks.joined(), writes_explained(folder):
        if copy_of is not None:
            model = ModelFolder.load(Path(copy_of))
            save_model_folder(folder, model.description, model.tokenizer, model.weights, "# A copy\n")
            return 0
        trainer = small_run(folder, **settings)
        if stop_at_batch is not None:
            _at_batch(trainer, stop_at_batch, signals)
        if endless_validation:
            trainer.validator = _Endless()
        if ranks.rank() > 0:
            trainer.loggers.clear()
        if record:
            _record(trainer, folder)
        if kill_after is not None:
            _kill_while_saving(trainer, kill_after)
        trainer.run(stop)
    return INTERRUPTED if trainer.interrupted else 0


class _Endless:
    """A validator that asks for its own end, and never ends otherwise."""

    def run(self, model: torch.nn.Module) -> ValidationResult:
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            time.sleep(0.01)


def _at_batch(trainer: Trainer, number: int, signals: int) -> None:
    """Send signals when the batch is read to be computed: with accumulation, in the middle of an update."""
    seen, batch = iter(range(1, 1_000_000)), trainer.batches.batch

    def hooked(rows: Any) -> Any:
        if next(seen) == number:
            for _ in range(signals):
                os.kill(os.getpid(), signal.SIGTERM)
        return batch(rows)

    trainer.batches.batch = hooked


def _record(trainer: Trainer, folder: Path) -> None:
    """Write down the rows that this rank computes, and the gradient of the first update as the optimizer gets it."""
    batch, rows, path = trainer.batches.batch, [], folder / f"rows-{ranks.rank()}.json"
    gradients = folder / f"gradients-{ranks.rank()}.safetensors"

    def recorded(own: Any) -> Any:
        rows.append(own.tolist())
        path.write_text(json.dumps(rows))
        return batch(own)

    def first_step(*_: object) -> None:
        if not gradients.exists():
            save_file({name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None}, gradients)

    folder.mkdir(parents=True, exist_ok=True)
    trainer.batches.batch = recorded
    trainer.optimizer.register_step_pre_hook(first_step)


def _kill_while_saving(trainer: Trainer, seconds: float) -> None:
    save = trainer._save

    def timed() -> None:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        trainer._save = save
        save()

    trainer._save = timed


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _at_operation(number: int, happen: Callable[[], None]) -> None:
    """Count writes of what is not whole yet, flushes, renames and deletions; let something happen in the middle of a
    write, or before the others."""
    seen = iter(range(1, 1_000_000))

    def due() -> bool:
        return next(seen) == number

    def before(operation: Any) -> Any:
        return lambda *given, **named: happen() if due() else operation(*given, **named)

    class HalfWriter(io.FileIO):
        def write(self, content: Any) -> int:
            if due():
                super().write(content[: len(content) // 2])
                happen()
            return super().write(content)

    plain = io.open

    def opened(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if ".partial" not in str(file) or "w" not in mode:
            return plain(file, mode, *rest, **more)
        writer = HalfWriter(file, "w")
        return writer if "b" in mode else io.TextIOWrapper(writer, encoding="utf-8")

    io.open = opened
    for name in ("fsync", "replace", "rename", "unlink", "rmdir"):
        setattr(os, name, before(getattr(os, name)))


def _rank(rank: int, count: int, port: int, job: dict[str, Any]) -> int:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if rank:
        job = {**job, "kill_at_operation": None}
    elif count > 1:
        job = {**job, "stop_at_batch": None}
    try:
        return _work(Path(job.pop("folder")), **job)
    except NmtError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except BaseException:
        traceback.print_exc()
        return 1


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        count = job.pop("ranks", 1)
        port, children = _free_port(), []
        for rank in range(count):
            child = os.fork()
            if child == 0:
                os._exit(_rank(rank, count, port, job))
            children.append(child)
        statuses = _wait(children)
        print(json.dumps([statuses[child] for child in children]), flush=True)


def _wait(children: list[int]) -> dict[int, int]:
    """Exit statuses; as torchrun does, end the other ranks when one has failed."""
    statuses: dict[int, int] = {}
    while len(statuses) < len(children):
        child, status = os.wait()
        statuses[child] = os.waitstatus_to_exitcode(status)
        if statuses[child] not in (0, INTERRUPTED):
            time.sleep(0.1)
            for other in set(children) - statuses.keys():
                with suppress(ProcessLookupError):
                    os.kill(other, signal.SIGKILL)
    return statuses


if __name__ == "__main__":
    _main()
