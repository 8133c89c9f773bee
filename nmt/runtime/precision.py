"""Which stepper decodes a model: packed in the precision that was asked for, or in the fastest of this machine."""

import logging
import math
import time
from collections.abc import Callable
from typing import Literal

import torch

from nmt.errors import ConfigError
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.packed import PackedStepper
from nmt.runtime.products import Precision, available
from nmt.runtime.stepper import ModelStepper
from nmt.text.tokenizer import END

Wanted = Literal["auto", "fp32", "int8"]

_SENTENCES, _ROWS, _PIECES = 16, 5, 20
_CLEARLY = 0.9
"""A narrower precision must take less than this share of the time to be worth its rounding."""

_log = logging.getLogger(__name__)


def new_stepper(model: Seq2Seq, wanted: Wanted = "fp32") -> ModelStepper:
    """A stepper for a model as it is now; `auto` takes some steps in each precision and logs the choice.

    A model on another device than the CPU is stepped as it is. Raises `ConfigError` for a precision that torch cannot
    multiply in on this processor.
    """
    if next(model.parameters()).device.type != "cpu":
        return ModelStepper(model)
    if wanted == "auto":
        return _fastest(model)
    if wanted not in available():
        known = ", ".join(available())
        raise ConfigError(f"precision: {wanted!r} cannot be had on this processor; it has {known}, and auto picks one")
    return PackedStepper(model, wanted)


def _fastest(model: Seq2Seq) -> PackedStepper:
    seconds: dict[Precision, float] = {}
    for precision in available():
        stepper = PackedStepper(model, precision)  # takes the place, and the memory, of the one before
        seconds[precision] = _seconds(stepper)
    chosen: Precision = "int8" if seconds.get("int8", math.inf) < _CLEARLY * seconds["fp32"] else "fp32"
    measured = ", ".join(f"{precision} {taken * 1e3:.2f} ms" for precision, taken in seconds.items())
    _log.info("decoding in %s; a step of %d rows takes: %s", chosen, _SENTENCES * _ROWS, measured)
    return stepper if stepper.precision == chosen else PackedStepper(model, chosen)


@torch.inference_mode()
def _seconds(stepper: PackedStepper) -> float:
    """Of one step, the best of some."""
    state = stepper.start([[END] * _PIECES] * _SENTENCES)
    rows = torch.zeros(_SENTENCES, _ROWS, dtype=torch.long)
    state = stepper.select(state, torch.arange(_SENTENCES), rows)
    return min(_timed(lambda: stepper.step(rows, state)) for _ in range(8))


def _timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
