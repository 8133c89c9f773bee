"""The encoder: source pieces in, memory out."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nmt.config import ModelConfig
from nmt.model.cells import BidirectionalLayer, reversal
from nmt.model.dropout import Dropout


@dataclass(frozen=True, slots=True)
class Memory:
    """What the decoder attends to.

    values (B, S, M) · keys (B, S, A), the projected values, made once a sentence · bias (B, S), added to the scores of
    the attention: 0, and -inf where no piece is.
    """

    values: Tensor
    keys: Tensor
    bias: Tensor


class Encoder(nn.Module):
    """A stack of bidirectional LSTM layers (Schuster & Paliwal 1997; Bahdanau et al. 2015, section 3.2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        sizes = [config.embedding_size] + [config.memory_size] * (config.encoder_layers - 1)
        self.layers = nn.ModuleList(
            BidirectionalLayer(size, config.encoder_size, config.recurrent_dropout, config.gate_norm) for size in sizes
        )
        norm = nn.LayerNorm if config.layer_norm else nn.Identity
        self.norms = nn.ModuleList(norm(config.memory_size) for _ in sizes)
        self.dropout = Dropout(config.layer_dropout)
        self.residual = config.residual

    def forward(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """embedded (B, S, E), lengths (B,). Returns the values (B, S, M) and a summary (B, M) of each sentence."""
        order = reversal(lengths, embedded.size(1))
        outputs = embedded
        for depth, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            inputs = self.dropout(outputs) if depth else outputs
            outputs = layer(inputs, order)
            outputs = norm(outputs + inputs if depth and self.residual else outputs)
        return outputs, self.summary(outputs, lengths)

    @staticmethod
    def summary(values: Tensor, lengths: Tensor) -> Tensor:
        """The last of the forward half of values (B, S, M) and the first of the backward half: both have read all."""
        size = values.size(-1) // 2
        last = values[torch.arange(len(lengths), device=lengths.device), lengths - 1, :size]
        return torch.cat([last, values[:, 0, size:]], dim=-1)
