"""Which stepper decodes a model: packed in the precision that was asked for, or in the faster one of this machine."""

import logging
import math
import time
from typing import Literal

import torch

from nmt import kernels
from nmt.errors import ConfigError
from nmt.kernels import Precision
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.packed import PackedStepper
from nmt.runtime.stepper import ModelStepper

Wanted = Literal["auto", "fp32", "int8"]

_ROWS = 80
_CLEARLY = 0.8
"""A product in int8 must take less than this share of the time to be worth its rounding."""

_log = logging.getLogger(__name__)


def new_stepper(model: Seq2Seq, wanted: Wanted = "fp32") -> ModelStepper | PackedStepper:
    """A stepper for a model as it is now; `auto` times a product in each precision and logs the choice.

    A model on another device than the CPU is stepped as it is, and so is every model where no kernels were compiled.
    Raises `ConfigError` for a precision that cannot be had on this processor.
    """
    if next(model.parameters()).device.type != "cpu":
        return ModelStepper(model)
    known = kernels.available() or ("fp32",)
    if wanted not in ("auto", *known):
        raise ConfigError(
            f"precision: {wanted!r} cannot be had on this processor; it has {', '.join(known)}, and auto picks one"
        )
    if not kernels.available():
        _log.warning("decoding without compiled kernels, several times slower: install a C compiler, then nmt again")
        return ModelStepper(model)
    return PackedStepper(model, _faster(model) if wanted == "auto" else wanted)


def _faster(model: Seq2Seq) -> Precision:
    """By the product with the output weights, the largest of a step: to pack all of it twice would slow down the
    start."""
    seconds = {precision: _seconds(model, precision) for precision in kernels.available()}
    chosen: Precision = "int8" if seconds.get("int8", math.inf) < _CLEARLY * seconds["fp32"] else "fp32"
    measured = ", ".join(f"{precision} {taken * 1e3:.2f} ms" for precision, taken in seconds.items())
    _log.info("decoding in %s; the output layer takes for %d rows: %s", chosen, _ROWS, measured)
    return chosen


@torch.inference_mode()
def _seconds(model: Seq2Seq, precision: Precision) -> float:
    """Of one product, the best of some."""
    weights = kernels.pack(model.output.weight, None, precision)
    rows, best = torch.zeros(_ROWS, model.config.embedding_size), math.inf
    for _ in range(5):
        started = time.perf_counter()
        kernels.product(weights, rows)
        best = min(best, time.perf_counter() - started)
    return best
