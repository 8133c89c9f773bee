"""The decoder: target pieces so far in, a vector for the next one out, with the attention that went into it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from nmt.config import ModelConfig
from nmt.model.attention import Attention
from nmt.model.cells import LSTMLayer
from nmt.model.dropout import Dropout
from nmt.model.encoder import Memory


@dataclass(frozen=True, slots=True)
class DecoderState:
    """All that the decoder remembers between two steps, for K rows a sentence.

    hidden, cell (L, B, K, H) · feed (B, K, E): the last attentional vector, which only `input_feeding` reads.
    """

    hidden: Tensor
    cell: Tensor
    feed: Tensor


class Decoder(nn.Module):
    """A stack of LSTM layers around an attention; the wirings differ in who asks and where the answer goes.

    - ``deep``: the first layer asks; the context enters the layers above and the output. The question does not depend
      on the answer of the step before, so with teacher forcing each layer runs as one fused kernel over the sentence.
    - ``input_feeding``: the last layer asks; the attentional vector enters the next step (Luong et al. 2015, 3.3).
    - ``conditional``: the state before the step asks; the context enters the first layer (Bahdanau et al. 2015, A.2.2).

    The output is the attentional vector tanh(W [h; context]) (Luong et al. 2015, eq. 5) of the last layer's h.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.wiring, self.residual, self.depth = config.wiring, config.residual, config.decoder_layers
        size, memory_size = config.decoder_size, config.memory_size
        self.asking = {"deep": 0, "input_feeding": self.depth - 1}.get(self.wiring)
        extra = {"deep": 0, "input_feeding": config.embedding_size, "conditional": memory_size}[self.wiring]
        above = size + (memory_size if self.wiring == "deep" else 0)
        sizes = [config.embedding_size + extra] + [above] * (self.depth - 1)
        self.layers = nn.ModuleList(
            LSTMLayer(input_size, size, config.recurrent_dropout, config.gate_norm) for input_size in sizes
        )
        norm = nn.LayerNorm if config.layer_norm else nn.Identity
        self.norms = nn.ModuleList(norm(size) for _ in sizes)
        self.attention = Attention(config)
        self.bridge = nn.Linear(memory_size, 2 * self.depth * size)
        self.readout = nn.Linear(size + memory_size, config.embedding_size)
        self.layer_dropout = Dropout(config.layer_dropout)
        self.output_dropout = Dropout(config.output_dropout)

    def start(self, summary: Tensor) -> DecoderState:
        """The first state, K = 1, from the encoder's summary (B, M)."""
        states = torch.tanh(self.bridge(summary))  # hidden and cell of each layer: (B, 2 · depth · H)
        hidden, cell = states.view(len(states), 2, self.depth, 1, -1).permute(1, 2, 0, 3, 4)
        return DecoderState(hidden, cell, states.new_zeros(len(states), 1, self.readout.out_features))

    def forward(self, embedded: Tensor, memory: Memory, state: DecoderState) -> tuple[Tensor, Tensor]:
        """Teacher forcing: embedded (B, T, E) are the right pieces, each seen one step before it is asked for.

        Returns the attentional vectors (B, T, E) and the weights (B, T, S).
        """
        if self.wiring == "deep":
            return self._forward_deep(embedded, memory, state)
        outputs, weights, kept = [], [], self._kept(state)
        for position in range(embedded.size(1)):
            output, weight, state = self.step(embedded[:, position : position + 1], memory, state, kept)
            outputs.append(output)
            weights.append(weight)
        return torch.cat(outputs, dim=1), torch.cat(weights, dim=1)

    def _forward_deep(self, embedded: Tensor, memory: Memory, state: DecoderState) -> tuple[Tensor, Tensor]:
        hidden, cell = state.hidden.squeeze(2), state.cell.squeeze(2)
        outputs = self.join(0, self.layers[0](embedded, hidden[0], cell[0]), embedded)
        context, weights = self.attention(outputs, memory)
        for depth in range(1, self.depth):
            inputs = self.layer_dropout(torch.cat([outputs, context], dim=-1))
            outputs = self.join(depth, self.layers[depth](inputs, hidden[depth], cell[depth]), outputs)
        return self._read_out(outputs, context), weights

    def step(
        self, embedded: Tensor, memory: Memory, state: DecoderState, kept: Sequence[Tensor | None] = ()
    ) -> tuple[Tensor, Tensor, DecoderState]:
        """One piece for each of K rows a sentence: embedded (B, K, E); `kept`: what dropout leaves of hidden states.

        Returns the attentional vectors (B, K, E), the weights (B, K, S) and the next state.
        """
        hidden, cell = list(state.hidden), list(state.cell)
        inputs, context, weights = embedded, embedded, embedded  # the latter two until attention has spoken
        if self.wiring == "conditional":
            context, weights = self.attention(self.norms[-1](hidden[-1]), memory)
            inputs = torch.cat([embedded, context], dim=-1)
        elif self.wiring == "input_feeding":
            inputs = torch.cat([embedded, state.feed], dim=-1)
        outputs = inputs
        for depth in range(self.depth):
            if depth:
                inputs = torch.cat([outputs, context], dim=-1) if self.wiring == "deep" else outputs
                inputs = self.layer_dropout(inputs)
            layer = cast(LSTMLayer, self.layers[depth])
            hidden[depth], cell[depth] = layer.step(inputs, hidden[depth], cell[depth], kept[depth] if kept else None)
            outputs = self.join(depth, hidden[depth], outputs)
            if depth == self.asking:
                context, weights = self.attention(outputs, memory)
        output = self._read_out(outputs, context)
        return output, weights, DecoderState(torch.stack(hidden), torch.stack(cell), output)

    def join(self, depth: int, outputs: Tensor, below: Tensor) -> Tensor:
        """What leaves a layer: its outputs, normalized, above the first with the shortcut, if the config asks."""
        joined: Tensor = self.norms[depth](outputs + below if depth and self.residual else outputs)
        return joined

    def _kept(self, state: DecoderState) -> list[Tensor | None]:
        """What recurrent dropout leaves of each layer's hidden states in a whole sentence."""
        return [cast(LSTMLayer, layer).kept(hidden) for layer, hidden in zip(self.layers, state.hidden, strict=True)]

    def _read_out(self, outputs: Tensor, context: Tensor) -> Tensor:
        """The attentional vectors: outputs (B, T, H), context (B, T, M) → (B, T, E)."""
        vectors: Tensor = self.output_dropout(torch.tanh(self.readout(torch.cat([outputs, context], dim=-1))))
        return vectors
