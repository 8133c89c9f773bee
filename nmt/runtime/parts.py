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
from nmt.model.seq2seq import Seq2Seq


def packed_encoder(model: Seq2Seq, precision: Precision) -> kernels.Encoder | None:
    """The encoder, if it has nothing but LSTMs."""
    config = model.config
    if config.gate_norm or config.layer_norm or config.residual:
        return None
    largest, directions = (
        float(model.source_embedding.weight.detach().abs().max()) * math.sqrt(config.embedding_size),
        [],
    )
    for layer in cast(list[BidirectionalLayer], list(model.encoder.layers)):
        for direction in (layer.left_to_right, layer.right_to_left):
            inputs, recurrent, *_ = (kernels.gates(own) for own in direction.lstm.parameters())
            directions.append(
                (
                    kernels.pack(inputs, kernels.gates(_bias(direction)), precision, largest),
                    kernels.pack(recurrent, None, precision),
                )
            )
        largest = 1.0
    return kernels.Encoder(directions, config.encoder_size)


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
