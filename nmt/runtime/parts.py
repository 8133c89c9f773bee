"""The parts of a network, packed for the kernels."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt import kernels
from nmt.config import ModelConfig
from nmt.kernels import Precision
from nmt.model.cells import BidirectionalLayer, LSTMLayer
from nmt.model.encoder import Encoder
from nmt.model.seq2seq import Seq2Seq


class PackedEncoder:
    """`nmt.model.encoder.Encoder`, if it has nothing but LSTMs."""

    def __init__(self, model: Seq2Seq, precision: Precision) -> None:
        largest = float(model.source_embedding.weight.abs().max()) * math.sqrt(model.config.embedding_size)
        layers = cast(list[BidirectionalLayer], list(model.encoder.layers))
        self._layers = [
            [
                _Direction(own, precision, 1.0 if depth else largest)
                for own in (layer.left_to_right, layer.right_to_left)
            ]
            for depth, layer in enumerate(layers)
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
        outputs = embedded.view(batch * steps, -1)
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
        gates = kernels.product(self._inputs, inputs)
        kernels.lstm_sequence(self._recurrent, self._size, gates, order, outputs, first)


def packed_decoder(model: Seq2Seq, precision: Precision) -> kernels.Network:
    """The decoder and the output layer."""
    config, decoder, states = model.config, model.decoder, bounded(model.config, precision)
    return kernels.Network(
        [_layer(model, depth, precision) for depth in range(decoder.depth)],
        _scores(model, states),
        kernels.pack(decoder.readout.weight, decoder.readout.bias, states),
        kernels.pack(model.output.weight, model.output.bias, precision),
        wiring=config.wiring,
        residual=config.residual,
        memory_size=config.memory_size,
    )


def bounded(config: ModelConfig, precision: Precision) -> Precision:
    """Of products with what leaves a layer: normalization and shortcuts take that out of the [-1, 1] of int8."""
    return "fp32" if config.layer_norm or config.residual else precision


def has_tanh(model: Seq2Seq) -> bool:
    """Whether the score is a weighted sum of tanh(query + key)."""
    return hasattr(model.decoder.attention, "energy")


def _layer(model: Seq2Seq, depth: int, precision: Precision) -> kernels.Layer:
    """The first layer has what the embedded pieces add to its gates in a table."""
    config, layer, norm = model.config, cast(LSTMLayer, model.decoder.layers[depth]), model.decoder.norms[depth]
    scale, shift = (norm.weight.detach(), norm.bias.detach()) if isinstance(norm, nn.LayerNorm) else (None, None)
    order = kernels.gates if layer.gain is None else torch.clone
    inputs, recurrent, *_ = (order(own.detach()) for own in layer.lstm.parameters())
    bias = order(_bias(layer))
    added, table = bias if layer.gain is None else None, None
    if depth == 0:
        size = config.embedding_size
        embedding = model.target_embedding.weight * math.sqrt(size)
        added, table = None, functional.linear(embedding, inputs[:, :size], added)
        inputs = inputs[:, size:]
    # The first layer reads nothing that has left a layer, unless it is given the context.
    within = precision if depth == 0 and config.wiring != "conditional" else bounded(config, precision)
    weights = kernels.pack(torch.cat([inputs, recurrent], dim=1), added, within)
    if layer.gain is None:
        return kernels.Layer(weights, table, scale=scale, shift=shift)
    return kernels.Layer(weights, table, layer.gain.detach(), bias, scale, shift)


def _bias(layer: LSTMLayer) -> Tensor:
    *_, input_bias, recurrent_bias = layer.lstm.parameters()
    return (input_bias + recurrent_bias).detach()


def _scores(model: Seq2Seq, precision: Precision) -> kernels.Scores:
    config, attention = model.config, model.decoder.attention
    query = attention.query
    packed = kernels.pack(query.weight, query.bias, precision) if isinstance(query, nn.Linear) else None
    size = packed.struct.outputs if packed else config.decoder_size
    if has_tanh(model):
        return kernels.Scores("additive", attention.heads, size, packed, cast(Tensor, attention.energy).detach())
    factor = (size // attention.heads) ** -0.5 if attention.score == "scaled_dot" else 1.0
    score: kernels.Score = "none" if attention.score == "none" else "dot"
    return kernels.Scores(score, attention.heads, size, packed, torch.zeros(1), factor)
