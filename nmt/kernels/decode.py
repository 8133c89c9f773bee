"""The kernels of a decode step, and the weights as they want them.

Tensors are float32 on the CPU. fp32 is exact. int8 rounds weights to 255 steps an output, and inputs to 255 steps of an
interval that is known when the weights are packed: it does not depend on the other rows of a batch, so a sentence's
numbers are its own.
"""

from collections.abc import Sequence
from ctypes import byref, pointer
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from nmt.kernels import structs
from nmt.kernels.builds import Precision, native

Function = Literal["plain", "tanh", "exponential"]
Score = Literal["none", "dot", "additive"]
Wiring = Literal["deep", "input_feeding", "conditional"]

_STEPS = 127
_ZERO = 128
"""Inputs are unsigned bytes with 128 for zero: processors multiply unsigned by signed."""

_FUNCTIONS: dict[Function, int] = {"plain": 0, "tanh": 1, "exponential": 2}
_SCORES: dict[Score, int] = {"none": 0, "dot": 1, "additive": 2}
_WIRINGS: dict[Wiring, int] = {"deep": 0, "input_feeding": 1, "conditional": 2}


@dataclass(frozen=True, slots=True)
class Weights:
    """A weight (O, I) and a bias (O,), packed. width: I."""

    struct: structs.Weights
    width: int
    held: tuple[Tensor, ...]


def pack(weight: Tensor, bias: Tensor | None, precision: Precision, largest: float = 1.0) -> Weights:
    """A weight (O, I) and a bias (O,) or none; in int8, inputs will lie in [-largest, largest]."""
    group = 4 * int(native().width())
    outputs, inputs = weight.shape
    padding = -outputs % group
    weight = functional.pad(weight.detach().float(), (0, 0, 0, padding))
    added = torch.zeros(outputs + padding)
    if bias is not None:
        added[:outputs] = bias.detach()
    if precision == "fp32":
        packed = weight.view(-1, group, inputs).transpose(1, 2).contiguous()
        struct = structs.Weights(packed.data_ptr(), added.data_ptr(), None, None, inputs, outputs, 0)
        return Weights(struct, inputs, (packed, added))
    steps = (weight.abs().amax(dim=1) / _STEPS).clamp_min(1e-12)
    rounded = functional.pad((weight / steps.unsqueeze(1)).round(), (0, -inputs % 4)).to(torch.int8)
    packed = rounded.view(len(rounded) // group, group, -1, 4).transpose(1, 2).contiguous()
    held = packed, added, steps * (largest / _STEPS), _ZERO * rounded.sum(dim=1, dtype=torch.int32)
    struct = structs.Weights(*(tensor.data_ptr() for tensor in held), rounded.size(1), outputs, largest)
    return Weights(struct, inputs, held)


def gate_order(hidden_size: int) -> Tensor:
    """Where each output of an `lstm` product comes from among gates (4H,) in the order of torch; -1 for padding.

    Groups of a vector each of input gate, forget gate, output gate and candidate, for the same units.
    """
    width = int(native().width())
    units = torch.arange(-(-hidden_size // width) * width).view(-1, 1, width)
    first = torch.tensor([0, 1, 3, 2]).view(1, 4, 1) * hidden_size
    return (first + units).where(units < hidden_size, -1).flatten()


def gates(values: Tensor) -> Tensor:
    """What torch has by gate, (4H, ...), in the order of `gate_order`, with zeros for padding."""
    order = gate_order(len(values) // 4)
    return values.detach().float()[order].where((order >= 0).view(-1, *(1,) * (values.dim() - 1)), 0.0)


def product(weights: Weights, inputs: Tensor, function: Function = "plain") -> Tensor:
    """function(x Wᵀ + b) (N, O) of inputs x (N, I). `exponential` is e²ˣ, finite and never zero."""
    inputs = inputs.contiguous()
    count, width = inputs.shape
    out = torch.empty(count, weights.struct.outputs)
    part = structs.Part(inputs.data_ptr(), None, width)
    native().product(count, byref(weights.struct), byref(part), 1, _FUNCTIONS[function], out.data_ptr())
    return out


class Encoder:
    """Bidirectional LSTM layers of H = `size` units a direction.

    directions: forward and backward of each layer, from the lowest up: the weights of its inputs, with the bias, and of
    its hidden state; outputs in `gate_order`.
    """

    def __init__(self, directions: Sequence[tuple[Weights, Weights]], size: int) -> None:
        self._held, self.layers, self.size = list(directions), len(directions) // 2, size
        own = [structs.Direction(pointer(inputs.struct), pointer(recurrent.struct)) for inputs, recurrent in directions]
        self.struct = (structs.Direction * len(own))(*own)


def encode(encoder: Encoder, embedded: Tensor, lengths: Tensor) -> Tensor:
    """embedded (B, S, E), lengths (B,) → the values (B, S, 2H), zero behind the ends of the sentences."""
    embedded, lengths = embedded.contiguous(), lengths.contiguous()
    batch, steps, width = embedded.shape
    values, between = torch.empty(2, batch, steps, 2 * encoder.size).unbind()
    tensors = embedded, lengths, values, between
    pointers = (own.data_ptr() for own in tensors)
    native().encode(batch, steps, encoder.layers, encoder.size, encoder.struct, width, *pointers)
    return values


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the decoder: the weights of one product that gives all gates from [inputs; hidden].

    table: what each piece adds to the gates, where the embedded pieces are not among the inputs · gain, bias (4H,):
    what goes into each gate is normalized, times gain, plus bias; the outputs of weights and table are then in torch's
    order, else in `gate_order` · scale, shift (H,): what leaves the layer is normalized.
    """

    weights: Weights
    table: Tensor | None = None
    gain: Tensor | None = None
    bias: Tensor | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """How queries and keys of `size` features are compared, in so many heads.

    score: `none`; `dot`, factor · q·k; `additive`, Σ energy tanh(q + k) but for a constant, of queries and keys that
    are e²ᵠ and e²ᵏ: tanh(q + k) = 1 - 2 / (1 + e²ᵠ e²ᵏ), and softmax ignores what is the same for all. query: the
    projection of the decoder's outputs, if there is one.
    """

    score: Score
    heads: int
    size: int
    query: Weights | None
    energy: Tensor
    factor: float = 1.0


class Network:
    """All that a step needs of a decoder. memory_size: features of a source piece."""

    def __init__(
        self,
        layers: Sequence[Layer],
        scores: Scores,
        readout: Weights,
        output: Weights,
        *,
        wiring: Wiring,
        residual: bool,
        memory_size: int,
    ) -> None:
        self._held = (list(layers), scores, readout, output)
        self.depth, self.embedding_size, self.vocabulary = len(layers), readout.struct.outputs, output.struct.outputs
        own = [
            structs.Layer(
                pointer(one.weights.struct), *map(_pointer, (one.table, one.gain, one.bias, one.scale, one.shift))
            )
            for one in layers
        ]
        self.hidden_size = readout.width - memory_size
        attention = structs.Attention(
            scores.heads, scores.size, memory_size, _SCORES[scores.score], scores.energy.data_ptr(), scores.factor
        )
        self.struct = structs.Network(
            _WIRINGS[wiring],
            self.depth,
            residual,
            self.embedding_size,
            self.hidden_size,
            (structs.Layer * 8)(*own),
            attention,
            pointer(scores.query.struct) if scores.query else None,
            pointer(readout.struct),
            pointer(output.struct),
        )


Memory = tuple[Tensor, Tensor, Tensor]
"""values (B, S, M), keys (B, S, A), and what is added to the scores (B, S)."""

States = tuple[Tensor, Tensor, Tensor]
"""hidden and cell (L, N, H), the last attentional vectors (N, E)."""


def decode_step(
    network: Network, pieces: Tensor, memory: Memory, states: States, rows: Tensor
) -> tuple[Tensor, Tensor, States]:
    """One piece (B, K) for each row, which goes on from the states at `rows` (B, K).

    Returns the log-probabilities (B, K, V) of the next pieces, the weights (B, K, S), and the states of B · K rows.
    """
    memory = memory[0].contiguous(), memory[1].contiguous(), memory[2].contiguous()
    (batch, count), places, held = pieces.shape, memory[2].size(1), states[2].size(0)
    following = torch.empty(2, network.depth, batch * count, network.hidden_size)
    feed = torch.empty(batch * count, network.embedding_size)
    log_probs, weights = torch.empty(batch, count, network.vocabulary), torch.empty(batch, count, places)
    source = structs.Memory(batch, places, *(own.data_ptr() for own in memory))
    hidden, cell = following.unbind()
    tensors = (pieces.contiguous(), rows.contiguous(), *states, hidden, cell, feed, weights, log_probs)
    native().decode_step(byref(network.struct), byref(source), count, held, *(own.data_ptr() for own in tensors))
    return log_probs, weights, (hidden, cell, feed)


def best_extensions(log_probs: Tensor, totals: Tensor) -> tuple[Tensor, Tensor]:
    """The K best of the K · V sums totals (B, K) + log_probs (B, K, V), and their places; -inf at 0 beyond the last."""
    best, at = torch.empty(totals.shape), torch.empty(totals.shape, dtype=torch.long)
    tensors = log_probs.contiguous(), totals.contiguous(), best, at
    native().best_extensions(*log_probs.shape, *(own.data_ptr() for own in tensors))
    return best, at


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
