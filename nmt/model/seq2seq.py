"""The whole network: embeddings, encoder, decoder, and the scores of the next piece."""

import math
from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from nmt.arrays import Arrays
from nmt.config import ModelConfig
from nmt.model.decoder import Decoder, DecoderState
from nmt.model.dropout import Dropout
from nmt.model.encoder import Encoder, Memory
from nmt.model.shapes import check_weights


class Seq2Seq(nn.Module):
    """An attentional encoder-decoder (Bahdanau et al. 2015; Luong et al. 2015), shaped by a `ModelConfig`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.source_embedding = _embedding(config.source_vocabulary, config.embedding_size)
        self.target_embedding = (
            self.source_embedding
            if config.tying == "three_way"
            else _embedding(config.target_vocabulary, config.embedding_size)
        )
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.output = nn.Linear(config.embedding_size, config.target_vocabulary)
        nn.init.zeros_(self.output.bias)
        if config.tying != "none":
            self.output.weight = self.target_embedding.weight
        self.embedding_dropout = Dropout(config.embedding_dropout)
        self.word_dropout = Dropout(config.word_dropout)

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory, DecoderState]:
        """source (B, S) ids, padded at the end; lengths (B,). Returns the memory and the decoder's first state."""
        embedded = self._embed(self.source_embedding, source)
        values, summary = self.encoder(embedded, lengths)
        mask = torch.arange(source.size(1), device=source.device) < lengths.unsqueeze(1)
        return self.decoder.attention.memory(values, mask), self.decoder.start(summary)

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing: source (B, S), lengths (B,), target (B, T) beginning with the start piece.

        Returns the vectors (B, T, E) that `logits` turns into scores, left to the caller so that padding costs
        nothing, and the attention weights (B, T, S).
        """
        memory, state = self.encode(source, lengths)
        embedded = self._embed(self.target_embedding, target)
        vectors: tuple[Tensor, Tensor] = self.decoder(embedded, memory, state)
        return vectors

    def step(self, pieces: Tensor, memory: Memory, state: DecoderState) -> tuple[Tensor, Tensor, DecoderState]:
        """pieces (B, K): the last piece of each row. Returns logits (B, K, V), weights (B, K, S) and the next state."""
        embedded = self._embed(self.target_embedding, pieces)
        vectors, weights, state = self.decoder.step(embedded, memory, state)
        return self.logits(vectors), weights, state

    def logits(self, vectors: Tensor) -> Tensor:
        """vectors (..., E) → unnormalized log-probabilities (..., V) of the next piece."""
        scores: Tensor = self.output(vectors)
        return scores

    def weights(self) -> dict[str, Tensor]:
        """All weights by name, tied ones once."""
        return {name: parameter.detach() for name, parameter in self.named_parameters()}

    def arrays(self) -> Arrays:
        """The same for NumPy, as model folders and kernels take them; on a CPU it is the same memory."""
        return {name: weight.cpu().numpy() for name, weight in self.weights().items()}

    @classmethod
    def with_weights(cls, config: ModelConfig, weights: Arrays) -> Self:
        """A network of what a model folder holds, in float32. Raises `ModelFolderError` where it does not fit the
        config.

        Built without memory ("meta"), so nothing is drawn at random first: orthogonal matrices take long, and on busy
        cores seconds.
        """
        with torch.device("meta"):
            model = cls(config)
        check_weights(config, weights)
        given = {
            id(own): nn.Parameter(torch.from_numpy(weights[name].astype(np.float32)))
            for name, own in model.named_parameters()
        }
        for module in model.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, given[id(parameter)])
        return model

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what `weights` gave. Raises `ModelFolderError` when names or shapes do not fit the config."""
        check_weights(self.config, weights)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(weights[name])

    def _embed(self, embedding: nn.Embedding, pieces: Tensor) -> Tensor:
        """Rows of the table, brought to unit scale: tied tables are small enough to be output weights.

        In training, single features are dropped, and whole pieces (Sennrich & Zhang 2019, section 3.2).
        """
        vectors: Tensor = self.embedding_dropout(embedding(pieces) * math.sqrt(self.config.embedding_size))
        if self.training and self.word_dropout.dropped_bytes:
            vectors = vectors * self.word_dropout(vectors.new_ones(*pieces.shape, 1))
        return vectors


def _embedding(vocabulary: int, size: int) -> nn.Embedding:
    blank = torch.empty(vocabulary, size)
    if blank.is_meta:
        return nn.Embedding(vocabulary, size, _weight=blank)
    embedding = nn.Embedding(vocabulary, size)
    nn.init.normal_(embedding.weight, std=size**-0.5)
    return embedding
