"""The report of an evaluation as one HTML file that needs nothing else."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader

from nmt.errors import ConfigError
from nmt.scoring.evaluation import Evaluation
from nmt.scoring.metrics import sentence_scores
from training.disk import writes_explained

_WORST = 25


@dataclass(frozen=True, slots=True)
class Translated:
    """A translation with its alignment: weights, target words × source words."""

    text: str
    source_words: list[str]
    target_words: list[str]
    weights: list[list[float]]


@dataclass(frozen=True, slots=True)
class _Example:
    """A sentence of the report, with its own chrF: BLEU says little about one sentence."""

    source: str
    references: Sequence[str]
    translated: Translated
    chrf: float


def check_writable(report: Path | None) -> None:
    """Before the work that the report is to show. Raises `ConfigError` if it cannot be a file there."""
    if report and report.is_dir():
        raise ConfigError(f"{report} cannot be written: it is a folder; name a file in it")
    if report and not report.parent.is_dir():
        raise ConfigError(f"{report} cannot be written: there is no folder {report.parent}; make it first")
    place = report if report is None or report.exists() else report.parent
    if place and not os.access(place, os.W_OK):
        raise ConfigError(f"{report} cannot be written: {place} is read-only for you; choose another place")


def write_report(report: Path, html: str) -> None:
    """Raises `SaveError` if it cannot be written."""
    with writes_explained(report):
        report.write_text(html, encoding="utf-8")


def render(
    title: str,
    evaluation: Evaluation,
    rows: Sequence[tuple[str, list[str]]],
    translated: Sequence[Translated],
    seconds: float,
    model: str,
) -> str:
    """Scores, the plot by length, and the worst sentences with their attention drawn."""
    examples = [
        _Example(source, references, own, sentence_scores(own.text, references)["chrf"].score)
        for (source, references), own in zip(rows, translated, strict=True)
    ]
    examples.sort(key=lambda example: example.chrf)
    environment = Environment(loader=PackageLoader("training", "report"), autoescape=True)
    return environment.get_template("report.html.j2").render(
        title=title,
        model=model,
        sentences=len(rows),
        seconds=seconds,
        metrics=[("BLEU", evaluation.bleu), ("chrF2", evaluation.chrf), ("TER", evaluation.ter)],
        buckets=evaluation.by_length,
        highest=max((bucket.bleu for bucket in evaluation.by_length), default=1) or 1,
        worst=examples[:_WORST],
    )
