"""What a run shows on the screen: how far it is, how good, and, if one wants to watch, how it translates by now."""

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table
from rich.text import Text

from training.loggers import UpdateReport, Window, samples_text
from training.run_state import Progress
from training.validation import ValidationResult


class Terminal:
    """A bar where there is a terminal, a line now and then where there is none; on stderr.

    With `watch`, the sample sentences stand above the bar and change at each validation.
    """

    def __init__(self, updates: int, *, watch: bool = False, every: int = 20, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._watch = watch
        self._window = Window(every if self._console.is_terminal else 50 * every)
        columns = [TextColumn("{task.completed}/{task.total} updates"), BarColumn(), TimeRemainingColumn()]
        self._bar = ProgressBar(*columns, TextColumn("{task.description}"), console=self._console)
        self._task = self._bar.add_task("", total=updates)
        self._dev = ""
        self._samples: RenderableType = Text("The samples appear with the first validation.") if watch else Group()
        self._live = Live(get_renderable=self._view, console=self._console, refresh_per_second=4)

    def _view(self) -> RenderableType:
        return Group(self._samples, self._bar)

    def update(self, progress: Progress, report: UpdateReport) -> None:
        """Move the bar."""
        self._appear()
        means = self._window.add(report)
        text = None
        if means:
            skipped = f" · {progress.skipped_updates:,} skipped" if progress.skipped_updates else ""
            text = f"loss {means['loss']:.3f} · {means['pieces_per_second']:,.0f} pieces/s{skipped} {self._dev}"
            if not self._console.is_terminal:
                self._console.print(f"update {progress.update} · {text}", highlight=False)
        self._bar.update(self._task, completed=progress.update, description=text)

    def validation(self, progress: Progress, result: ValidationResult) -> None:
        """Say how good the model is now, and show its translations."""
        self._appear()
        parts = [f"{d} BLEU {own['bleu'].score:.1f} chrF {own['chrf'].score:.1f}" for d, own in result.scores.items()]
        self._dev = "· dev " + ", ".join(parts)
        if result.lost:
            self._dev += " · lost " + ", ".join(f"{score:.1f} on {name}" for name, score in result.lost.items())
        self._console.print(f"update {progress.update}: dev loss {result.loss:.3f} {self._dev}", highlight=False)
        if self._watch and self._console.is_terminal:
            self._samples = _table(progress.update, result)
        elif self._watch:
            self._console.print(samples_text(progress.update, result), highlight=False, markup=False, soft_wrap=True)
        self._window.reset()

    def _appear(self) -> None:
        """Not before there is something to see: an error until then finds the terminal as it was."""
        if self._console.is_terminal and not self._live.is_started:
            self._live.start()

    def close(self, progress: Progress) -> None:  # noqa: ARG002 - a Logger
        """Leave the terminal as it was."""
        if self._live.is_started:
            self._live.stop()


def _table(update: int, result: ValidationResult) -> Table:
    """Source, translation and reference of each sample."""
    table = Table(title=f"update {update}", show_header=False, expand=True, show_lines=True)
    for direction, samples in result.samples.items():
        for sample in samples:
            lines = (Text(sample.source, "dim"), Text(sample.translation, "bold"), Text(sample.reference, "green dim"))
            table.add_row(direction, Group(*lines))
    return table
