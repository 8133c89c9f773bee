"""The kernels of a decode step, and the weights as they want them.

Arrays are float32. fp32 is exact. int8 rounds weights to 127 steps an output, and inputs to 255 steps of an interval
that is known when the weights are packed: it does not depend on the other rows of a batch, so a sentence's numbers are
its own.
"""

from collections.abc import Sequence
from ctypes import byref, pointer
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmt.arrays import Floats, Integers
from nmt.config import Wiring
from nmt.kernels import structs
from nmt.kernels.addresses import address, addresses
from nmt.kernels.builds import Precision, native
from nmt.kernels.memory import Memory

Function = Literal["plain", "tanh", "exponential"]
Score = Literal["none", "dot", "additive"]

_INPUT_STEPS = 127
_ZERO = 128
"""Inputs are unsigned bytes with 128 for zero: processors multiply unsigned by signed."""

_WEIGHT_STEPS = 63
"""Of 7 bits, so that two products fit into 16: with 8, processors without VNNI would be a fifth slower."""

_FUNCTIONS: dict[Function, int] = {"plain": 0, "tanh": 1, "exponential": 2}
_SCORES: dict[Score, int] = {"none": 0, "dot": 1, "additive": 2}
_WIRINGS: dict[Wiring, int] = {"deep": 0, "input_feeding": 1, "conditional": 2}


@dataclass(frozen=True, slots=True)
class Weights:
    """A weight (O, I) and a bias (O,), packed. width: I."""

    struct: structs.Weights
    width: int
    held: tuple[NDArray[Any], ...]


def pack(weight: Floats, bias: Floats | None, precision: Precision, largest: float = 1.0) -> Weights:
    """A weight (O, I) and a bias (O,) or none; in int8, inputs will lie in [-largest, largest]."""
    group = 4 * int(native().width())
    outputs, inputs = weight.shape
    groups = -(-outputs // group)
    padded, added = np.zeros((groups * group, inputs), np.float32), np.zeros(groups * group, np.float32)
    padded[:outputs] = weight
    if bias is not None:
        added[:outputs] = bias
    if precision == "fp32":
        packed = _dense(padded.reshape(groups, group, inputs).swapaxes(1, 2))
        struct = structs.Weights(address(packed), address(added), None, None, inputs, outputs, 0)
        return Weights(struct, inputs, (packed, added))
    steps = np.maximum(np.abs(padded).max(axis=1) / np.float32(_WEIGHT_STEPS), np.float32(1e-12))
    together = int(native().bytes())
    rounded = np.pad(np.rint(padded / steps[:, None]).astype(np.int8), [(0, 0), (0, -inputs % together)])
    packed = _dense(rounded.reshape(groups, group, -1, together).swapaxes(1, 2))
    zero = _ZERO * rounded.sum(axis=1, dtype=np.int32)
    held = packed, added, steps * np.float32(largest / _INPUT_STEPS), zero
    struct = structs.Weights(*addresses(*held), rounded.shape[1], outputs, largest)
    return Weights(struct, inputs, held)


def gate_order(hidden_size: int) -> Integers:
    """Where each output of a product for gates comes from among gates (4H,) in the order of torch; -1 for padding.

    Groups of a vector each of input gate, forget gate, output gate and candidate, for the same units.
    """
    width = int(native().width())
    units = np.arange(-(-hidden_size // width) * width).reshape(-1, 1, width)
    first = np.array([0, 1, 3, 2]).reshape(1, 4, 1) * hidden_size
    return np.where(units < hidden_size, first + units, -1).ravel()


def gates(values: Floats) -> Floats:
    """What torch has by gate, (4H, ...), in the order of `gate_order`, with zeros for padding."""
    order = gate_order(len(values) // 4)
    ordered = values[order]
    ordered[order < 0] = 0
    return ordered


def product(weights: Weights, inputs: Floats, function: Function = "plain") -> Floats:
    """function(x Wᵀ + b) (N, O) of inputs x (N, I). `exponential` is e²ˣ, finite and never zero."""
    inputs = _dense(inputs, np.float32)
    count, width = inputs.shape
    if width != weights.width:
        raise ValueError(f"the inputs have {width} features; the weights want {weights.width}")
    out = np.empty((count, weights.struct.outputs), np.float32)
    part = structs.Part(address(inputs), None, width)
    native().product(count, byref(weights.struct), byref(part), 1, _FUNCTIONS[function], address(out))
    return out


@dataclass(frozen=True, slots=True)
class Cell:
    """One product that gives all gates from [inputs; hidden].

    gain, bias (4H,): what goes into each gate is normalized, times gain, plus bias; the outputs of `weights` are then
    in torch's order, else in `gate_order`.
    """

    weights: Weights
    gain: Floats | None = None
    bias: Floats | None = None

    @property
    def struct(self) -> structs.Cell:
        """As the kernels want it, for as long as this object lives."""
        return structs.Cell(pointer(self.weights.struct), address(self.gain), address(self.bias))


@dataclass(frozen=True, slots=True)
class Bidirectional:
    """A layer of the encoder: of each direction, what its inputs and what its hidden state add to the gates.

    scale, shift (2H,): what leaves the layer is normalized.
    """

    directions: tuple[tuple[Weights, Cell], tuple[Weights, Cell]]
    scale: Floats | None = None
    shift: Floats | None = None


class Encoder:
    """Bidirectional LSTM layers of H = `size` units a direction; residual: those above the first have a shortcut."""

    def __init__(self, layers: Sequence[Bidirectional], size: int, *, residual: bool) -> None:
        self._held, self.size = list(layers), size
        own = [
            structs.Bidirectional(
                (structs.Direction * 2)(
                    *(structs.Direction(pointer(inputs.struct), cell.struct) for inputs, cell in layer.directions)
                ),
                address(layer.scale),
                address(layer.shift),
            )
            for layer in layers
        ]
        self.struct = structs.Encoder(len(own), size, residual, (structs.Bidirectional * structs.DEEPEST)(*own))


def encode(encoder: Encoder, embedded: Floats, lengths: Integers) -> Floats:
    """Embedded pieces (N, E) of sentences, one after the other, of lengths (B,) → the values (N, 2H)."""
    embedded, lengths = _dense(embedded, np.float32), _dense(lengths, np.int64)
    count, width = embedded.shape
    if lengths.min(initial=1) < 1 or lengths.sum() != count:
        raise ValueError(f"lengths of {lengths.tolist()} are not all above 0, or add up to other than {count} pieces")
    values, between = np.empty((2, count, 2 * encoder.size), np.float32)
    native().encode(byref(encoder.struct), len(lengths), width, *addresses(embedded, lengths, values, between))
    return values


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the decoder.

    table (V, ...): what each piece adds to the gates, where the embedded pieces are not among the inputs, in the order
    of the cell's · scale, shift (H,): what leaves the layer is normalized.
    """

    cell: Cell
    table: Floats | None = None
    scale: Floats | None = None
    shift: Floats | None = None


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
    energy: Floats | None = None
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
        own = [structs.Layer(one.cell.struct, *addresses(one.table, one.scale, one.shift)) for one in layers]
        self.hidden_size = readout.width - memory_size
        attention = structs.Attention(
            scores.heads, scores.size, memory_size, _SCORES[scores.score], address(scores.energy), scores.factor
        )
        self.struct = structs.Network(
            _WIRINGS[wiring],
            self.depth,
            residual,
            self.embedding_size,
            self.hidden_size,
            (structs.Layer * structs.DEEPEST)(*own),
            attention,
            pointer(scores.query.struct) if scores.query else None,
            pointer(readout.struct),
            pointer(output.struct),
        )


class States(NamedTuple):
    """Of N rows: of each layer hidden and cell, lstm (2, L, N, H), and the last attentional vectors, feed (N, E)."""

    lstm: Floats
    feed: Floats


def decode_step(
    network: Network, pieces: Integers, memory: Memory, states: States, rows: Integers
) -> tuple[Floats, Floats, States, Integers]:
    """One piece (B, K) for each of the rows that are alive, whose last one is not 0, PAD.

    A row goes on from the states at `rows` (B, K) and looks at the memory of its sentence.

    Returns the log-probabilities (B, K, V) of the next pieces and the weights (B, K, S), both 0 for the other rows,
    which cost nothing else; states, with room for all rows; and which of these belongs to each row (B, K).
    """
    (batch, count), size, longest = pieces.shape, pieces.size, memory.longest
    if rows.shape != pieces.shape or len(memory.table) != batch:
        raise ValueError(
            f"pieces {pieces.shape} for rows {rows.shape} of {len(memory.table)} sentences; one a row is wanted"
        )
    after = States(
        np.empty((2, network.depth, size, network.hidden_size), np.float32),
        np.empty((size, network.embedding_size), np.float32),
    )
    next_rows = np.empty(pieces.shape, np.int64)
    weights = np.empty((batch, count, longest), np.float32)
    log_probs = np.empty((batch, count, network.vocabulary), np.float32)
    given = _dense(memory.table), _dense(pieces, np.int64), _dense(rows, np.int64), *states
    sizes = batch, count, longest, len(states.feed)
    native().decode_step(byref(network.struct), *sizes, *addresses(*given, *after, next_rows, weights, log_probs))
    return log_probs, weights, after, next_rows


def best_extensions(log_probs: Floats, totals: Floats) -> tuple[Floats, Integers]:
    """The K best of the K · V sums totals (B, K) + log_probs (B, K, V), and their places; -inf at 0 beyond the last."""
    best, at = np.empty(totals.shape, np.float32), np.empty(totals.shape, np.int64)
    arrays = _dense(log_probs, np.float32), _dense(totals, np.float32), best, at
    native().best_extensions(*log_probs.shape, *addresses(*arrays))
    return best, at


_dense = np.ascontiguousarray
"""Of the type that the kernels read: they would take any other for it."""
