"""The README of a model folder: data, rights, scores, and how it was made."""

from collections.abc import Mapping

from nmt.config import SearchConfig
from nmt.model.seq2seq import Seq2Seq
from nmt.scoring.metrics import MetricScore
from training.config import TrainingConfig
from training.corpus.prepared import PreparedCorpus

Scores = Mapping[str, Mapping[str, Mapping[str, MetricScore]]]
"""By set (`dev`, `test`), direction and metric."""


def write_card(
    name: str, config: TrainingConfig, corpus: PreparedCorpus, model: Seq2Seq, scores: Scores, origin: str
) -> str:
    """A card in Markdown."""
    directions = ", ".join(f"{source} to {target}" for source, target in corpus.directions)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    rows = [
        f"| {part} | {direction} | {score.score:.1f} | {metric} | {_code(score.signature)} |"
        for part, by_direction in scores.items()
        for direction, by_metric in by_direction.items()
        for metric, score in by_metric.items()
    ]
    sections = [
        f"# {config.card.title}",
        f"Translates {directions}. A bidirectional LSTM encoder and an LSTM decoder with {model.config.attention} "
        f"attention, {parameters:,} weights.",
        f"## Data\n\n{config.card.data}",
        f"## Licence\n\n{config.card.licence}",
        f"## Scores\n\nsacreBLEU, all references, {_how(config.validation.search)}.\n\n"
        "| set | direction | score | metric | signature |\n"
        "|---|---|---|---|---|\n" + "\n".join(rows),
        f"## How it was made\n\n`nmt train {name}.toml`, seed {config.seed}; the weights are those of {origin}.",
    ]
    if config.fine_tune:
        sections[-1] += f" It was fine-tuned from the model in `{config.fine_tune.model.name}`."
    if config.card.notes:
        sections.append(f"## Notes\n\n{config.card.notes}")
    return "\n\n".join(sections) + "\n"


def _code(signature: str) -> str:
    """For a cell of a table, where a bar would end it."""
    return "`" + signature.replace("|", "\\|") + "`"


def _how(search: SearchConfig) -> str:
    return f"beam {search.beam_size}" if search.method == "beam" else f"{search.method} search"
