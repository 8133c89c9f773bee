"""Where a run reports to: JSON lines, TensorBoard, the terminal."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from torch.utils.tensorboard import SummaryWriter

from training.pictures import attention_figure
from training.run_state import Progress
from training.validation import ValidationResult


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

    def close(self, progress: Progress) -> None:
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

    def __init__(self, path: Path, every: int = 50) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._window = Window(every)

    def update(self, progress: Progress, report: UpdateReport) -> None:
        """After each update."""
        means = self._window.add(report)
        if means:
            self._write(
                "training", progress, learning_rate=report.learning_rate, gradient_norm=report.gradient_norm, **means
            )

    def validation(self, progress: Progress, result: ValidationResult) -> None:
        """After each validation."""
        self._write("validation", progress, **result.as_json())
        self._window.reset()

    def close(self, progress: Progress) -> None:
        """At the end."""
        with self._file:
            self._write("end", progress, **asdict(progress))

    def _write(self, kind: str, progress: Progress, **fields: object) -> None:
        where = {"update": progress.update, "epoch": progress.epoch, "seconds": round(progress.seconds, 1)}
        self._file.write(json.dumps({"kind": kind, **where, **fields}, ensure_ascii=False) + "\n")
        self._file.flush()


class SampleFile:
    """Writes down how the sample sentences are translated at each validation: one can watch them become language."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def update(self, progress: Progress, report: UpdateReport) -> None:
        """Nothing to do."""

    def validation(self, progress: Progress, result: ValidationResult) -> None:
        """Append the translations."""
        lines = [f"== update {progress.update}, loss {result.loss:.3f}"]
        for direction, samples in result.samples.items():
            lines.append(f"-- {direction}, BLEU {result.scores[direction]['bleu'].score:.1f}")
            for sample in samples:
                lines += [f"   source      {sample.source}", f"   reference   {sample.reference}"]
                lines += [f"   translation {sample.translation}", ""]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def close(self, progress: Progress) -> None:
        """Nothing to do."""


class TensorBoard:
    """Curves, and the attention of one sample sentence a direction as a picture."""

    def __init__(self, folder: Path, every: int = 50) -> None:
        self._writer = SummaryWriter(str(folder))
        self._window = Window(every)

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
        for direction, samples in result.samples.items():
            for sample in samples[:1]:
                self._writer.add_figure(f"attention/{direction}", attention_figure(sample.alignment), progress.update)
        self._window.reset()

    def close(self, progress: Progress) -> None:  # noqa: ARG002 - a Logger
        """Flush."""
        self._writer.close()


class Terminal:
    """A progress bar where there is a terminal, a line now and then where there is none; always on stderr."""

    def __init__(self, updates: int, every: int = 20) -> None:
        self._console = Console(stderr=True)
        self._window = Window(every if self._console.is_terminal else 50 * every)
        columns = [TextColumn("{task.completed}/{task.total} updates"), BarColumn(), TimeRemainingColumn()]
        self._bar = ProgressBar(*columns, TextColumn("{task.description}"), console=self._console)
        self._task = self._bar.add_task("", total=updates)
        self._dev = ""
        if self._console.is_terminal:
            self._bar.start()

    def update(self, progress: Progress, report: UpdateReport) -> None:
        """Move the bar."""
        means = self._window.add(report)
        text = None
        if means:
            text = f"loss {means['loss']:.3f} · {means['pieces_per_second']:,.0f} pieces/s {self._dev}"
            if not self._console.is_terminal:
                self._console.print(f"update {progress.update} · {text}", highlight=False)
        self._bar.update(self._task, completed=progress.update, description=text)

    def validation(self, progress: Progress, result: ValidationResult) -> None:
        """Say how good the model is now."""
        parts = [f"{d} BLEU {own['bleu'].score:.1f} chrF {own['chrf'].score:.1f}" for d, own in result.scores.items()]
        self._dev = "· dev " + ", ".join(parts)
        self._console.print(f"update {progress.update}: dev loss {result.loss:.3f} {self._dev}", highlight=False)
        self._window.reset()

    def close(self, progress: Progress) -> None:  # noqa: ARG002 - a Logger
        """Leave the terminal as it was."""
        self._bar.stop()
