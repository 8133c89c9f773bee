"""What an update makes smaller: the loss of a batch under the regularizers that a recipe asks for."""

import torch
from torch import Tensor

from nmt.model.seq2seq import Seq2Seq
from nmt.text.tokenizer import PAD
from training.batches import Batch
from training.config import TrainingConfig
from training.loss import smoothed_cross_entropy

_ROWS = 512


def batch_loss(model: Seq2Seq, batch: Batch, config: TrainingConfig) -> tuple[Tensor, Tensor]:
    """Loss and negative log-likelihood, summed over the batch's target pieces; padding never meets the logits."""
    if config.scheduled_sampling:
        batch = _with_own_pieces(model, batch, config.scheduled_sampling)
    if not config.consistency:
        return _loss(model, batch, config)
    loss, likelihood = _loss(model, _twice(batch), config)
    return loss / 2, likelihood / 2


def _loss(model: Seq2Seq, batch: Batch, config: TrainingConfig) -> tuple[Tensor, Tensor]:
    vectors, _ = model(batch.source, batch.lengths, batch.target_in)
    real = batch.target_out != PAD
    targets = batch.target_out[real]
    return smoothed_cross_entropy(vectors[real], model.output, targets, config.label_smoothing, config.consistency)


def _twice(batch: Batch) -> Batch:
    """Each sentence two times, to go through two networks that dropped other units."""
    return Batch(
        *(torch.cat([part, part]) for part in (batch.source, batch.lengths, batch.target_in, batch.target_out))
    )


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
    return Batch(batch.source, batch.lengths, inputs, batch.target_out)
