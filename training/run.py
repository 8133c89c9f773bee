"""A whole training run: from a recipe and prepared data to a model folder."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self, get_args

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from nmt.errors import ConfigError, Diverged, Forgotten, ModelFolderError, TrainingError
from nmt.model.seq2seq import Seq2Seq
from nmt.package import NAME, Description, ModelFolder, save_model_folder
from nmt.scoring.metrics import Metric
from nmt.text.tokenizer import Tokenizer
from nmt.translator import load_model
from training import ranks
from training.averaging import around
from training.batches import Batches
from training.card import write_card
from training.config import TrainingConfig, Validation
from training.corpus.prepared import PreparedCorpus, TrainingSet, weighted
from training.corpus.records import Direction
from training.disk import key_of, locked, write_atomically, writes_explained
from training.fine_tuning import Guard, initial_model, trained_guard
from training.identity import check_identity, identity
from training.links import linked_rows
from training.loggers import JsonLines, Logger, SampleFile, TensorBoard
from training.objective import Objective
from training.piece_table import Sentences, stored_tables
from training.run_state import STATE, Progress, load_identity, load_progress
from training.stopping import stop_signals
from training.terminal import Terminal
from training.trainer import Trainer, choose_device
from training.validation import Lost, ValidationResult, Validator, nothing_lost

_ALL = 1_000_000
_MODEL, _SCORES = "model", "scores.json"
_ALL_METRICS: tuple[Metric, ...] = get_args(Metric)
_LINES = 4096
_PAIRS_FORMAT = 1  # raise it when `_pairs` makes other pairs of the same corpus


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `model` is None on all ranks but the first, and when a signal ended the run before its plan.

    was_finished: there was nothing left to train when it was started.
    """

    progress: Progress
    interrupted: bool
    model: Path | None = None
    was_finished: bool = False


@dataclass(frozen=True, slots=True)
class _Data:
    """What a run works on."""

    corpus: PreparedCorpus
    tokenizer: Tokenizer
    batches: Batches
    base: ModelFolder | None

    @classmethod
    def load(cls, config: TrainingConfig, folder: Path) -> Self:
        corpus = PreparedCorpus.load(config.data)
        tokenizer = Tokenizer.load(corpus.tokenizer_folder)
        base = load_model(config.fine_tune.model) if config.fine_tune else None
        return cls(corpus, tokenizer, training_batches(corpus, tokenizer, config, folder), base)

    def guard(self, config: TrainingConfig, validation: Validation) -> Lost:
        """What measures the loss that the recipe's guard is about, on as many sentences as `validation` takes."""
        if self.base is None or config.fine_tune is None or not config.fine_tune.guard:
            return nothing_lost
        return Guard(config.fine_tune, self.base, self.tokenizer, validation).lost

    def directions(self, config: TrainingConfig) -> list[Direction]:
        """What the model translates: what it is trained for, and what its guard has seen that it still can."""
        guarded = config.fine_tune.guard if config.fine_tune else {}
        known = self.base.description.directions if self.base else []
        return list(dict.fromkeys([*self.corpus.directions, *(own for own in known if "-".join(own) in guarded)]))

    def validator(self, config: Validation, part: str = "dev", lost: Lost = nothing_lost) -> Validator:
        """For the dev or the test set. A direction without one is left out."""
        rows = {direction: getattr(self.corpus, part)(direction) for direction in self.corpus.directions}
        return Validator(self.tokenizer, {direction: own for direction, own in rows.items() if own}, config, lost)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which weights became those of the network, and all the scores that led to them."""

    origin: str
    dev: dict[str, ValidationResult]
    test: ValidationResult | None


def run_training(config: TrainingConfig, name: str, folder: Path, *, watch: bool = False) -> Outcome:
    """Train as the recipe says, in `folder`, going on from what is there; then choose, average and write the model.

    SIGTERM or Ctrl-C saves and ends the run early; torchrun makes this process one of several that train together.
    """
    _check_name(name)
    if config.threads:
        torch.set_num_threads(config.threads)
    with stop_signals() as stop, ranks.joined(), writes_explained(folder, goes_on=True), _reserved(folder):
        choose_device(config)  # what cannot be had is said before hours of cutting
        data = stop.attempt(lambda: _Data.load(config, folder))
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
        if trainer.was_finished and _is_written(config, folder, progress):
            return Outcome(progress, interrupted=False, model=folder / _MODEL, was_finished=True)
        if trainer.ending == "patience":
            _say(_out_of_patience(config, progress))
        choice = stop.attempt(lambda: _choose(config, trainer, data))
        if choice is None:
            return Outcome(progress, interrupted=True)
        written = _write_model(config, name, folder, model, data, choice)
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


def _notes(config: TrainingConfig, data: _Data) -> list[str]:
    """What one should know of the data before the run."""
    left_out, notes = data.batches.left_out, trained_guard(config, data.corpus)
    if left_out:
        notes.append(
            f"{left_out:,} of {left_out + len(data.batches):,} pairs have more than {config.max_pieces} pieces on a "
            "side and are left out; raise max_pieces to train on them"
        )
    return notes


def _say(text: str) -> None:
    """One line on the screen."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(text)


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


def training_batches(corpus: PreparedCorpus, tokenizer: Tokenizer, config: TrainingConfig, folder: Path) -> Batches:
    """The training sets of all corpora and directions as pieces, each pair as often as the weight of its corpus says.

    From files beside the prepared corpus, made when they are missing; in `folder` where that one cannot be written.
    """
    sets = corpus.training_sets
    guided = config.guided_alignment > 0
    files = [*dict.fromkeys(part.path for part in sets), *sorted(corpus.tokenizer_folder.iterdir())]
    files += dict.fromkeys(part.links for part in sets if guided and part.links.exists())
    drawn = any(part.weight % 1 for part in sets)  # the seed says which pairs come once more
    parts = [(part.path.name, part.direction, part.weight) for part in sets]
    key = key_of(files, _PAIRS_FORMAT, parts, guided, config.seed if drawn else None)
    store = (corpus.folder if os.access(corpus.folder, os.W_OK) else folder) / "pieces"
    cut = linked_rows if guided else _pairs
    rows = track(
        (row for part in sets for row in cut(part, tokenizer, config.seed)),
        f"cutting {corpus.folder} into pieces",
        round(sum(part.size * part.weight for part in sets)),
        console=Console(stderr=True),
        transient=True,
    )
    sources, targets, *links = ranks.first_then_others(lambda: stored_tables(store, key, rows, 2 + guided))
    batches = Batches(sources, targets, config.batch_pieces, config.max_pieces, *links)
    if not len(batches):
        raise TrainingError(f"{config.data} has no training pair of at most {config.max_pieces} pieces; see max_pieces")
    return batches


def _pairs(part: TrainingSet, tokenizer: Tokenizer, seed: int) -> Iterator[Sentences]:
    """Some lines at a time."""
    pairs = weighted(part.pairs(), part.weight, seed)
    while lines := list(islice(pairs, _LINES)):
        sources = tokenizer.source_ids([source for source, _ in lines], part.direction[1])
        yield from zip(sources, tokenizer.target_ids([target for _, target in lines]), strict=True)


def _choose(config: TrainingConfig, trainer: Trainer, data: _Data) -> _Choice:
    """Load the best checkpoint, or the mean of those around it if that is better on the whole dev set.

    Raises `Forgotten` if no validation, or neither of the two, kept what a fine-tuned model has to keep, and `Diverged`
    if their weights do not fit into a model folder.
    """
    progress, model, checkpoints = trainer.progress, trainer.model, trainer.checkpoints
    if not progress.kept:
        raise TrainingError("the run ended before its first validation; lower validation.every or raise updates")
    if progress.best_score is None:
        raise Forgotten(_forgotten(config, f"at each of its validations, up to update {progress.update}"))
    candidates = {origin: checkpoints.mean(updates) for origin, updates in _candidates(config, progress).items()}
    whole = config.validation.model_copy(update={"sentences": _ALL})
    validator, dev = data.validator(whole, lost=data.guard(config, whole)), {}
    for origin, weights in candidates.items():
        model.load_weights(_halved(origin, weights))  # what is scored is what will be shipped
        dev[origin] = validator.run(model, _ALL_METRICS)
    allowed = [origin for origin in dev if config.fine_tune is None or config.fine_tune.allows(dev[origin].lost)]
    if not allowed:
        best, *_ = dev.values()
        losses = ", ".join(f"{score:.1f} on {name}" for name, score in best.lost.items())
        raise Forgotten(_forgotten(config, f"on the whole guard at its best update {progress.best_update} ({losses})"))
    chosen = max(allowed, key=lambda origin: dev[origin].metric(config.validation.metric))
    model.load_weights(_halved(chosen, candidates[chosen]))
    test = data.validator(whole, "test").run(model, _ALL_METRICS) if data.corpus.manifest.test else None
    return _Choice(chosen, dev, test)


def _candidates(config: TrainingConfig, progress: Progress) -> dict[str, list[int]]:
    """What the model may come from, and the updates whose mean each is: the best, and with it those around it."""
    nearest = around(progress.kept, progress.best_update, config.validation.average)
    several = {f"mean of updates {', '.join(map(str, nearest))}": nearest} if len(nearest) > 1 else {}
    return {f"update {progress.best_update}": [progress.best_update]} | several


def _is_written(config: TrainingConfig, folder: Path, progress: Progress) -> bool:
    """Whether the model was chosen among these very candidates, and is there as a whole."""
    try:
        scored = json.loads((folder / _SCORES).read_bytes())
        found = ModelFolder.load(folder / _MODEL)
    except (OSError, ValueError, ModelFolderError):
        return False
    return found.path == folder / _MODEL and list(scored) == list(_candidates(config, progress))


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


def _forgotten(config: TrainingConfig, when: str) -> str:
    largest = config.fine_tune.largest_loss if config.fine_tune else 0.0
    return (
        f"no model was written: the model lost more than the {largest:g} BLEU of fine_tune.largest_loss {when}. Lower "
        f"learning_rate, add some of the old corpus to the new one, or raise the limit; then train in another folder"
    )


def _write_model(config: TrainingConfig, name: str, folder: Path, model: Seq2Seq, data: _Data, choice: _Choice) -> Path:
    """The model folder, and then the scores of all candidates beside it: where they are, the model is theirs."""
    scores = {"dev": choice.dev[choice.origin].scores} | ({"test": choice.test.scores} if choice.test else {})
    directions = data.directions(config)
    card = write_card(name, config, directions, model, scores, choice.origin, data.base)
    description = Description(name=name, directions=directions, model=model.config)
    save_model_folder(folder / _MODEL, description, data.tokenizer, model.arrays(), card)
    results = {origin: result.as_json()["scores"] for origin, result in choice.dev.items()}
    write_atomically(folder / _SCORES, json.dumps(results, indent=2).encode())
    return folder / _MODEL
