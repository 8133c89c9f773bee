"""The kernels of a decode step, and the weights as they want them.

Arrays are float32. fp32 is exact. int8 rounds weights to 127 steps an output, and inputs to 255 steps of an interval
that is known when the weights are packed: it does not depend on the other rows of a batch, so a sentence's numbers are
its own.
"""

from collections.abc import Sequence
from ctypes import addressof, byref, c_char, pointer
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmt.arrays import Flags, Floats, Integers
from nmt.config import Wiring
from nmt.kernels import structs
from nmt.kernels.builds import Precision, native

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
        struct = structs.Weights(_address(packed), _address(added), None, None, inputs, outputs, 0)
        return Weights(struct, inputs, (packed, added))
    steps = np.maximum(np.abs(padded).max(axis=1) / np.float32(_WEIGHT_STEPS), np.float32(1e-12))
    together = int(native().bytes())
    rounded = np.pad(np.rint(padded / steps[:, None]).astype(np.int8), [(0, 0), (0, -inputs % together)])
    packed = _dense(rounded.reshape(groups, group, -1, together).swapaxes(1, 2))
    zero = _ZERO * rounded.sum(axis=1, dtype=np.int32)
    held = packed, added, steps * np.float32(largest / _INPUT_STEPS), zero
    struct = structs.Weights(*_addresses(*held), rounded.shape[1], outputs, largest)
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
    part = structs.Part(_address(inputs), None, width)
    native().product(count, byref(weights.struct), byref(part), 1, _FUNCTIONS[function], _address(out))
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
        return structs.Cell(pointer(self.weights.struct), _address(self.gain), _address(self.bias))


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
                _address(layer.scale),
                _address(layer.shift),
            )
            for layer in layers
        ]
        self.struct = structs.Encoder(len(own), size, residual, (structs.Bidirectional * structs.DEEPEST)(*own))


def encode(encoder: Encoder, embedded: Floats, lengths: Integers) -> Floats:
    """embedded (B, S, E), lengths (B,) → the values (B, S, 2H), zero behind the ends of the sentences."""
    embedded, lengths = _dense(embedded, np.float32), _dense(lengths, np.int64)
    batch, steps, width = embedded.shape
    # Not halves of one array: the values stay, for as long as their sentences do at least.
    values, between = (np.empty((batch, steps, 2 * encoder.size), np.float32) for _ in range(2))
    arrays = embedded, lengths, values, between
    native().encode(byref(encoder.struct), batch, steps, width, *_addresses(*arrays))
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
        own = [structs.Layer(one.cell.struct, *_addresses(one.table, one.scale, one.shift)) for one in layers]
        self.hidden_size = readout.width - memory_size
        attention = structs.Attention(
            scores.heads, scores.size, memory_size, _SCORES[scores.score], _address(scores.energy), scores.factor
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


class Memory(NamedTuple):
    """Of B' sentences: values (B', S, M), keys (B', S, A), and what is added to the scores, bias (B', S): -inf where no
    piece is."""

    values: Floats
    keys: Floats
    bias: Floats


class States(NamedTuple):
    """hidden and cell (L, N, H), the last attentional vectors, feed (N, E)."""

    hidden: Floats
    cell: Floats
    feed: Floats


def decode_step(
    network: Network,
    pieces: Integers,
    live: Flags,
    memory: Memory,
    sentences: Integers,
    states: States,
    rows: Integers,
) -> tuple[Floats, Floats, States, Integers]:
    """One piece (B, K) for each of the rows that are live (B, K), which goes on from the states at `rows` (B, K) and
    looks at the memory of its sentence, at `sentences` (B,).

    Returns the log-probabilities (B, K, V) of the next pieces and the weights (B, K, S), both 0 for the other rows,
    which cost nothing else; the states of the live rows, N; and which of these belongs to each row (B, K).
    """
    (batch, count), length = pieces.shape, memory.bias.shape[1]
    at = np.flatnonzero(live)
    hidden, cell = np.empty((2, network.depth, len(at), network.hidden_size), np.float32)
    after = States(hidden, cell, np.empty((len(at), network.embedding_size), np.float32))
    log_probs = np.empty((batch, count, network.vocabulary), np.float32)
    weights = np.empty((batch, count, length), np.float32)
    sentences = _dense(sentences, np.int64)
    source = structs.Memory(batch, length, *_addresses(sentences, *memory))
    arrays = (at, _dense(pieces[live], np.int64), _dense(rows[live], np.int64), *states, *after, weights, log_probs)
    sizes = count, len(at), len(states.feed)
    native().decode_step(byref(network.struct), byref(source), *sizes, *_addresses(*arrays))
    places = np.zeros(pieces.shape, np.int64)
    places[live] = np.arange(len(at))
    return log_probs, weights, after, places


def best_extensions(log_probs: Floats, totals: Floats) -> tuple[Floats, Integers]:
    """The K best of the K · V sums totals (B, K) + log_probs (B, K, V), and their places; -inf at 0 beyond the last."""
    best, at = np.empty(totals.shape, np.float32), np.empty(totals.shape, np.int64)
    arrays = _dense(log_probs, np.float32), _dense(totals, np.float32), best, at
    native().best_extensions(*log_probs.shape, *_addresses(*arrays))
    return best, at


_dense = np.ascontiguousarray
"""Of the type that the kernels read: they would take any other for it."""


def _addresses(*arrays: NDArray[Any] | None) -> list[int | None]:
    return [_address(array) for array in arrays]


def _address(array: NDArray[Any] | None) -> int | None:
    """Where an array lies, which is dense and not empty. In a quarter of the time that `array.ctypes.data` takes."""
    buffer: Any = array  # which the types of NumPy say of it from Python 3.12 on
    return None if array is None or not array.size else addressof(c_char.from_buffer(buffer))
