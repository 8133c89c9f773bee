"""What an update makes smaller: the loss of a batch under the regularizers that a recipe asks for."""

from dataclasses import replace

import torch
from torch import Tensor

from nmt.errors import ConfigError, TrainingError
from nmt.model.seq2seq import Seq2Seq
from nmt.text.tokenizer import PAD, Tokenizer
from training.batches import Batch
from training.config import TrainingConfig
from training.loss import guided_alignment, smoothed_cross_entropy
from training.minimum_risk import expected_costs
from training.sampling import resampled

_ROWS = 512


class Objective:
    """Turns sentences into a loss. Without a tokenizer, it can do all but what reads and writes words."""

    def __init__(self, config: TrainingConfig, tokenizer: Tokenizer | None = None) -> None:
        if tokenizer is None and (config.subword_sampling or config.minimum_risk.weight):
            raise TrainingError("subword_sampling and minimum_risk cut and score words, and need the run's tokenizer")
        if tokenizer and tokenizer.config.algorithm == "char" and config.subword_sampling:
            raise ConfigError("subword_sampling has nothing to cut: the tokenizer's pieces are characters; set it to 0")
        self._config, self._tokenizer = config, tokenizer

    def read(self, batch: Batch, seed: tuple[int, ...]) -> Batch:
        """The batch as it is to be read this time; `seed` decides how its words are cut, if the recipe asks for it."""
        if self._tokenizer is None or not self._config.subword_sampling:
            return batch
        return resampled(batch, self._tokenizer, self._config.subword_sampling, seed)

    def loss(self, model: Seq2Seq, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss and negative log-likelihood, summed over the batch's target pieces."""
        loss, likelihood = self._likelihood(model, batch)
        risk = self._config.minimum_risk
        if self._tokenizer is not None and risk.weight:
            words = self._config.validation.tokenize
            costs = expected_costs(model, batch, self._tokenizer, risk.hypotheses, words)
            pieces = (batch.target_out != PAD).sum(dim=1)  # so that batches add up to a larger one
            loss = (1 - risk.weight) * loss + risk.weight * (pieces * costs).sum()
        return loss, likelihood

    def _likelihood(self, model: Seq2Seq, batch: Batch) -> tuple[Tensor, Tensor]:
        """By teacher forcing, with what the recipe adds to it; padding never meets the logits."""
        config = self._config
        if config.scheduled_sampling:
            batch = _with_own_pieces(model, batch, config.scheduled_sampling)
        passes = 1
        if config.consistency:
            batch, passes = _twice(batch), 2
        vectors, weights = model(batch.source, batch.lengths, batch.target_in)
        real = batch.target_out != PAD
        loss, likelihood = smoothed_cross_entropy(
            vectors[real], model.output, batch.target_out[real], config.label_smoothing, config.consistency
        )
        if batch.links is not None:
            loss = loss + config.guided_alignment * guided_alignment(weights, batch.links)
        return loss / passes, likelihood / passes


def _twice(batch: Batch) -> Batch:
    """Each sentence two times, to go through two networks that dropped other units."""
    return batch.map(lambda part: torch.cat([part, part]))


@torch.no_grad()
def _with_own_pieces(model: Seq2Seq, batch: Batch, rate: float) -> Batch:
    """The batch with some target inputs replaced by what the model itself would have said there.

    Scheduled sampling (Bengio et al. 2015) in two passes, all positions at once (Mihaylova & Martins 2019): the model
    learns to go on after its own mistakes, which it meets when it translates.
    """
    vectors, _ = model(batch.source, batch.lengths, batch.target_in[:, :-1])
    said = torch.cat([model.logits(rows).argmax(dim=-1) for rows in torch.split(vectors.flatten(0, 1), _ROWS)])
    inputs = batch.target_in.clone()
    old = inputs[:, 1:]
    replaced = (torch.rand_like(old, dtype=torch.float32) < rate) & (old != PAD)
    inputs[:, 1:] = torch.where(replaced, said.view_as(old), old)
    return replace(batch, target_in=inputs)
