"""Subword sampling on the fly: each time that a sentence is read, its words may be cut in another way."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nmt.text.tokenizer import BEGIN, PAD, Side, Tokenizer
from training.batches import Batch

_LONGEST = 1.5
"""A sampled sentence that grows by more than this keeps its own pieces: memory and time of a batch stay bounded."""


class SubwordSampler:
    """Cuts the sentences of a batch anew (Kudo 2018; Provilkov et al. 2020); see `Tokenizer.resample`."""

    def __init__(self, tokenizer: Tokenizer, alpha: float) -> None:
        self._tokenizer, self._alpha = tokenizer, alpha

    def sample(self, batch: Batch, seed: tuple[int, ...]) -> Batch:
        """The same sentences in other pieces; the same `seed` gives the same ones, so that a run can be resumed."""
        source_seed, target_seed = np.random.SeedSequence(seed).generate_state(2)
        sources = self._sampled(batch.source, "source", int(source_seed))
        targets = self._sampled(batch.target_out, "target", int(target_seed))
        begun = [torch.cat([target.new_tensor([BEGIN]), target[:-1]]) for target in targets]
        lengths = torch.tensor([len(source) for source in sources])
        return Batch(_padded(sources), lengths, _padded(begun), _padded(targets))

    def _sampled(self, table: Tensor, side: Side, seed: int) -> list[Tensor]:
        sentences = [[i for i in row if i != PAD] for row in table.tolist()]
        sampled = self._tokenizer.resample(sentences, side, self._alpha, seed)
        pairs = zip(sentences, sampled, strict=True)
        return [torch.tensor(new if len(new) <= _LONGEST * len(own) + 1 else own) for own, new in pairs]


def _padded(sentences: list[Tensor]) -> Tensor:
    return pad_sequence(sentences, batch_first=True, padding_value=PAD)
