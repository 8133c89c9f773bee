"""Made-up translation tasks that a working network learns in seconds."""

import random
from pathlib import Path

from nmt.config import ModelConfig
from nmt.model.seq2seq import Seq2Seq
from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import Tokenizer, TokenizerConfig
from training.batches import Batches
from training.config import TrainingConfig
from training.loggers import Logger
from training.trainer import Trainer
from training.validation import ValidationResult, Validator

LETTERS = "abcdefgh"
COPY, REVERSE = ("xx", "cp"), ("xx", "rv")
"""Two directions: the target tag alone says whether to repeat the letters or to turn them around."""


def sentences(count: int, seed: int) -> list[str]:
    """Letters in random order and number, such as `c a f b`."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(LETTERS, k=rng.randint(3, 8))) for _ in range(count)]


def reversed_words(text: str) -> str:
    """The words in the opposite order."""
    return " ".join(reversed(text.split()))


def letter_tokenizer() -> Tokenizer:
    """A piece a letter."""
    lines = sentences(300, seed=0)
    config = TokenizerConfig(vocabulary_size=279, algorithm="bpe")
    return train_tokenizer(lines, lines, ["cp", "rv"], config)


def learn(
    folder: Path, tokenizer: Tokenizer, updates: int, loggers: tuple[Logger, ...] = (), **model_settings: object
) -> tuple[Seq2Seq, ValidationResult]:
    """Train a small network on both tasks with the real trainer, and score it on sentences it has not seen."""
    lines, unseen = sentences(3000, seed=1), sentences(60, seed=2)
    config = TrainingConfig(
        data=folder,
        updates=updates,
        warmup_updates=20,
        decay_updates=updates // 2,
        learning_rate=6e-3,
        label_smoothing=0.0,
        batch_pieces=300,
        precision="float32",
        validation={"every": updates, "sentences": 60},
        save_every=100_000,
    )
    sources = [ids for target in ("cp", "rv") for ids in tokenizer.source_ids(lines, target)]
    targets = tokenizer.target_ids([*lines, *map(reversed_words, lines)])
    settings = {
        "source_vocabulary": tokenizer.source_vocabulary,
        "target_vocabulary": tokenizer.target_vocabulary,
        "embedding_size": 32,
        "encoder_size": 32,
        "encoder_layers": 1,
        "decoder_size": 64,
        "attention_size": 32,
        "embedding_dropout": 0.0,
        "layer_dropout": 0.0,
        "output_dropout": 0.0,
    }
    model = Seq2Seq(ModelConfig.read({**settings, **model_settings}, where="test"))
    dev = {COPY: [(line, [line]) for line in unseen], REVERSE: [(line, [reversed_words(line)]) for line in unseen]}
    validator = Validator(tokenizer, dev, config.validation)
    batches = Batches(sources, targets, config.batch_pieces, config.max_pieces)
    Trainer(config, model, batches, validator, folder, list(loggers)).run()
    return model, validator.run(model)
