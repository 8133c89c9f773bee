"""A run of a tiny network on made-up pairs: a second long, always the same, and with dropout, so that chance counts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tasks import letter_tokenizer, sentences

from nmt.config import ModelConfig
from nmt.model.seq2seq import Seq2Seq
from training.batches import Batches
from training.config import TrainingConfig
from training.loggers import JsonLines, Logger
from training.objective import Objective
from training.trainer import Trainer
from training.validation import ValidationResult

V = 23


class WeightLoss:
    """A validator whose loss is the mean size of the weights: quick, and a function of the model alone."""

    def run(self, model: Seq2Seq) -> ValidationResult:
        """A loss."""
        model.eval()
        sizes = [value.abs().mean().item() for value in model.weights().values()]
        return ValidationResult(loss=sum(sizes) / len(sizes))


def small_run(
    folder: Path,
    *,
    poison: float | None = None,
    size: int = 8,
    loggers: Sequence[Logger] = (),
    model_settings: dict[str, object] | None = None,
    **settings: object,
) -> Trainer:
    """A trainer, always the same but for what the arguments say; `settings` are keys of the recipe."""
    defaults = {"data": folder, "updates": 12, "warmup_updates": 2, "decay_updates": 4, "batch_pieces": 30}
    defaults |= {"precision": "float32", "device": "cpu", "save_every": 5}
    config = TrainingConfig.model_validate(
        {**defaults, "validation": {"every": 4, "metric": "loss", "average": 2}, **settings}
    )
    rng = np.random.default_rng(0)
    pairs, vocabulary, tokenizer = [rng.integers(4, V, size=rng.integers(2, 7)).tolist() for _ in range(30)], V, None
    if config.subword_sampling:
        tokenizer = letter_tokenizer()
        pairs, vocabulary = tokenizer.target_ids(sentences(30, seed=1)), tokenizer.target_vocabulary
    torch.manual_seed(config.seed)
    shape = {"embedding_size": size, "encoder_size": size // 2, "decoder_size": size, "attention_size": 4}
    model = Seq2Seq(
        ModelConfig.model_validate(
            {"source_vocabulary": vocabulary, "target_vocabulary": vocabulary, **shape, **(model_settings or {})}
        )
    )
    if poison is not None:
        model.decoder.readout.bias.data.fill_(poison)
    batches = Batches(pairs, pairs, config.batch_pieces, config.max_pieces)
    own = [JsonLines(folder / "log.jsonl", every=1), *loggers]
    return Trainer(config, model, batches, WeightLoss(), folder, own, Objective(config, tokenizer))
