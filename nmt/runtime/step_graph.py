"""One decode step as a graph.

Against the module's own step: a table of embedding × input weights, one product a layer, gates in the order in which
they share an activation, and additive scores without a tanh for each pair of query and key.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.model.attention import Attention
from nmt.model.cells import LSTMLayer
from nmt.model.recurrence import EPSILON
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.graph import FLOAT, INTEGER, Graph, normalized
from nmt.runtime.products import Precision, product

_LARGEST = 22.0
"""Of the two parts of an additive score: beyond it tanh is flat, and the product of both exponentials is finite."""


class StepGraph:
    """Writes down the step of a model. B sentences with K rows each are N = B · K rows of the products."""

    def __init__(self, model: Seq2Seq, precision: Precision) -> None:
        self.graph, self._model, self._config = Graph(), model, model.config
        self._precision = precision
        # What normalization and shortcuts give may lie beyond [-1, 1].
        self._states: Precision = "fp32" if self._config.layer_norm or self._config.residual else precision
        self._declare()
        self._write()

    def _declare(self) -> None:
        g, config = self.graph, self._config
        depth, size = config.decoder_layers, config.decoder_size
        self._pieces = g.input("pieces", INTEGER, ["B", "K"])
        self._hidden = g.input("hidden", FLOAT, [depth, "B", "K", size])
        self._cell = g.input("cell", FLOAT, [depth, "B", "K", size])
        self._feed = g.input("feed", FLOAT, ["B", "K", config.embedding_size])
        self._values = g.input("values", FLOAT, ["B", "S", config.memory_size])
        self._keys = g.input("keys", FLOAT, ["B", "S", "A"])
        self._bias = g.input("bias", FLOAT, ["B", "S"])
        self._table = g.input("table", FLOAT, ["V", 4 * size])
        self._rows = g("Shape", self._pieces)

    def _write(self) -> None:
        g, decoder, wiring = self.graph, self._model.decoder, self._config.wiring
        hidden, cell = self._layers(self._hidden), self._layers(self._cell)
        parts: list[str] = []
        context = weights = outputs = ""
        if wiring == "conditional":
            context, weights = self._attend(normalized(g, decoder.norms[-1], hidden[-1]))
            parts = [context]
        elif wiring == "input_feeding":
            parts = [self._flat(self._feed, self._config.embedding_size)]
        for depth in range(decoder.depth):
            if depth:
                parts = [outputs, context] if wiring == "deep" else [outputs]
            gates = self._normalized(depth, self._gates(depth, [*parts, hidden[depth]]))
            hidden[depth], cell[depth] = self._activate(gates, cell[depth])
            below = outputs if depth and decoder.residual else None
            joined = g("Add", hidden[depth], below) if below else hidden[depth]
            outputs = normalized(g, decoder.norms[depth], joined)
            if depth == decoder.asking:
                context, weights = self._attend(outputs)
        self._finish(outputs, context, weights, hidden, cell)

    def _finish(self, outputs: str, context: str, weights: str, hidden: list[str], cell: list[str]) -> None:
        g, readout, output = self.graph, self._model.decoder.readout, self._model.output
        joined = g("Concat", outputs, context, axis=1)
        feed = g("Tanh", product(g, joined, readout.weight, readout.bias, self._states))
        logits = product(g, feed, output.weight, output.bias, self._precision)
        # Left as (N, V): to give them their shape here would copy them.
        g.output(g("LogSoftmax", logits, axis=-1), weights, self._stacked(hidden), self._stacked(cell))
        g.output(g("Reshape", feed, self._shape([], len(readout.weight))))

    def _gates(self, depth: int, inputs: list[str]) -> str:
        """(N, 4H), before their nonlinearity and their normalization."""
        g, layer = self.graph, cast(LSTMLayer, self._model.decoder.layers[depth])
        joined = g("Concat", *inputs, axis=1) if len(inputs) > 1 else inputs[0]
        if depth:
            return product(g, joined, _weight(layer), _added(layer), self._states)
        weight = _weight(layer, skipped=self._config.embedding_size)
        bounded = self._states if self._config.wiring == "conditional" else self._precision
        pieces = g("Reshape", self._pieces, g.constant([-1]))
        return g("Add", product(g, joined, weight, None, bounded), g("Gather", self._table, pieces))

    def _normalized(self, depth: int, sums: str) -> str:
        """What `nmt.model.recurrence.normalized` makes of (N, 4H), with the bias; without a gain, the sums."""
        g, layer, size = self.graph, cast(LSTMLayer, self._model.decoder.layers[depth]), self._config.decoder_size
        if layer.gain is None:
            return sums
        four = g("Reshape", sums, g.constant([-1, 4, size]))
        same = g.constant(torch.ones(size))
        flat = self._flat(g("LayerNormalization", four, same, epsilon=EPSILON), 4 * size)
        return g("Add", g("Mul", flat, g.constant(_reordered(layer.gain))), g.constant(_bias(layer)))

    def _activate(self, gates: str, cell: str) -> tuple[str, str]:
        """The next hidden and cell state (N, H)."""
        g, size = self.graph, self._config.decoder_size
        open_, candidate = g.split("Split", gates, g.constant([3 * size, size]), parts=2, axis=1)
        three = g.split("Split", g("Sigmoid", open_), g.constant([size] * 3), parts=3, axis=1)
        input_gate, forget_gate, output_gate = three
        cell = g("Add", g("Mul", forget_gate, cell), g("Mul", input_gate, g("Tanh", candidate)))
        return g("Mul", output_gate, g("Tanh", cell)), cell

    def _attend(self, query: str) -> tuple[str, str]:
        """query (N, H) → context (N, M), weights (B, K, S)."""
        g, heads = self.graph, self._config.attention_heads
        scores = g("Add", self._scores(query), g("Unsqueeze", self._bias, g.constant([1, 2])))
        weights = g("Softmax", scores, axis=-1)
        values = self._heads(self._values, self._config.memory_size)
        mixed = g("Transpose", g("MatMul", weights, values), perm=[0, 2, 1, 3])
        context = self._flat(mixed, self._config.memory_size)
        axis = g.constant([1])
        return context, g("Squeeze", weights, axis) if heads == 1 else g("ReduceMean", weights, axes=[1], keepdims=0)

    def _scores(self, query: str) -> str:
        """query (N, H) → (B, heads, K, S).

        tanh(q + k) = 1 - 2 / (1 + e²ᵠ e²ᵏ): with the exponentials of queries and keys, each worked out once, a pair
        costs a product and a reciprocal. The 1 adds the same to all scores of a query, and softmax ignores it.
        """
        g, attention = self.graph, self._model.decoder.attention
        size = self._config.decoder_size
        if isinstance(attention.query, nn.Linear):
            weight = attention.query.weight * (2 if has_tanh(attention) else 1)
            query, size = product(g, query, weight, None, self._states), len(weight)
        if has_tanh(attention):
            queries = g("Reshape", exponential(g, query), self._shape([], size))
            queries = g("Unsqueeze", queries, g.constant([2]))
            pairs = g("Mul", queries, g("Unsqueeze", self._keys, g.constant([1])))
            halves = g("Reciprocal", g("Add", pairs, g.constant(1.0)))
            energy = _block_diagonal(cast(Tensor, attention.energy).view(attention.heads, -1))
            return g("Transpose", g("MatMul", halves, g.constant(-2 * energy)), perm=[0, 3, 1, 2])
        if attention.score == "none":
            batch, rows = g.split("Split", self._rows, parts=2, axis=0)
            positions = g("Gather", g("Shape", self._bias), g.constant([1]))
            shape = g("Concat", batch, g.constant([attention.heads]), rows, positions, axis=0)
            return g("Expand", g.constant(0.0), shape)
        scores = self._compare(query, size)
        if attention.score == "scaled_dot":
            return g("Mul", scores, g.constant(1 / math.sqrt(size // attention.heads)))
        return scores

    def _compare(self, query: str, size: int) -> str:
        """The products of queries (N, A) and keys: (B, heads, K, S)."""
        g = self.graph
        keys = g("Transpose", self._heads(self._keys, size), perm=[0, 1, 3, 2])
        return g("MatMul", self._heads(g("Reshape", query, self._shape([], size)), size), keys)

    def _heads(self, vectors: str, size: int) -> str:
        """(B, L, A) → (B, heads, L, A / heads)."""
        g, heads = self.graph, self._config.attention_heads
        if heads == 1:
            return g("Unsqueeze", vectors, g.constant([1]))
        return g("Transpose", g("Reshape", vectors, g.constant([0, 0, heads, size // heads])), perm=[0, 2, 1, 3])

    def _layers(self, stacked: str) -> list[str]:
        """(L, B, K, H) → (N, H) of each layer."""
        g, depth = self.graph, self._config.decoder_layers
        layers = [stacked] if depth == 1 else g.split("Split", stacked, parts=depth, axis=0)
        return [self._flat(layer, self._config.decoder_size) for layer in layers]

    def _stacked(self, layers: list[str]) -> str:
        """The reverse of `_layers`."""
        g, shape = self.graph, self._shape([1], self._config.decoder_size)
        return g("Concat", *(g("Reshape", layer, shape) for layer in layers), axis=0)

    def _flat(self, vectors: str, size: int) -> str:
        """(..., size) → (N, size)."""
        return self.graph("Reshape", vectors, self.graph.constant([-1, size]))

    def _shape(self, before: list[int], after: int) -> str:
        """(*before, B, K, after)."""
        g = self.graph
        first = [g.constant(before)] if before else []
        return g("Concat", *first, self._rows, g.constant([after]), axis=0)


def exponential(graph: Graph, projected: str) -> str:
    """e²ˣ of twice the projected queries or keys, finite and never zero."""
    limits = graph.constant(-2 * _LARGEST), graph.constant(2 * _LARGEST)
    return graph("Exp", graph("Clip", projected, *limits))


def has_tanh(attention: Attention) -> bool:
    """Whether the score is a weighted sum of tanh(query + key)."""
    return hasattr(attention, "energy")


def piece_table(model: Seq2Seq) -> Tensor:
    """(V, 4H): what each target piece adds to the gates of the first layer."""
    first, size = cast(LSTMLayer, model.decoder.layers[0]), model.config.embedding_size
    embedding = model.target_embedding.weight * math.sqrt(size)
    return functional.linear(embedding, _weight(first)[:, :size], _added(first))


def _block_diagonal(parts: Tensor) -> Tensor:
    """(N, A) → (N · A, N): part n in the nth block of its column n."""
    return (torch.eye(len(parts)).unsqueeze(1) * parts.unsqueeze(2)).flatten(0, 1)


def _weight(layer: LSTMLayer, skipped: int = 0) -> Tensor:
    """The weight (4H, I + H) of one product that gives all gates from [inputs; hidden].

    Gates in the order input, forget, output, candidate: three sigmoids side by side. The first inputs are skipped.
    """
    input_weights, recurrent_weights, *_ = layer.lstm.parameters()
    return _reordered(torch.cat([input_weights[:, skipped:], recurrent_weights], dim=1))


def _bias(layer: LSTMLayer) -> Tensor:
    """(4H,), in the same order."""
    *_, input_bias, recurrent_bias = layer.lstm.parameters()
    return _reordered(input_bias + recurrent_bias)


def _added(layer: LSTMLayer) -> Tensor | None:
    """The bias of that product: none where it comes after normalization."""
    return _bias(layer) if layer.gain is None else None


def _reordered(gates: Tensor) -> Tensor:
    input_gate, forget_gate, candidate, output_gate = gates.chunk(4)
    return torch.cat([input_gate, forget_gate, output_gate, candidate])
