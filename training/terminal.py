"""What a run shows on the screen: how far it is, how good, and, if one wants to watch, how it translates by now."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.rule import Rule
from rich.table import Column
from rich.text import Text

from training.loggers import Ending, UpdateReport, Window, samples_text
from training.run_state import Progress
from training.validation import Sample, ValidationResult


class Terminal:
    """A bar where there is a terminal, a line now and then where there is none; on stderr.

    Below the bar stand the last scores on the dev set and, with `watch`, as many of the sample sentences as there is
    room for; they change at each validation.
    """

    def __init__(self, updates: int, *, watch: bool = False, every: int = 20, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._watch = watch
        self._window = Window(every if self._console.is_terminal else 50 * every)
        gauge = BarColumn(bar_width=None, table_column=Column(ratio=1))  # gets what the others leave
        columns = [TextColumn("{task.completed}/{task.total} updates"), gauge, TimeRemainingColumn()]
        self._bar = ProgressBar(*columns, TextColumn("{task.description}"), console=self._console, expand=True)
        self._task = self._bar.add_task("", total=updates)
        self._dev = ""
        self._samples = [Text("The samples appear with the first validation.")] if watch else list[RenderableType]()
        self._live = Live(get_renderable=self._view, console=self._console, refresh_per_second=4)

    def _view(self) -> RenderableType:
        dev = [Text(self._dev)] if self._dev else []
        return _Stack([self._bar, *dev, *self._samples])

    def update(self, progress: Progress, report: UpdateReport) -> None:
        """Move the bar."""
        self._appear()
        self._training(progress, self._window.add(report))

    def validation(self, progress: Progress, result: ValidationResult) -> None:
        """Say how good the model is now, and show its translations."""
        self._appear()
        self._training(progress, self._window.close())
        parts = [f"{d} BLEU {own['bleu'].score:.1f} chrF {own['chrf'].score:.1f}" for d, own in result.scores.items()]
        self._dev = "dev " + ", ".join(parts)
        if result.lost:
            self._dev += " · lost " + ", ".join(f"{score:.1f} on {name}" for name, score in result.lost.items())
        self._say(f"update {progress.update}: dev loss {result.loss:.3f} · {self._dev}")
        if self._watch and self._console.is_terminal:
            self._samples = _blocks(result)
        elif self._watch:
            self._say(samples_text(progress.update, result))
        self._window.reset()

    def _training(self, progress: Progress, means: Mapping[str, float] | None) -> None:
        text = None
        if means:
            skipped = f" · {progress.skipped_updates:,} skipped" if progress.skipped_updates else ""
            text = f"loss {means['loss']:.3f} · {means['pieces_per_second']:,.0f} pieces/s{skipped}"
            if not self._console.is_terminal:
                self._say(" · ".join(filter(None, (f"update {progress.update}", text, self._dev))))
        self._bar.update(self._task, completed=progress.update, description=text)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _appear(self) -> None:
        """Not before there is something to see: an error until then finds the terminal as it was."""
        if self._console.is_terminal and not self._live.is_started:
            self._live.start()

    def close(self, progress: Progress, ending: Ending | None) -> None:  # noqa: ARG002 - a Logger
        """Leave the terminal as it was."""
        self._training(progress, self._window.close())
        if self._live.is_started:
            self._live.stop()


@dataclass(frozen=True, slots=True)
class _Stack:
    """One below the other, the first as many as the terminal has lines for."""

    parts: Sequence[RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        lines = options.size.height
        for part in self.parts:
            lines -= len(console.render_lines(part, options, pad=False))
            if lines < 0:
                return
            yield part


def _blocks(result: ValidationResult) -> list[RenderableType]:
    """One of each sample; the directions take turns, so that each is seen."""
    own = [[_block(direction, sample) for sample in samples] for direction, samples in result.samples.items()]
    return [block for blocks in zip_longest(*own) for block in blocks if block]


def _block(direction: str, sample: Sample) -> Group:
    """Source, translation and reference."""
    texts = Text(sample.source, "dim"), Text(sample.translation, "bold"), Text(sample.reference, "green dim")
    return Group(Rule(direction, style="dim"), *texts)
