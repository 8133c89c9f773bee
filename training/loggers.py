"""Where a run reports to: JSON lines, the samples, TensorBoard. terminal.py has the screen."""

import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

from torch.utils.tensorboard import SummaryWriter

from training.pictures import attention_figure
from training.run_state import Progress
from training.validation import ValidationResult

_EVERY = 50

Ending = Literal["updates", "patience", "signal"]
"""Why a run ended: by its plan, for want of a better validation, or on request."""


@dataclass(slots=True)
class UpdateReport:
    """What one update did: loss and negative log-likelihood a target piece, in nats."""

    loss: float
    likelihood: float
    gradient_norm: float
    learning_rate: float
    pieces: int
    finite: bool


class Logger(Protocol):
    """Listens to a run."""

    def update(self, progress: Progress, report: UpdateReport) -> None:
        """After each update."""

    def validation(self, progress: Progress, result: ValidationResult) -> None:
        """After each validation."""

    def close(self, progress: Progress, ending: Ending | None) -> None:
        """At the end of the run, also of an interrupted one."""


class Window:
    """Means over the updates since the last report."""

    def __init__(self, updates: int) -> None:
        self._updates = updates
        self.reset()

    def reset(self) -> None:
        """Start anew; also after a validation, whose time is not the training's."""
        self._started = time.monotonic()
        self._loss = self._likelihood = 0.0
        self._pieces = self._seen = 0

    def add(self, report: UpdateReport) -> dict[str, float] | None:
        """Take in an update. When the window is full: loss and likelihood a piece, target pieces a second."""
        self._seen += 1
        if report.finite:
            self._loss += report.loss * report.pieces
            self._likelihood += report.likelihood * report.pieces
            self._pieces += report.pieces
        if self._seen < self._updates:
            return None
        pieces = max(1, self._pieces)
        speed = self._pieces / max(1e-9, time.monotonic() - self._started)
        means = {"loss": self._loss / pieces, "likelihood": self._likelihood / pieces, "pieces_per_second": speed}
        self.reset()
        return means


class JsonLines:
    """Appends one JSON object a line to a file: every `every` updates, and at each validation."""

    def __init__(self, path: Path, every: int = _EVERY) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_short = _is_cut_short(path)
        self._file = path.open("a", encoding="utf-8")
        if cut_short:  # by a kill; what comes next must not be lost as well
            self._file.write("\n")
        self._window = Window(every)

    def update(self, progress: Progress, report: UpdateReport) -> None:
        """After each update."""
        means = self._window.add(report)
        if means:
            now = {"learning_rate": report.learning_rate, "gradient_norm": report.gradient_norm}
            self._write("training", progress, **now, skipped_updates=progress.skipped_updates, **means)

    def validation(self, progress: Progress, result: ValidationResult) -> None:
        """After each validation."""
        self._write("validation", progress, **result.as_json())
        self._window.reset()

    def note(self, text: str) -> None:
        """What there is to say before the run begins."""
        self._write("note", Progress(), text=text)

    def close(self, progress: Progress, ending: Ending | None) -> None:
        """At the end."""
        with self._file:
            self._write("end", progress, reason=ending or "error", **asdict(progress))

    def _write(self, kind: str, progress: Progress, **fields: object) -> None:
        where = {"update": progress.update, "epoch": progress.epoch, "seconds": round(progress.seconds, 1)}
        record = _with_nulls({"kind": kind, **where, **fields})
        self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()


def _with_nulls(value: object) -> object:
    """The same with null for each number that JSON does not have: NaN and the infinities."""
    if isinstance(value, dict):
        return {name: _with_nulls(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_with_nulls(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_cut_short(path: Path) -> bool:
    """Whether the file breaks off in the middle of a line."""
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def samples_text(update: int, result: ValidationResult) -> str:
    """How the sample sentences are translated now, with their references."""
    lines = [f"== update {update}, loss {result.loss:.3f}"]
    for direction, samples in result.samples.items():
        lines.append(f"-- {direction}, BLEU {result.scores[direction]['bleu'].score:.1f}")
        for sample in samples:
            lines += [f"   source      {sample.source}", f"   reference   {sample.reference}"]
            lines += [f"   translation {sample.translation}", ""]
    return "\n".join(lines)


class SampleFile:
    """Writes down how the sample sentences are translated at each validation: one can watch them become language."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def update(self, progress: Progress, report: UpdateReport) -> None:
        """Nothing to do."""

    def validation(self, progress: Progress, result: ValidationResult) -> None:
        """Append the translations."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(samples_text(progress.update, result) + "\n")

    def close(self, progress: Progress, ending: Ending | None) -> None:
        """Nothing to do."""


class TensorBoard:
    """Curves, and the attention of one sample sentence a direction as a picture."""

    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(str(folder))
        self._window = Window(_EVERY)

    def update(self, progress: Progress, report: UpdateReport) -> None:
        """Curves of the training."""
        means = self._window.add(report)
        if means:
            means |= {"learning_rate": report.learning_rate, "gradient_norm": report.gradient_norm}
            for name, value in means.items():
                self._writer.add_scalar(f"training/{name}", value, progress.update)

    def validation(self, progress: Progress, result: ValidationResult) -> None:
        """Curves of the dev set, and pictures."""
        self._writer.add_scalar("dev/loss", result.loss, progress.update)
        for direction, scores in result.scores.items():
            for name, score in scores.items():
                self._writer.add_scalar(f"dev/{direction}/{name}", score.score, progress.update)
        for layer, share in result.saturation.items():
            self._writer.add_scalar(f"gates/{layer}", share, progress.update)
        for direction, samples in result.samples.items():
            for sample in [own for own in samples if own.alignment.target][:1]:  # one that says anything
                self._writer.add_figure(f"attention/{direction}", attention_figure(sample.alignment), progress.update)
        self._window.reset()

    def close(self, progress: Progress, ending: Ending | None) -> None:  # noqa: ARG002 - a Logger
        """Flush."""
        self._writer.close()
