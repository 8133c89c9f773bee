"""A whole training run: from a recipe and prepared data to a model folder."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from nmt.errors import TrainingError
from nmt.model.seq2seq import Seq2Seq
from nmt.package import Description, save_model_folder, stored
from nmt.text.tokenizer import Tokenizer
from training.averaging import around
from training.batches import Batches
from training.card import write_card
from training.config import TrainingConfig
from training.corpus.prepared import PreparedCorpus, weighted
from training.loggers import JsonLines, Logger, SampleFile, TensorBoard, Terminal
from training.objective import Objective
from training.run_state import Progress, write_atomically
from training.trainer import Trainer
from training.validation import ValidationResult, Validator

_ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `model` is None when a signal ended it before its plan did."""

    progress: Progress
    model: Path | None
    result: ValidationResult | None = None


def run_training(config: TrainingConfig, name: str, folder: Path) -> Outcome:
    """Train as the recipe says, in `folder`, going on from what is there; then choose, average and write the model."""
    if config.threads:
        torch.set_num_threads(config.threads)
    corpus = PreparedCorpus.load(config.data)
    tokenizer = Tokenizer.load(corpus.tokenizer_folder)
    batches = training_batches(corpus, tokenizer, config)
    dev_sets = {direction: corpus.dev(direction) for direction in corpus.directions}
    validator = Validator(tokenizer, dev_sets, config.validation)
    torch.manual_seed(config.seed)
    model = Seq2Seq(config.model_config_for(tokenizer))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "config.json", config.model_dump_json(indent=2).encode() + b"\n")
    loggers: list[Logger] = [
        JsonLines(folder / "log.jsonl"),
        SampleFile(folder / "samples.txt"),
        TensorBoard(folder / "tensorboard"),
        Terminal(config.updates),
    ]
    trainer = Trainer(config, model, batches, validator, folder, loggers, Objective(config, tokenizer))
    progress = trainer.run()
    if trainer.interrupted:
        return Outcome(progress, None)
    return _finish(config, name, folder, trainer, corpus, tokenizer)


def training_batches(corpus: PreparedCorpus, tokenizer: Tokenizer, config: TrainingConfig) -> Batches:
    """The training sets of all corpora and directions as pieces, each as often as its weight says."""
    sources: list[list[int]] = []
    targets: list[list[int]] = []
    for part in corpus.training_sets:
        pairs = list(part.pairs())
        source_ids = tokenizer.source_ids([source for source, _ in pairs], part.direction[1])
        target_ids = tokenizer.target_ids([target for _, target in pairs])
        rows = weighted(range(len(pairs)), part.weight, config.seed)
        sources += [source_ids[row] for row in rows]
        targets += [target_ids[row] for row in rows]
    batches = Batches(sources, targets, config.batch_pieces, config.max_pieces)
    if not len(batches):
        raise TrainingError(f"{config.data} has no training pair of at most {config.max_pieces} pieces; see max_pieces")
    return batches


def _finish(
    config: TrainingConfig, name: str, folder: Path, trainer: Trainer, corpus: PreparedCorpus, tokenizer: Tokenizer
) -> Outcome:
    """Take the best checkpoint, or the mean of those around it if that is better on the dev set, and write it."""
    progress, model = trainer.progress, trainer.model
    if not progress.kept:
        raise TrainingError("the run ended before its first validation; lower validation.every or raise updates")
    nearest = around(progress.kept, progress.best_update, config.validation.average)
    candidates = {f"update {progress.best_update}": trainer.checkpoints.load(progress.best_update)}
    if len(nearest) > 1:
        candidates[f"mean of updates {', '.join(map(str, nearest))}"] = trainer.checkpoints.mean(nearest)
    whole = config.validation.model_copy(update={"sentences": _ALL})
    dev = {direction: corpus.dev(direction) for direction in corpus.directions}
    results = {}
    for origin, weights in candidates.items():
        model.load_weights(stored(weights))  # what is scored is what will be shipped
        results[origin] = Validator(tokenizer, dev, whole).run(model)
    chosen = max(results, key=lambda origin: results[origin].metric(config.validation.metric))
    scores = {"dev": results[chosen].scores}
    test = {direction: rows for direction in corpus.directions if (rows := corpus.test(direction))}
    if test:
        model.load_weights(stored(candidates[chosen]))
        scores["test"] = Validator(tokenizer, test, whole).run(model).scores
    description = Description(name=name, directions=corpus.directions, model=model.config)
    card = write_card(name, config, corpus, model, scores, chosen)
    save_model_folder(folder / "model", description, tokenizer, candidates[chosen], card)
    (folder / "scores.json").write_text(json.dumps({o: r.as_json()["scores"] for o, r in results.items()}, indent=2))
    return Outcome(progress, folder / "model", results[chosen])
