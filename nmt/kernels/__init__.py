"""The compiled part of the decode step: products with weights that stay, and what lies between them, fused.

`native.c` is compiled when the project is installed, once for each kind of processor; `library` loads the best one that
this processor runs. Without a compiler there is none, and decoding falls back to torch, which is several times slower.

Tensors are float32 on the CPU. An `Input` is a tensor (N', F) of rows, with the rows (N,) of it that are meant, or None
for all of them in their order: so a search reorders its hypotheses without copying their states.

fp32 is exact. int8 rounds weights to 255 steps an output, and inputs to 255 steps of an interval that is known when the
weights are packed: it does not depend on the other rows of a batch, so a sentence's numbers are its own.
"""

from collections.abc import Sequence
from ctypes import CDLL, POINTER, Structure, byref, c_float, c_int, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["fp32", "int8"]
Function = Literal["plain", "tanh", "exponential"]
Input = tuple[Tensor, Tensor | None]

_BUILDS = {
    "native_avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"},
    "native_avxvnni": {"avx2", "fma", "avx_vnni"},
    "native_avx2": {"avx2", "fma"},
    "native_base": set[str](),
}
"""The builds, the fastest first, and what they need of a processor."""

_STEPS = 127
_ZERO = 128
"""Inputs are unsigned bytes with 128 for zero: processors multiply unsigned by signed."""

_FUNCTIONS: dict[Function, int] = {"plain": 0, "tanh": 1, "exponential": 2}
_SCORES = {"none": 0, "dot": 1, "additive": 2}


class _Part(Structure):
    _fields_ = (("values", c_void_p), ("rows", c_void_p), ("width", c_int64))


class _Weights(Structure):
    _fields_ = (
        ("packed", c_void_p),
        ("bias", c_void_p),
        ("scale", c_void_p),
        ("zero", c_void_p),
        ("inputs", c_int64),
        ("outputs", c_int64),
        ("range", c_float),
    )


_ARGUMENTS = {
    "product": (c_int64, POINTER(_Weights), POINTER(_Part), c_int, c_int, c_void_p),
    "lstm_step": (c_int64, c_int64, POINTER(_Weights), POINTER(_Part), c_int, *(c_void_p,) * 6),
    "lstm_sequence": (c_int64, c_int64, c_int64, POINTER(_Weights), c_void_p, c_void_p, c_void_p, c_int64),
    "attend": (*(c_int64,) * 6, c_int, c_float, *(c_void_p,) * 7),
    "log_softmax": (c_int64, c_int64, c_void_p),
    "best_extensions": (c_int64, c_int64, c_int64, *(c_void_p,) * 4),
}


@cache
def library() -> CDLL | None:
    """The best build that there is for this processor, or None."""
    return next(filter(None, (_load(name) for name, needed in _BUILDS.items() if needed <= processor_flags())), None)


def _load(name: str) -> CDLL | None:
    files = [Path(__file__).parent / f"{name}{suffix}" for suffix in EXTENSION_SUFFIXES]
    found = next((file for file in files if file.exists()), None)
    if found is None:
        return None
    loaded = CDLL(str(found))
    for function, arguments in _ARGUMENTS.items():
        getattr(loaded, function).argtypes, getattr(loaded, function).restype = arguments, None
    return loaded


@cache
def processor_flags() -> frozenset[str]:
    """What the system says that the processor can do; nothing where it does not say so in the manner of Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def available() -> tuple[Precision, ...]:
    """The precisions that the kernels have on this processor; none without kernels."""
    loaded = library()
    if loaded is None:
        return ()
    return ("fp32", "int8") if loaded.bytes() else ("fp32",)


def _native() -> CDLL:
    loaded = library()
    assert loaded, "the kernels were not compiled; `available` says so"
    return loaded


@dataclass(frozen=True, slots=True)
class Weights:
    """A weight (O, I) and a bias (O,), packed."""

    struct: _Weights
    outputs: int
    held: tuple[Tensor, ...]


def pack(weight: Tensor, bias: Tensor | None, precision: Precision, largest: float = 1.0) -> Weights:
    """A weight (O, I) and a bias (O,) or none; in int8, inputs will lie in [-largest, largest]."""
    group = 4 * int(_native().width())
    outputs, inputs = weight.shape
    padding = -outputs % group
    weight = torch.nn.functional.pad(weight.detach().float(), (0, 0, 0, padding))
    added = torch.zeros(outputs + padding)
    if bias is not None:
        added[:outputs] = bias.detach()
    if precision == "fp32":
        packed = weight.view(-1, group, inputs).transpose(1, 2).contiguous()
        held: tuple[Tensor, ...] = (packed, added)
        return Weights(_Weights(packed.data_ptr(), added.data_ptr(), None, None, inputs, outputs, 0), outputs, held)
    steps = (weight.abs().amax(dim=1) / _STEPS).clamp_min(1e-12)
    rounded = torch.nn.functional.pad((weight / steps.unsqueeze(1)).round(), (0, -inputs % 4)).to(torch.int8)
    packed = rounded.view(-(-outputs // group), group, -1, 4).transpose(1, 2).contiguous()
    scale, zero = steps * (largest / _STEPS), _ZERO * rounded.sum(dim=1, dtype=torch.int32)
    held = packed, added, scale, zero
    pointers = (tensor.data_ptr() for tensor in held)
    return Weights(_Weights(*pointers, rounded.size(1), outputs, largest), outputs, held)


def gate_order(hidden_size: int) -> Tensor:
    """Where each output of an `lstm` product comes from among gates (4H,) in the order of torch; -1 for padding.

    Groups of one vector each of input gate, forget gate, output gate and candidate, for the same units.
    """
    width = int(_native().width())
    units = torch.arange(-(-hidden_size // width) * width).view(-1, 1, width)
    first = torch.tensor([0, 1, 3, 2]).view(1, 4, 1) * hidden_size
    return (first + units).where(units < hidden_size, -1).flatten()


def gates(values: Tensor) -> Tensor:
    """What torch has by gate, (4H, ...), in the order of `gate_order`, with zeros for padding."""
    order = gate_order(len(values) // 4)
    return values.detach().float()[order].where((order >= 0).view(-1, *(1,) * (values.dim() - 1)), 0.0)


def product(weights: Weights, inputs: Sequence[Input], function: Function = "plain") -> Tensor:
    """function(x Wᵀ + b) (N, O) of inputs side by side. `exponential` is e²ˣ, finite and never zero."""
    count = _count(inputs[0])
    out = torch.empty(count, weights.outputs)
    _native().product(count, byref(weights.struct), _parts(inputs), len(inputs), _FUNCTIONS[function], out.data_ptr())
    return out


def lstm_step(
    weights: Weights, inputs: Sequence[Input], cell: Input, added: Input | None = None
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: inputs and last hidden state side by side, cell (N', H) → hidden and cell (N, H).

    The weights have their outputs in `gate_order`; so has `added` (V, O), of which a row is added to the gates.
    """
    before, rows = cell
    count, size = _count(cell), before.size(1)
    hidden, after = torch.empty(2, count, size).unbind()
    table, chosen = added or (None, None)
    _native().lstm_step(
        count,
        size,
        byref(weights.struct),
        _parts(inputs),
        len(inputs),
        _pointer(table),
        _pointer(chosen),
        before.data_ptr(),
        _pointer(rows),
        hidden.data_ptr(),
        after.data_ptr(),
    )
    return hidden, after


def lstm_sequence(weights: Weights, size: int, gates_in: Tensor, places: Tensor, out: Tensor, first: int) -> None:
    """Whole sentences from zero states (B, H), into the H = `size` features from `first` on of out (N, F).

    weights: of the hidden state alone, outputs in `gate_order`; gates_in (N, O): what the inputs add to them. Step t of
    sentence b is row places[t, b] of both; a negative one is behind its end.
    """
    pointers = gates_in.data_ptr(), places.data_ptr(), out[:, first:].data_ptr()
    _native().lstm_sequence(*places.shape, size, byref(weights.struct), *pointers, out.size(1))


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, score: str, factor: float, energy: Tensor, heads: int
) -> tuple[Tensor, Tensor]:
    """queries (N, A), keys (B, S, A), values (B, S, M), bias (B, S) → the context (N, M) and the weights (B, K, S).

    score: `none`; `dot`, factor · q·k; `additive`, factor · Σ energy tanh(q + k) but for a constant, of queries and
    keys that are e²ᵠ and e²ᵏ: tanh(q + k) = 1 - 2 / (1 + e²ᵠ e²ᵏ), and softmax ignores what is the same for all.
    """
    batch, places, memory = values.shape
    rows = len(queries) // batch
    context, weights = torch.empty(len(queries), memory), torch.empty(batch, rows, places)
    tensors = (queries, keys, energy, values, bias, context, weights)
    _native().attend(
        batch, rows, places, heads, keys.size(2), memory, _SCORES[score], factor, *(own.data_ptr() for own in tensors)
    )
    return context, weights


def log_softmax(logits: Tensor) -> Tensor:
    """Logits (N, V), overwritten by their log-probabilities."""
    _native().log_softmax(*logits.shape, logits.data_ptr())
    return logits


def best_extensions(log_probs: Tensor, totals: Tensor) -> tuple[Tensor, Tensor]:
    """The K best of the K · V sums totals (B, K) + log_probs (B, K, V), and their places; -inf at 0 beyond the last."""
    best, at = torch.empty(totals.shape), torch.empty(totals.shape, dtype=torch.long)
    tensors = log_probs.contiguous(), totals.contiguous(), best, at
    _native().best_extensions(*log_probs.shape, *(own.data_ptr() for own in tensors))
    return best, at


def _count(given: Input) -> int:
    values, rows = given
    return len(values) if rows is None else rows.numel()


def _parts(inputs: Sequence[Input]) -> object:
    parts = (_Part(values.data_ptr(), _pointer(rows), values.size(1)) for values, rows in inputs)
    return (_Part * len(inputs))(*parts)


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
