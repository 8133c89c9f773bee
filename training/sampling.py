"""Subword sampling on the fly: each time that a sentence is read, its words may be cut in another way."""

import numpy as np
from torch import Tensor

from nmt.text.tokenizer import PAD, Side, Tokenizer
from training.batches import Batch, batch_of

_LONGEST = 1.5
"""A sampled sentence that grows by more than this keeps its own pieces: memory and time of a batch stay bounded."""


def resampled(batch: Batch, tokenizer: Tokenizer, alpha: float, seed: tuple[int, ...]) -> Batch:
    """The sentences of a batch in other pieces (Kudo 2018; Provilkov et al. 2020); see `Tokenizer.resample`.

    The same `seed` gives the same ones, so that a run can be resumed.
    """

    def cut(table: Tensor, side: Side, seed: int) -> list[list[int]]:
        sentences = [[i for i in row if i != PAD] for row in table.tolist()]
        pairs = zip(sentences, tokenizer.resample(sentences, side, alpha, seed), strict=True)
        return [new if len(new) <= _LONGEST * len(own) + 1 else own for own, new in pairs]

    source_seed, target_seed = np.random.SeedSequence(seed).generate_state(2)
    return batch_of(cut(batch.source, "source", int(source_seed)), cut(batch.target_out, "target", int(target_seed)))
