"""`nmt runs`: runs side by side, from what they wrote down."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Self

import typer
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from nmt.errors import DataError
from training.messages import messages
from training.pictures import Curve, curves_svg
from training.report.html import check_writable, write_report

_WIDTH_OF_A_FILE = 1_000_000
"""Or of a pipe: nobody counts its columns."""

Record = dict[str, Any]
Rows = list[tuple[str, list[str]]]
"""What is compared, and what it is in each run."""


@dataclass(frozen=True, slots=True)
class Run:
    """The records of a run's log, each update once, and its settings under flat names such as `model.decoder_size`."""

    name: str
    training: list[Record]
    validations: list[Record]
    settings: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `nmt train` wrote into a folder; a line that a kill has cut short, be it in
        the middle of a character, is passed over."""
        try:
            lines = (folder / "log.jsonl").read_text(encoding="utf-8", errors="replace").split("\n")
            settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{folder} is no folder of a run, which `nmt train --output` makes: {error}") from error
        records: dict[str, list[Record]] = defaultdict(list)
        for record in _parsed(lines):
            own = records[record["kind"]]
            # A resumed run goes on from its last checkpoint, and makes the updates after it once more.
            while own and own[-1]["update"] >= record["update"]:
                own.pop()
            own.append(record)
        return cls(folder.resolve().name, records["training"], records["validation"], dict(_flat(settings)))

    def scores(self, direction: str, metric: str) -> list[tuple[Record, float]]:
        """The validations with their score in a direction."""
        own = [(record, record["scores"].get(direction, {}).get(metric)) for record in self.validations]
        return [(record, float(score["score"])) for record, score in own if score]

    @property
    def losses(self) -> list[tuple[Record, float]]:
        """The training loss, where not all updates were skipped."""
        return [(record, record["loss"]) for record in self.training if record["loss"] is not None]

    @property
    def directions(self) -> set[str]:
        """Those that were validated."""
        return {direction for record in self.validations for direction in record["scores"]}


def runs(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="What `nmt train --output` made.")],
    html: Annotated[Path | None, typer.Option(help="Also write the table and the curves as one HTML file.")] = None,
) -> None:
    """Compare runs: how far, how fast, how good, and in which settings they differ."""
    check_writable(html)
    compared = []
    for folder in folders:
        try:
            compared.append(Run.read(folder))
        except DataError as error:
            if folder == folders[-1] and not compared:
                raise
            messages().print(f"left out: {error}")
    rows = compare(compared)
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    for table in tables([run.name for run in compared], rows, console.width):
        console.print(table)
    if html:
        write_report(html, render(compared, rows))
        console.print(f"written to {html}")


def compare(compared: Sequence[Run]) -> Rows:
    """The table: figures first, then every setting that is not the same in all runs."""
    rows = [
        ("updates", [_last(run, "update", "{:,}") for run in compared]),
        ("epochs begun", [_last(run, "epoch", "{:,}", 1) for run in compared]),
        ("minutes", [_last(run, "seconds", "{:.1f}", 0, 1 / 60) for run in compared]),
        ("pieces a second", [_middle(run) for run in compared]),
        ("training loss, last", [f"{run.losses[-1][1]:.3f}" if run.losses else "" for run in compared]),
        ("dev loss, best", [_best([(r, -r["loss"]) for r in run.validations], "{:.3f}", -1) for run in compared]),
    ]
    for direction in sorted(set().union(*(run.directions for run in compared))):
        for metric, title in (("bleu", "BLEU"), ("chrf", "chrF")):
            cells = [_best(run.scores(direction, metric), "{:.1f}") for run in compared]
            rows.append((f"{direction} dev {title}, best", cells))
    keys = sorted(set().union(*(run.settings for run in compared)))
    settings = [(key, [run.settings.get(key, "") for run in compared]) for key in keys]
    return rows + [(key, cells) for key, cells in settings if len(set(cells)) > 1]


def tables(names: Sequence[str], rows: Rows, width: int) -> Iterator[Table]:
    """The table for a screen: as many runs side by side as `width` columns have room for, and others below.

    A run that needs more than there is has a table of its own, whose cells are wrapped; no title ever is.
    """
    columns = list(zip(_unlike(names), *(cells for _, cells in rows), strict=True))
    titles = ("", *(title for title, _ in rows))
    while columns:
        count = max([n for n in range(1, len(columns) + 1) if _width([titles, *columns[:n]]) <= width], default=1)
        table = Table(Column(no_wrap=True), *(Column(escape(name), overflow="fold") for name, *_ in columns[:count]))
        for cells in list(zip(titles, *columns[:count], strict=True))[1:]:
            table.add_row(*map(escape, cells))
        yield table
        columns = columns[count:]


def _width(columns: Sequence[Sequence[str]]) -> int:
    """Of a table of these columns, each with a border and a space on both sides."""
    return 1 + sum(3 + max(map(cell_len, column)) for column in columns)


def render(compared: Sequence[Run], rows: Rows) -> str:
    """The table and the curves, by updates and by minutes, as one HTML file that needs nothing else."""
    names = _unlike([run.name for run in compared])
    figures = []
    for horizontal, scale in (("update", 1.0), ("seconds", 1 / 60)):
        axis = "updates" if horizontal == "update" else "minutes"
        for title, points in _series(compared):
            curves: dict[str, Curve] = {
                name: [(record[horizontal] * scale, value) for record, value in own]
                for name, own in zip(names, points, strict=True)
            }
            figures.append(Markup(curves_svg(title, axis, curves)))
    environment = Environment(loader=PackageLoader("training", "report"), autoescape=True)
    return environment.get_template("runs.html.j2").render(names=names, rows=rows, figures=figures)


def _series(compared: Sequence[Run]) -> Iterator[tuple[str, list[list[tuple[Record, float]]]]]:
    """What is drawn: a title, and for each run its records with their values."""
    yield "training loss", [run.losses for run in compared]
    yield "dev loss", [[(record, record["loss"]) for record in run.validations] for run in compared]
    for direction in sorted(set().union(*(run.directions for run in compared))):
        yield f"dev BLEU, {direction}", [run.scores(direction, "bleu") for run in compared]


def _parsed(lines: Sequence[str]) -> Iterator[Record]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _flat(settings: Record, prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value)


def _last(run: Run, field: str, form: str, add: float = 0, scale: float = 1) -> str:
    records = [*run.training[-1:], *run.validations[-1:]]
    return form.format(max(record[field] for record in records) * scale + add) if records else ""


def _middle(run: Run) -> str:
    return f"{median(record['pieces_per_second'] for record in run.training):,.0f}" if run.training else ""


def _best(scored: Sequence[tuple[Record, float]], form: str, sign: int = 1) -> str:
    """The highest score, and when it was reached."""
    if not scored:
        return ""
    record, score = max(scored, key=lambda item: item[1])
    return f"{form.format(sign * score)} at {record['update']:,}"


def _unlike(names: Sequence[str]) -> list[str]:
    """Names that can be told apart."""
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, start=1)]
