"""The README of a model folder: data, rights, scores, and how it was made."""

import re
from collections.abc import Mapping, Sequence

from nmt.config import SearchConfig
from nmt.model.seq2seq import Seq2Seq
from nmt.package import ModelFolder
from nmt.scoring.metrics import MetricScore
from training.config import Card, TrainingConfig
from training.corpus.records import Direction

Scores = Mapping[str, Mapping[str, Mapping[str, MetricScore]]]
"""By set (`dev`, `test`), direction and metric."""

_NOT_STATED = Card().licence


def write_card(
    name: str,
    config: TrainingConfig,
    directions: Sequence[Direction],
    model: Seq2Seq,
    scores: Scores,
    origin: str,
    base: ModelFolder | None = None,
) -> str:
    """A card in Markdown; what the recipe does not state is that of `base`, the model that was fine-tuned."""
    languages = ", ".join(f"{source} to {target}" for source, target in directions)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    rows = [
        f"| {part} | {direction} | {score.score:.1f} | {metric} | {_code(score.signature)} |"
        for part, by_direction in scores.items()
        for direction, by_metric in by_direction.items()
        for metric, score in by_metric.items()
    ]
    sections = [
        f"# {config.card.title}",
        f"Version {config.card.version}. Translates {languages}. A bidirectional LSTM encoder and an LSTM decoder with "
        f"{model.config.attention} attention, {parameters:,} weights.",
        f"## Data\n\n{_stated(config.card.data, 'Data', base)}",
        f"## Licence\n\n{_stated(config.card.licence, 'Licence', base)}",
        f"## Scores\n\nsacreBLEU, all references, {_how(config.validation.search)}.\n\n"
        "| set | direction | score | metric | signature |\n"
        "|---|---|---|---|---|\n" + "\n".join(rows),
        f"## How it was made\n\n`nmt train {name}.toml`, seed {config.seed}; the weights are those of {origin}.",
    ]
    if base:
        sections[-1] += f" It was fine-tuned from the model `{base.description.name}`."
    if config.card.notes:
        sections.append(f"## Notes\n\n{config.card.notes}")
    return "\n\n".join(sections) + "\n"


def _stated(text: str, title: str, base: ModelFolder | None) -> str:
    """The text of the recipe, and beside one that states nothing what the card of the base has under this title."""
    if base is None or text != _NOT_STATED or not (card := base.path / "README.md").is_file():
        return text
    found = re.search(rf"^## {title}\n+(.+?)\s*(?=^## |\Z)", card.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    if found is None or found[1] == _NOT_STATED:
        return text
    return f"{text}; of the model `{base.description.name}`, which it began with: {found[1]}"


def _code(signature: str) -> str:
    """For a cell of a table, where a bar would end it."""
    return "`" + signature.replace("|", "\\|") + "`"


def _how(search: SearchConfig) -> str:
    return f"beam {search.beam_size}" if search.method == "beam" else f"{search.method} search"
