"""The parts of a network, packed for the kernels: the encoder, a layer of the decoder, the attention."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt import kernels
from nmt.config import ModelConfig
from nmt.kernels import Input, Precision
from nmt.model.attention import Attention
from nmt.model.cells import BidirectionalLayer, LSTMLayer
from nmt.model.encoder import Encoder, Memory
from nmt.model.recurrence import normalized
from nmt.model.seq2seq import Seq2Seq


def bounded(config: ModelConfig, precision: Precision) -> Precision:
    """Of products with what leaves a layer: normalization and shortcuts take that out of the [-1, 1] of int8."""
    return "fp32" if config.layer_norm or config.residual else precision


class PackedEncoder:
    """`nmt.model.encoder.Encoder`, if it has nothing but LSTMs."""

    def __init__(self, model: Seq2Seq, precision: Precision) -> None:
        encoder = model.encoder
        largest = float(model.source_embedding.weight.abs().max()) * math.sqrt(model.config.embedding_size)
        self._layers = [
            [
                _Direction(direction, precision, 1.0 if depth else largest)
                for direction in (layer.left_to_right, layer.right_to_left)
            ]
            for depth, layer in enumerate(cast(list[BidirectionalLayer], list(encoder.layers)))
        ]
        self._size = model.config.encoder_size

    @staticmethod
    def serves(config: ModelConfig) -> bool:
        """Whether a network of that shape has nothing but LSTMs."""
        return not (config.gate_norm or config.layer_norm or config.residual)

    def __call__(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """embedded (B, S, E), lengths (B,) → values (B, S, M), zero beyond the length, and a summary (B, M)."""
        batch, steps, _ = embedded.shape
        step, first = torch.arange(steps).unsqueeze(1), torch.arange(batch) * steps
        inside = step < lengths
        orders = [(first + order).where(inside, -1) for order in (step, lengths - 1 - step)]
        outputs = embedded.reshape(batch * steps, -1)
        for directions in self._layers:
            inputs, outputs = outputs, torch.zeros(batch * steps, 2 * self._size)
            for number, (direction, order) in enumerate(zip(directions, orders, strict=True)):
                direction(inputs, order, outputs, number * self._size)
        values = outputs.view(batch, steps, -1)
        return values, Encoder.summary(values, lengths)


class _Direction:
    """One LSTM over whole sentences: the inputs of all steps in one product, then step by step."""

    def __init__(self, layer: LSTMLayer, precision: Precision, largest: float) -> None:
        inputs, recurrent, *_ = layer.lstm.parameters()
        self._size = recurrent.size(1)
        self._inputs = kernels.pack(kernels.gates(inputs), kernels.gates(_bias(layer)), precision, largest)
        self._recurrent = kernels.pack(kernels.gates(recurrent), None, precision)

    def __call__(self, inputs: Tensor, order: Tensor, outputs: Tensor, first: int) -> None:
        gates = kernels.product(self._inputs, [(inputs, None)])
        kernels.lstm_sequence(self._recurrent, self._size, gates, order, outputs, first)


class PackedLayer:
    """A layer of the decoder. What the embedded pieces add to the gates of the first one is in a table."""

    def __init__(self, model: Seq2Seq, depth: int, precision: Precision) -> None:
        layer = cast(LSTMLayer, model.decoder.layers[depth])
        weight, table = _decoder_weights(model, depth)
        bias = None if depth == 0 else kernels.gates(_bias(layer))
        self._weights = kernels.pack(kernels.gates(weight), bias, precision)
        self._table = None if table is None else kernels.gates((table + _bias(layer)).T).T.contiguous()

    def __call__(self, inputs: list[Input], cell: Input, pieces: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and hidden state side by side, cell (N', H), pieces (N,) → hidden and cell (N, H)."""
        return kernels.lstm_step(self._weights, inputs, cell, None if self._table is None else (self._table, pieces))


class PackedNormalizedLayer:
    """The same where what goes into the gates is normalized first, so that all of it has to be there."""

    def __init__(self, model: Seq2Seq, depth: int, precision: Precision) -> None:
        self._layer = cast(LSTMLayer, model.decoder.layers[depth])
        weight, self._table = _decoder_weights(model, depth)
        self._weights = kernels.pack(weight, None, precision)

    def __call__(self, inputs: list[Input], cell: Input, pieces: Tensor) -> tuple[Tensor, Tensor]:
        """As the plain one."""
        sums = kernels.product(self._weights, inputs)
        if self._table is not None:
            sums += self._table[pieces]
        states, rows = cell
        gates = normalized(sums, cast(Tensor, self._layer.gain)) + _bias(self._layer)
        return self._layer.activate(gates, states if rows is None else states[rows])


def _decoder_weights(model: Seq2Seq, depth: int) -> tuple[Tensor, Tensor | None]:
    """The weight (4H, I + H) of one product that gives all gates from [inputs; hidden], and for the first layer, whose
    embedded pieces are left out of it, what these add (V, 4H)."""
    inputs, recurrent, *_ = cast(LSTMLayer, model.decoder.layers[depth]).lstm.parameters()
    if depth:
        return torch.cat([inputs, recurrent], dim=1), None
    size = model.config.embedding_size
    embedding = model.target_embedding.weight * math.sqrt(size)
    return torch.cat([inputs[:, size:], recurrent], dim=1), functional.linear(embedding, inputs[:, :size])


def _bias(layer: LSTMLayer) -> Tensor:
    *_, input_bias, recurrent_bias = layer.lstm.parameters()
    return input_bias + recurrent_bias


class PackedAttention:
    """`nmt.model.attention.Attention` for one query a row."""

    def __init__(self, attention: Attention, precision: Precision) -> None:
        self._heads, additive = attention.heads, hasattr(attention, "energy")
        self._score = "additive" if additive else "none" if attention.score == "none" else "dot"
        self._function: kernels.Function = "exponential" if additive else "plain"
        self._query, self._key = (
            kernels.pack(part.weight, part.bias, precision) if isinstance(part, nn.Linear) else None
            for part in (attention.query, attention.key)
        )
        self._energy = cast(Tensor, attention.energy).detach() if additive else torch.zeros(1)
        self._factor = 1.0
        if attention.score == "scaled_dot":
            self._factor = (cast(nn.Linear, attention.key).out_features // attention.heads) ** -0.5

    def keys(self, values: Tensor) -> Tensor:
        """values (B, S, M) → the keys (B, S, A), in the form that the step wants."""
        if self._key is None:
            return values
        keys = kernels.product(self._key, [(values.flatten(0, 1), None)], self._function)
        return keys.view(*values.shape[:2], -1)

    def __call__(self, outputs: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """outputs (N, H) → the context (N, M) and the weights (B, K, S)."""
        queries = outputs if self._query is None else kernels.product(self._query, [(outputs, None)], self._function)
        return kernels.attend(
            queries, memory.keys, memory.values, memory.bias, self._score, self._factor, self._energy, self._heads
        )
