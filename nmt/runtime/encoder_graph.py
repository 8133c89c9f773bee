"""All that happens once a sentence, as a graph: encoder, keys, the decoder's first state."""

from typing import cast

import torch
from torch import Tensor, nn

from nmt.model.cells import BidirectionalLayer, LSTMLayer
from nmt.model.encoder import Encoder
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.graph import FLOAT, INTEGER, SHORT, Graph, normalized
from nmt.runtime.products import Precision, product
from nmt.runtime.step_graph import exponential, has_tanh


def encoder_graph(model: Seq2Seq, precision: Precision) -> Graph:
    """`embedded` pieces (B, S, E), `lengths` (B,) → values (B, S, M), zero or anything finite beyond the length; keys
    (B, S, A), as the step wants them; states (B, 2 · depth · H), hidden and cell of each layer of the decoder.

    The LSTM of ONNX cannot normalize gates: where the model does, `values` come in instead of `embedded`.
    """
    g, config = Graph(), model.config
    lengths = g.input("lengths", INTEGER, ["B"])
    if config.gate_norm:
        values = g.input("values", FLOAT, ["B", "S", config.memory_size])
    else:
        embedded = g.input("embedded", FLOAT, ["B", "S", config.embedding_size])
        values = _layers(g, model.encoder, embedded, g("Cast", lengths, to=SHORT))
    bounded: Precision = "fp32" if config.layer_norm or config.residual else precision
    bridge = model.decoder.bridge
    states = g("Tanh", product(g, _summary(g, values, lengths), bridge.weight, bridge.bias, bounded))
    g.output(values, _keys(g, model, values, bounded), states)
    return g


def _layers(g: Graph, encoder: Encoder, embedded: str, lengths: str) -> str:
    outputs = g("Transpose", embedded, perm=[1, 0, 2])
    for depth, (layer, norm) in enumerate(zip(encoder.layers, encoder.norms, strict=True)):
        two = cast(BidirectionalLayer, layer)
        halves, size = [two.left_to_right, two.right_to_left], two.left_to_right.lstm.hidden_size
        weights = (g.constant(part) for part in _stacked(halves))
        both = g("LSTM", outputs, *weights, lengths, direction="bidirectional", hidden_size=size)
        joined = g("Reshape", g("Transpose", both, perm=[0, 2, 1, 3]), g.constant([0, 0, 2 * size]))
        outputs = normalized(g, norm, g("Add", joined, outputs) if depth and encoder.residual else joined)
    return g("Transpose", outputs, perm=[1, 0, 2])


def _summary(g: Graph, values: str, lengths: str) -> str:
    """What `Encoder.summary` makes of values (B, S, M)."""
    forward, backward = g.split("Split", values, parts=2, axis=2)
    last = g("Unsqueeze", g("Sub", lengths, g.constant([1])), g.constant([1]))
    first = g("Squeeze", g("Slice", backward, g.constant([0]), g.constant([1]), g.constant([1])), g.constant([1]))
    return g("Concat", g("GatherND", forward, last, batch_dims=1), first, axis=1)


def _keys(g: Graph, model: Seq2Seq, values: str, precision: Precision) -> str:
    attention, key = model.decoder.attention, model.decoder.attention.key
    if not isinstance(key, nn.Linear):
        return values
    scale = 2 if has_tanh(attention) else 1
    bias = None if key.bias is None else scale * key.bias
    flat = g("Reshape", values, g.constant([-1, key.in_features]))
    keys = product(g, flat, scale * key.weight, bias, precision)
    shape = g("Concat", g("Shape", values, end=2), g.constant([key.out_features]), axis=0)
    return g("Reshape", exponential(g, keys) if has_tanh(attention) else keys, shape)


def _stacked(directions: list[LSTMLayer]) -> list[Tensor]:
    """Input weights (D, 4H, I), recurrent weights (D, 4H, H) and biases (D, 8H), gates in the order of ONNX."""
    parts = [[_reordered(weight) for weight in direction.lstm.parameters()] for direction in directions]
    own = [(inputs, recurrent, torch.cat(biases)) for inputs, recurrent, *biases in parts]
    return [torch.stack(kind) for kind in zip(*own, strict=True)]


def _reordered(gates: Tensor) -> Tensor:
    input_gate, forget_gate, candidate, output_gate = gates.chunk(4)
    return torch.cat([input_gate, output_gate, forget_gate, candidate])
