"""The encoder as a graph."""

from typing import cast

import torch
from torch import Tensor

from nmt.model.cells import BidirectionalLayer, LSTMLayer
from nmt.model.encoder import Encoder
from nmt.runtime.graph import FLOAT, SHORT, Graph, normalized


def encoder_graph(encoder: Encoder) -> Graph:
    """Embedded pieces (B, S, E) and lengths (B,) → outputs (B, S, M), zero or anything finite beyond the length."""
    g = Graph()
    inputs = g.input("embedded", FLOAT, ["B", "S", "E"])
    lengths = g.input("lengths", SHORT, ["B"])
    outputs = g("Transpose", inputs, perm=[1, 0, 2])
    for depth, (layer, norm) in enumerate(zip(encoder.layers, encoder.norms, strict=True)):
        two = cast(BidirectionalLayer, layer)
        halves, size = [two.left_to_right, two.right_to_left], two.left_to_right.lstm.hidden_size
        weights = (g.constant(part) for part in _stacked(halves))
        both = g("LSTM", outputs, *weights, lengths, direction="bidirectional", hidden_size=size)
        joined = g("Reshape", g("Transpose", both, perm=[0, 2, 1, 3]), g.constant([0, 0, 2 * size]))
        outputs = normalized(g, norm, g("Add", joined, outputs) if depth and encoder.residual else joined)
    g.output(g("Transpose", outputs, perm=[1, 0, 2]))
    return g


def _stacked(directions: list[LSTMLayer]) -> list[Tensor]:
    """Input weights (D, 4H, I), recurrent weights (D, 4H, H) and biases (D, 8H), gates in the order of ONNX."""
    parts = [[_reordered(weight) for weight in direction.lstm.parameters()] for direction in directions]
    own = [(inputs, recurrent, torch.cat(biases)) for inputs, recurrent, *biases in parts]
    return [torch.stack(kind) for kind in zip(*own, strict=True)]


def _reordered(gates: Tensor) -> Tensor:
    input_gate, forget_gate, candidate, output_gate = gates.chunk(4)
    return torch.cat([input_gate, output_gate, forget_gate, candidate])
