"""Attention: which source pieces matter for the next word."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from nmt.config import ModelConfig
from nmt.kernels import training
from nmt.model.encoder import Memory


class Attention(nn.Module):
    """Mix the memory, weighting each position by how well it fits the query; one class, six scores.

    With query q, memory h and learned W, U, v, the score of a position is

    - ``additive``: v·tanh(W q + U h + b), Bahdanau et al. 2015, eq. 6
    - ``concat``: v·tanh(W [q; h]), Luong et al. 2015, eq. 8; the same without the bias b
    - ``dot``: q·h, Luong et al. 2015; wants decoder_size = 2 × encoder_size
    - ``general``: q·U h, Luong et al. 2015
    - ``scaled_dot``: (W q)·(U h) / √size, Vaswani et al. 2017, eq. 1
    - ``none``: the same for all positions, so that the context is the mean of the memory: no attention

    With several heads, query and key are cut into as many parts, each of which weights its own part of the memory.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.score, self.heads = config.attention, config.attention_heads
        key_size = {"dot": config.memory_size, "general": config.decoder_size}.get(self.score, config.attention_size)
        raw_query, raw_key = self.score in _RAW_QUERY, self.score in _RAW_KEY
        self.query = nn.Identity() if raw_query else nn.Linear(config.decoder_size, key_size, bias=False)
        bias = self.score == "additive"
        self.key = nn.Identity() if raw_key else nn.Linear(config.memory_size, key_size, bias=bias)
        if self.score in _TANH:
            self.energy = nn.Parameter(torch.empty(key_size))
            nn.init.uniform_(self.energy, -1 / math.sqrt(key_size), 1 / math.sqrt(key_size))

    def memory(self, values: Tensor, mask: Tensor) -> Memory:
        """values (B, S, M), mask (B, S), True where a piece is. Projects the keys, once a sentence."""
        bias = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -math.inf)
        return Memory(values, self.key(values), bias)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """query (B, T, H): any number of queries a sentence, which do not see each other.

        Returns the context (B, T, M) and the weights (B, T, S), the mean over the heads; weights are 0 where the bias
        is -inf and sum to 1.
        """
        scores = self.compare(self.query(query), memory.keys)
        weights = (scores + memory.bias[:, None, None, :]).softmax(dim=-1)
        batch, size = memory.bias.shape
        values = memory.values.view(batch, size, self.heads, -1).transpose(1, 2)
        context = weights.to(values.dtype) @ values
        return context.transpose(1, 2).flatten(2), weights.mean(dim=1)

    def compare(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The scores (B, heads, T, S) of projected queries (B, T, A) and keys (B, S, A)."""
        if self.score == "none":
            return queries.new_zeros(len(queries), self.heads, queries.size(1), keys.size(1))
        if self.score in _TANH:
            return additive_scores(queries, keys, self.energy, self.heads)
        queries, keys = _split(queries, self.heads), _split(keys, self.heads)
        scores = queries @ keys.transpose(-1, -2)
        return scores / math.sqrt(keys.size(-1)) if self.score == "scaled_dot" else scores


def additive_scores(queries: Tensor, keys: Tensor, energy: Tensor, heads: int) -> Tensor:
    """Σ energy tanh(query + key) over the features of each head: (B, T, A), (B, S, A), (A,) → (B, heads, T, S)."""
    if training.usable(queries, keys):
        scores: Tensor = _AdditiveScores.apply(queries, keys, energy, heads)  # type: ignore[no-untyped-call]
        return scores
    queries, keys = _split(queries, heads), _split(keys, heads)
    column = energy.view(heads, 1, -1, 1).to(queries.dtype)
    return (torch.tanh(queries.unsqueeze(3) + keys.unsqueeze(2)) @ column).squeeze(-1)


class _AdditiveScores(torch.autograd.Function):
    """Without the tanh of all pairs in memory, (B, T, S, A): the way back works them out once more."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, energy: Tensor, heads: int) -> Tensor:
        queries, keys, energy = queries.contiguous(), keys.contiguous(), energy.float().contiguous()
        ctx.save_for_backward(queries, keys, energy)
        return training.additive_forward(queries, keys, energy, heads)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *into, into_energy = training.additive_backward(gradients[0].contiguous(), *ctx.saved_tensors)
        return *into, into_energy.sum(dim=0), None


def _split(vectors: Tensor, heads: int) -> Tensor:
    """(B, L, A) → (B, heads, L, A / heads)."""
    batch, length, _ = vectors.shape
    return vectors.view(batch, length, heads, -1).transpose(1, 2)


_TANH = frozenset({"additive", "concat"})
_RAW_QUERY = frozenset({"dot", "general", "none"})
_RAW_KEY = frozenset({"dot", "none"})
