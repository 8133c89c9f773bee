"""Where a run reports to: JSON lines, the samples, TensorBoard. terminal.py has the screen."""

import json
import math
import os
import time
import warnings
from collections.abc import Mapping
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
    """Means over the updates since the last report: loss and likelihood a piece, target pieces a second; and learning
    rate and norm of the gradient in the last update."""

    def __init__(self, updates: int) -> None:
        self._updates = updates
        self.reset()

    def reset(self) -> None:
        """Start anew; also after a validation, whose time is not the training's."""
        self._started = time.monotonic()
        self._seen: list[UpdateReport] = []

    def add(self, report: UpdateReport) -> dict[str, float] | None:
        """Take in an update. Returns the means when the window is full."""
        self._seen.append(report)
        return self.close() if len(self._seen) >= self._updates else None

    def close(self) -> dict[str, float] | None:
        """The means of what the window has seen, if it has seen anything; it is empty then."""
        if not self._seen:
            return None
        finite, last, seconds = [r for r in self._seen if r.finite], self._seen[-1], time.monotonic() - self._started
        pieces = sum(report.pieces for report in finite)
        whole = pieces or math.nan  # without one, there is no mean
        self.reset()
        return {
            "learning_rate": last.learning_rate,
            "gradient_norm": last.gradient_norm,
            "loss": sum(report.loss * report.pieces for report in finite) / whole,
            "likelihood": sum(report.likelihood * report.pieces for report in finite) / whole,
            "pieces_per_second": pieces / max(1e-9, seconds),
        }


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
        self._training(progress, self._window.add(report))

    def validation(self, progress: Progress, result: ValidationResult) -> None:
        """After each validation."""
        self._training(progress, self._window.close())
        self._write("validation", progress, **result.as_json())
        self._window.reset()

    def note(self, text: str) -> None:
        """What there is to say before the run begins."""
        self._write("note", Progress(), text=text)

    def close(self, progress: Progress, ending: Ending | None) -> None:
        """At the end."""
        with self._file:
            self._training(progress, self._window.close())
            self._write("end", progress, reason=ending or "error", **asdict(progress))

    def _training(self, progress: Progress, means: Mapping[str, float] | None) -> None:
        if means:
            self._write("training", progress, skipped_updates=progress.skipped_updates, **means)

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
        self._folder, self._window = folder, Window(_EVERY)
        self._writer: SummaryWriter | None = None

    def update(self, progress: Progress, report: UpdateReport) -> None:
        """Curves of the training."""
        self._training(progress, self._window.add(report))

    def validation(self, progress: Progress, result: ValidationResult) -> None:
        """Curves of the dev set, and pictures."""
        self._training(progress, self._window.close())
        writer = self._at(progress)
        writer.add_scalar("dev/loss", result.loss, progress.update)
        for direction, scores in result.scores.items():
            for name, score in scores.items():
                writer.add_scalar(f"dev/{direction}/{name}", score.score, progress.update)
        for layer, share in result.saturation.items():
            writer.add_scalar(f"gates/{layer}", share, progress.update)
        for direction, samples in result.samples.items():
            for sample in [own for own in samples if own.alignment.target][:1]:  # one that says anything
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Glyph .* missing")  # the picture has a box there
                    writer.add_figure(f"attention/{direction}", attention_figure(sample.alignment), progress.update)
        self._window.reset()

    def close(self, progress: Progress, ending: Ending | None) -> None:  # noqa: ARG002 - a Logger
        """Flush."""
        if self._writer:
            self._training(progress, self._window.close())
            self._writer.close()

    def _training(self, progress: Progress, means: Mapping[str, float] | None) -> None:
        writer = self._at(progress)
        for name, value in (means or {}).items():
            writer.add_scalar(f"training/{name}", value, progress.update)

    def _at(self, progress: Progress) -> SummaryWriter:
        """Begun with the first update or validation: what a run that was killed has written of later ones is not shown,
        for this one makes them again."""
        self._writer = self._writer or SummaryWriter(str(self._folder), purge_step=progress.update)
        return self._writer
