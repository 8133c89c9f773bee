"""The compiled part of a training update: what lies between its matrix products, fused.

Tensors are float32 or bfloat16 on the CPU; all is worked out in float32. Elsewhere, and where nothing was compiled,
torch does the same in more steps: `usable` says which.
"""

from ctypes import CDLL, c_float, c_int, c_int64, c_void_p
from functools import cache

import torch
from torch import Tensor

from nmt.kernels.builds import library

_NARROW = {torch.float32: 0, torch.bfloat16: 1}

_ARGUMENTS = {
    "lstm_forward": (*(c_int64,) * 5, c_int, *(c_void_p,) * 3),
    "lstm_backward": (*(c_int64,) * 5, c_int, *(c_void_p,) * 6),
    "additive_forward": (*(c_int64,) * 5, c_int, *(c_void_p,) * 4),
    "additive_backward": (*(c_int64,) * 5, c_int, *(c_void_p,) * 7),
    "cross_entropy": (*(c_int64,) * 2, c_int, c_void_p, c_void_p, c_float, *(c_void_p,) * 2),
    "drop": (c_int64, c_int, c_void_p, c_void_p, c_int, c_float, c_void_p),
}


@cache
def _native() -> CDLL | None:
    loaded = library()
    if loaded:
        for function, arguments in _ARGUMENTS.items():
            getattr(loaded, function).argtypes, getattr(loaded, function).restype = arguments, None
    return loaded


def usable(*tensors: Tensor) -> bool:
    """Whether there are kernels for these tensors: of one type that they know, and on the CPU."""
    first, *others = tensors
    known = first.dtype in _NARROW and all(own.dtype == first.dtype for own in others)
    return known and all(own.device.type == "cpu" for own in tensors) and _native() is not None


def lstm_forward(gates: Tensor, cells: Tensor, hiddens: Tensor, step: int) -> None:
    """One step of D LSTMs, from what goes into its gates, in the order input, forget, cell, output.

    gates (D, T, B, 4H) get their nonlinearity at the step; cells, float32, and hiddens (D, T + 1, B, H) at the step
    lead to those after it.
    """
    _call("lstm_forward", *_shape(gates), step, _NARROW[gates.dtype], gates, cells, hiddens)


def lstm_backward(
    into_outputs: Tensor,
    from_next: Tensor,
    gates: Tensor,
    cells: Tensor,
    into_gates: Tensor,
    into_cell: Tensor,
    step: int,
) -> None:
    """The way back through `lstm_forward`: fills into_gates (D, T, B, 4H), before their nonlinearity, at the step.

    into_outputs (D, T, B, H); from_next and into_cell, float32, (D, B, H): the gradients of hidden and cell state after
    the step, of which into_cell becomes that of the state before it.
    """
    tensors = into_outputs, from_next, gates, cells, into_gates, into_cell
    _call("lstm_backward", *_shape(gates), step, _NARROW[gates.dtype], *tensors)


def additive_forward(queries: Tensor, keys: Tensor, energy: Tensor, heads: int) -> Tensor:
    """Σ energy tanh(query + key) of each head: (B, T, A), (B, S, A), float32 (A) → float32 (B, heads, T, S)."""
    (batch, rows, size), places = queries.shape, keys.size(1)
    scores = torch.empty(batch, heads, rows, places)
    sizes = batch, rows, places, heads, size
    _call("additive_forward", *sizes, _NARROW[queries.dtype], queries, keys, energy, scores)
    return scores


def additive_backward(into_scores: Tensor, queries: Tensor, keys: Tensor, energy: Tensor) -> tuple[Tensor, ...]:
    """The gradients of queries, keys and, each sentence by itself, energy (B, A) from those of the scores, float32."""
    (batch, rows, size), places = queries.shape, keys.size(1)
    into = torch.empty_like(queries), torch.empty_like(keys), torch.empty(batch, size)
    sizes = batch, rows, places, into_scores.size(1), size
    _call("additive_backward", *sizes, _NARROW[queries.dtype], into_scores, queries, keys, energy, *into)
    return into


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """logits (N, V), targets (N,) → logits and log-probabilities (N,) of the targets, float32.

    The logits become the gradient of their cross-entropy with that much label smoothing.
    """
    of_targets, log_probs = torch.empty(2, len(targets)).unbind()
    tensors = of_targets, log_probs
    _call("cross_entropy", *logits.shape, _NARROW[logits.dtype], logits, targets, smoothing, *tensors)
    return of_targets, log_probs


def drop(values: Tensor, random_bytes: Tensor, dropped: int, scale: float) -> Tensor:
    """The values times the scale where their byte is not below `dropped`, and zero elsewhere."""
    kept = torch.empty_like(values)
    _call("drop", values.numel(), _NARROW[values.dtype], values, random_bytes, dropped, scale, kept)
    return kept


def _shape(gates: Tensor) -> tuple[int, int, int, int]:
    """D, T, B and H."""
    directions, steps, batch, outputs = gates.shape
    return directions, steps, batch, outputs // 4


def _call(function: str, *arguments: Tensor | float) -> None:
    """Tensors go by their address and must be dense."""
    getattr(_native(), function)(*(own.data_ptr() if isinstance(own, Tensor) else own for own in arguments))
