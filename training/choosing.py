"""Which weights of a run become its model, and the model folder that is made of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from nmt.errors import Diverged, Forgotten, ModelFolderError, TrainingError
from nmt.model.seq2seq import Seq2Seq
from nmt.package import Description, ModelFolder, save_model_folder
from nmt.scoring.metrics import Metric
from training.averaging import around
from training.card import write_card
from training.config import TrainingConfig
from training.disk import write_atomically
from training.run_data import RunData
from training.run_state import Progress
from training.trainer import Trainer
from training.validation import ValidationResult

MODEL = "model"
"""The model folder in that of a run."""

_SCORES = "scores.json"
_ALL = 1_000_000
_ALL_METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which weights became those of the network, and all the scores that led to them."""

    origin: str
    dev: dict[str, ValidationResult]
    test: ValidationResult | None


def choose(config: TrainingConfig, trainer: Trainer, data: RunData) -> Choice:
    """Load the best checkpoint, or the mean of those around it if that is better on the whole dev set.

    If neither kept what a fine-tuned model has to keep, the best one of the other checkpoints that did. Raises
    `Forgotten` if none did, and `Diverged` if their weights do not fit into a model folder.
    """
    progress, model, checkpoints = trainer.progress, trainer.model, trainer.checkpoints
    if not progress.kept:
        raise TrainingError("the run ended before its first validation; lower validation.every or raise updates")
    whole = config.validation.model_copy(update={"sentences": _ALL})
    validator, dev = data.validator(whole, lost=data.guard(config, whole)), dict[str, ValidationResult]()
    weights, allowed = dict[str, dict[str, Tensor]](), list[str]()
    for candidates in (_best(config, progress), _others(progress)):
        for origin, updates in candidates.items():
            weights[origin] = _halved(origin, checkpoints.mean(updates))  # what is scored is what will be shipped
            model.load_weights(weights[origin])
            dev[origin] = validator.run(model, _ALL_METRICS)
        allowed = [origin for origin in dev if config.fine_tune is None or config.fine_tune.allows(dev[origin].lost)]
        if allowed:
            break
    else:
        raise Forgotten(_forgotten(config, dev))
    chosen = max(allowed, key=lambda origin: dev[origin].metric(config.validation.metric))
    model.load_weights(weights[chosen])
    test = data.validator(whole, "test").run(model, _ALL_METRICS) if data.corpus.manifest.test else None
    return Choice(chosen, dev, test)


def _best(config: TrainingConfig, progress: Progress) -> dict[str, list[int]]:
    """What the model comes from, and the updates whose mean each is: the best, if one was good enough to be that, and
    with it those around it."""
    if progress.best_score is None:
        return {}
    nearest = around(progress.kept, progress.best_update, config.validation.average)
    several = {f"mean of updates {', '.join(map(str, nearest))}": nearest} if len(nearest) > 1 else {}
    return {f"update {progress.best_update}": [progress.best_update]} | several


def _others(progress: Progress) -> dict[str, list[int]]:
    """The checkpoints that are there beside the best one."""
    best = None if progress.best_score is None else progress.best_update
    return {f"update {update}": [update] for update in progress.kept if update != best}


def is_written(config: TrainingConfig, folder: Path, progress: Progress) -> bool:
    """Whether the model was chosen among these very candidates, and is there as a whole."""
    try:
        scored = json.loads((folder / _SCORES).read_bytes())
        found = ModelFolder.load(folder / MODEL)
    except (OSError, ValueError, ModelFolderError):
        return False
    best = _best(config, progress)
    return found.path == folder / MODEL and list(scored) in (list(best), list(best | _others(progress)))


def _halved(origin: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights as a model folder holds them."""
    halves = {name: weight.half() for name, weight in weights.items()}
    broken = sorted(name for name, half in halves.items() if not bool(torch.isfinite(half).all()))
    if broken:
        raise Diverged(
            f"no model was written: {broken[0]} of {origin} is {weights[broken[0]].abs().max():g} somewhere, and "
            f"float16, in which models are stored, ends at {torch.finfo(torch.float16).max:g}; lower learning_rate or "
            "raise weight_decay, and train in another folder"
        )
    return halves


def _forgotten(config: TrainingConfig, tried: Mapping[str, ValidationResult]) -> str:
    largest = config.fine_tune.largest_loss if config.fine_tune else 0.0
    least, result = min(tried.items(), key=lambda own: max(own[1].lost.values()))
    losses = ", ".join(f"{score:.1f} on {name}" for name, score in result.lost.items())
    return (
        f"no model was written: each of the last checkpoints has lost more than the {largest:g} BLEU of "
        f"fine_tune.largest_loss, the least in {least} ({losses}); raise the limit and give the same command again; or "
        "lower learning_rate, or add some of the old corpus to the new one, and train in another folder"
    )


def write_model(config: TrainingConfig, name: str, folder: Path, model: Seq2Seq, data: RunData, choice: Choice) -> Path:
    """The model folder, and then the scores of all candidates beside it: where they are, the model is theirs."""
    scores = {"dev": choice.dev[choice.origin].scores} | ({"test": choice.test.scores} if choice.test else {})
    directions = data.directions(config)
    card = write_card(name, config, directions, model, scores, choice.origin, data.base)
    description = Description(name=name, version=config.card.version, directions=directions, model=model.config)
    save_model_folder(folder / MODEL, description, data.tokenizer, model.arrays(), card)
    results = {origin: result.as_json()["scores"] for origin, result in choice.dev.items()}
    write_atomically(folder / _SCORES, json.dumps(results, indent=2).encode())
    return folder / MODEL
