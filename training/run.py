"""A whole training run: from a recipe and prepared data to a model folder."""

import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from nmt.errors import ConfigError
from nmt.package import NAME
from training import ranks
from training.choosing import MODEL, choose, is_written, write_model
from training.config import TrainingConfig
from training.device import choose_device
from training.disk import locked, write_atomically, writes_explained
from training.fine_tuning import initial_model, trained_guard
from training.identity import check_identity, identity
from training.loggers import JsonLines, Logger, SampleFile, TensorBoard
from training.messages import messages
from training.objective import Objective
from training.run_data import RunData
from training.run_state import STATE, Progress, load_identity, load_progress
from training.stopping import stop_signals
from training.terminal import Terminal
from training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `model` is None on all ranks but the first, and when a signal ended the run before its plan.

    was_finished: there was nothing left to train when it was started.
    """

    progress: Progress
    interrupted: bool
    model: Path | None = None
    was_finished: bool = False


def run_training(config: TrainingConfig, name: str, folder: Path, *, watch: bool = False) -> Outcome:
    """Train as the recipe says, in `folder`, going on from what is there; then choose, average and write the model.

    SIGTERM or Ctrl-C saves and ends the run early; torchrun makes this process one of several that train together.
    """
    _check_name(name)
    if config.threads:
        torch.set_num_threads(config.threads)
    with stop_signals() as stop, ranks.joined(), writes_explained(folder, goes_on=True), _reserved(folder):
        choose_device(config)  # what cannot be had is said before hours of cutting
        data = stop.attempt(lambda: RunData.load(config, folder))
        if ranks.any_of(data is None) or data is None:
            return Outcome(load_progress(folder / STATE), interrupted=True)
        torch.manual_seed(config.seed)
        model = initial_model(config, data.tokenizer, data.base)
        begun = identity(data.corpus, config, model.config, data.base)
        check_identity(folder, load_identity(folder / STATE), begun)
        validator = data.validator(config.validation, lost=data.guard(config, config.validation))
        objective = Objective(config, data.tokenizer)
        notes = stop.attempt(lambda: _notes(config, data)) if ranks.rank() == 0 else []
        loggers = _loggers(config, folder, watch, notes or [])
        trainer = Trainer(config, model, data.batches, validator, folder, loggers, objective, begun)
        progress = trainer.run(stop)
        if trainer.interrupted or ranks.rank() > 0:
            return Outcome(progress, trainer.interrupted)
        if trainer.was_finished and is_written(config, folder, progress):
            return Outcome(progress, interrupted=False, model=folder / MODEL, was_finished=True)
        if trainer.ending == "patience":
            _say(_out_of_patience(config, progress))
        choice = stop.attempt(lambda: choose(config, trainer, data))
        if choice is None:
            return Outcome(progress, interrupted=True)
        written = write_model(config, name, folder, model, data, choice)
        return Outcome(progress, interrupted=False, model=written, was_finished=trainer.was_finished)


def _check_name(name: str) -> None:
    """Before the first update rather than after the last."""
    if not re.match(NAME, name):
        raise ConfigError(
            f"the model gets the name of its recipe, which is {name!r}; rename the file: letters without accents, "
            "digits, dots, dashes and underscores, at most 64"
        )


def _reserved(folder: Path) -> AbstractContextManager[None]:
    """The ranks of one run share its folder; the first keeps others out."""
    return nullcontext() if ranks.rank() else locked(folder)


def _notes(config: TrainingConfig, data: RunData) -> list[str]:
    """What one should know of the data before the run."""
    left_out, notes = data.batches.left_out, trained_guard(config, data.corpus, data.base)
    if left_out:
        notes.append(
            f"{left_out:,} of {left_out + len(data.batches):,} pairs have more than {config.max_pieces} pieces on a "
            "side and are left out; raise max_pieces to train on them"
        )
    return notes


def _say(text: str) -> None:
    """One line on the screen."""
    messages().print(text)


def _out_of_patience(config: TrainingConfig, progress: Progress) -> str:
    return (
        f"ended at update {progress.update:,} of {config.updates:,}: no better validation since update "
        f"{progress.best_update:,} (validation.patience = {config.validation.patience})"
    )


def _loggers(config: TrainingConfig, folder: Path, watch: bool, notes: list[str]) -> list[Logger]:
    """Those of the first rank, which alone writes; what it writes first is the recipe as it was understood."""
    if ranks.rank() > 0:
        return []
    write_atomically(folder / "config.json", config.model_dump_json(indent=2).encode() + b"\n")
    log = JsonLines(folder / "log.jsonl")
    for note in notes:
        _say(note)
        log.note(note)
    return [
        log,
        SampleFile(folder / "samples.txt"),
        TensorBoard(folder / "tensorboard"),
        Terminal(config.updates, watch=watch),
    ]
