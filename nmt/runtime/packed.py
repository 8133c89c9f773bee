"""The decode step as fast as the processor allows: all that can be worked out before a sentence comes, is.

Against the module's own step: a table of embedding × input weights, one product a layer, gates in the order in which
they share an activation, additive scores without a tanh for each pair of query and key.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.model.attention import Attention
from nmt.model.cells import LSTMLayer
from nmt.model.decoder import DecoderState
from nmt.model.encoder import Memory
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.products import Precision, pack
from nmt.runtime.stepper import ModelState, ModelStepper
from nmt.search.stepper import Step

_LARGEST = 22.0
"""Of the two parts of an additive score: beyond it tanh is flat, and the product of both exponentials is finite."""


class PackedStepper(ModelStepper):
    """Steps a `Seq2Seq` on the CPU with weights that are packed here, once: when they have changed, make a new one.

    In fp32 the numbers are the module's to 1e-5; `nmt.runtime.products` says what the others round.
    """

    def __init__(self, model: Seq2Seq, precision: Precision = "fp32") -> None:
        super().__init__(model)
        self.precision = precision
        config, decoder = model.config, model.decoder
        bounded = not (config.layer_norm or config.residual)
        with torch.inference_mode():
            layers = [cast(LSTMLayer, layer) for layer in decoder.layers]
            self._table = _table(model, layers[0])
            first, _ = _gates(layers[0], skipped=config.embedding_size)
            self._products = [pack(first, None, precision, bounded or config.wiring != "conditional")]
            self._products += [pack(*_gates(layer), precision, bounded) for layer in layers[1:]]
            self._attention = _PackedAttention(decoder.attention, precision, bounded)
            self._readout = pack(decoder.readout.weight, decoder.readout.bias, precision, bounded)
            self._output = pack(model.output.weight, model.output.bias, precision)

    def start(self, sources: Sequence[Sequence[int]]) -> ModelState:
        """Encode the sources, padded to the longest; the keys as the packed attention wants them."""
        state = super().start(sources)
        memory = state.memory
        return ModelState(Memory(memory.values, self._attention.keys(memory.keys), memory.mask), state.decoder)

    def step(self, pieces: Tensor, state: ModelState) -> Step[ModelState]:
        """One piece a row."""
        decoder, memory, old = self.model.decoder, state.memory, state.decoder
        shape, wiring = pieces.shape, decoder.wiring
        hidden, cell = ([*part.flatten(1, 2)] for part in (old.hidden, old.cell))
        parts: list[Tensor] = []
        context = weights = outputs = hidden[-1]  # until attention has spoken
        if wiring == "conditional":
            context, weights = self._attention(decoder.norms[-1](hidden[-1]), memory)
            parts = [context]
        elif wiring == "input_feeding":
            parts = [old.feed.flatten(0, 1)]
        for depth, product in enumerate(self._products):
            if depth:
                parts = [outputs, context] if wiring == "deep" else [outputs]
            gates = product(torch.cat([*parts, hidden[depth]], dim=-1))
            if not depth:
                gates += self._table.index_select(0, pieces.flatten())
            hidden[depth], cell[depth] = _activate(gates, cell[depth])
            outputs = decoder.join(depth, hidden[depth], outputs)
            if depth == decoder.asking:
                context, weights = self._attention(outputs, memory)
        feed = self._readout(torch.cat([outputs, context], dim=-1)).tanh_()
        log_probs = self._output(feed).log_softmax(dim=-1)
        hiddens, cells = (torch.stack(layers).view(len(layers), *shape, -1) for layers in (hidden, cell))
        new = DecoderState(hiddens, cells, feed.view(*shape, -1))
        return Step(log_probs.view(*shape, -1), weights, ModelState(memory, new))


class _PackedAttention:
    """`Attention` for K queries a sentence, packed.

    tanh(q + k) = 1 - 2 / (1 + e²ᵠ e²ᵏ): with the exponentials of queries and keys, each worked out once, a pair costs a
    product and a reciprocal, not a tanh. The 1 adds the same to all scores of a query, and softmax ignores it.
    """

    def __init__(self, attention: Attention, precision: Precision, bounded: bool) -> None:
        self._attention, self._heads = attention, attention.heads
        self._tanh = hasattr(attention, "energy")
        if isinstance(attention.query, nn.Linear):
            self._query = pack(attention.query.weight * (2 if self._tanh else 1), None, precision, bounded)
        if self._tanh:
            self._energy = -2 * _block_diagonal(cast(Tensor, attention.energy).view(self._heads, -1))
            self._one = torch.ones(())

    def keys(self, keys: Tensor) -> Tensor:
        """The module's projected keys (B, S, A) as `__call__` wants them."""
        return _exponential(2 * keys) if self._tanh else keys

    def __call__(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """query (B·K, H) → context (B·K, M), weights (B, K, S)."""
        batch, size = memory.mask.shape
        query = self._query(query) if hasattr(self, "_query") else query
        query = query.view(batch, -1, query.size(-1))
        if self._tanh:
            pairs = torch.addcmul(self._one, _exponential(query).unsqueeze(2), memory.keys.unsqueeze(1))
            scores = (pairs.reciprocal_() @ self._energy).permute(0, 3, 1, 2)
        else:
            scores = self._attention.compare(query, memory.keys)
        weights = scores.masked_fill(~memory.mask[:, None, None, :], float("-inf")).softmax(dim=-1)
        values = memory.values.view(batch, size, self._heads, -1).transpose(1, 2)
        context = (weights @ values).transpose(1, 2).flatten(2).flatten(0, 1)
        return context, weights.mean(dim=1) if self._heads > 1 else weights.squeeze(1)


def _table(model: Seq2Seq, first: LSTMLayer) -> Tensor:
    """(V, 4H): what each target piece adds to the gates of the first layer."""
    size = model.config.embedding_size
    embedding = model.target_embedding.weight * math.sqrt(size)
    input_weights = next(first.lstm.parameters())
    _, bias = _gates(first)
    return functional.linear(embedding, _reordered(input_weights[:, :size]), bias)


def _block_diagonal(parts: Tensor) -> Tensor:
    """(N, A) → (N · A, N): part n in the nth block of its column n."""
    return (torch.eye(len(parts)).unsqueeze(1) * parts.unsqueeze(2)).flatten(0, 1)


def _exponential(projected: Tensor) -> Tensor:
    """e²ˣ of twice the projections, finite and never zero; in place."""
    return projected.clamp_(-2 * _LARGEST, 2 * _LARGEST).exp_()


def _gates(layer: LSTMLayer, skipped: int = 0) -> tuple[Tensor, Tensor]:
    """The weight (4H, I + H) and the bias (4H,) of one product that gives all gates from [inputs; hidden].

    Gates in the order input, forget, output, candidate: three sigmoids side by side. The first inputs are skipped.
    """
    input_weights, recurrent_weights, input_bias, recurrent_bias = layer.lstm.parameters()
    weight = torch.cat([input_weights[:, skipped:], recurrent_weights], dim=1)
    return _reordered(weight), _reordered(input_bias + recurrent_bias)


def _reordered(gates: Tensor) -> Tensor:
    input_gate, forget_gate, candidate, output_gate = gates.chunk(4)
    return torch.cat([input_gate, forget_gate, output_gate, candidate])


def _activate(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The next hidden and cell state (N, H) from gates (N, 4H), which are overwritten."""
    size = cell.size(-1)
    input_gate, forget_gate, output_gate, candidate = gates.chunk(4, dim=-1)
    gates[:, : 3 * size].sigmoid_()
    cell = (forget_gate * cell).addcmul_(input_gate, candidate.tanh_())
    return output_gate * cell.tanh(), cell
