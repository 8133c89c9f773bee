"""Which stepper decodes a model: packed in the precision that was asked for, or in the faster one of this machine."""

import logging
import math
import time
from typing import TYPE_CHECKING, Literal

import numpy as np

from nmt import kernels
from nmt.arrays import Arrays
from nmt.config import ModelConfig
from nmt.errors import ConfigError
from nmt.kernels import Precision
from nmt.runtime.packed import PackedStepper
from nmt.runtime.parts import Parts

if TYPE_CHECKING:
    from nmt.runtime.stepper import ModelStepper

PrecisionChoice = Literal["auto", "fp32", "int8"]

_ROWS = 80
_CLEARLY = 0.8
"""A product in int8 must take less than this share of the time to be worth its rounding."""

_log = logging.getLogger(__name__)


def new_stepper(
    config: ModelConfig, weights: Arrays, wanted: PrecisionChoice = "fp32"
) -> "PackedStepper | ModelStepper":
    """A stepper for a model, given by its weights; `auto` times a product in each precision and logs the choice.

    Raises `ConfigError` for a precision that cannot be had on this processor.
    """
    known = kernels.available() or ("fp32",)
    if wanted not in ("auto", *known):
        raise ConfigError(
            f"precision: {wanted!r} cannot be had on this processor; it has {', '.join(known)}, and auto picks one"
        )
    if not kernels.available():
        _log.warning("decoding without compiled kernels, several times slower: install a C compiler, then nmt again")
        return _in_torch(config, weights)
    return PackedStepper(config, weights, _faster(config, weights) if wanted == "auto" else wanted)


def _in_torch(config: ModelConfig, weights: Arrays) -> "ModelStepper":
    """Imported here, because torch takes a second to import and 200 MB, and nothing else that decodes needs it."""
    try:
        from nmt.model.seq2seq import Seq2Seq
        from nmt.runtime.stepper import ModelStepper
    except ModuleNotFoundError as error:
        raise ConfigError(
            "there is nothing to decode with, neither compiled kernels nor torch: install a C compiler, then nmt again"
        ) from error

    return ModelStepper(Seq2Seq.with_weights(config, weights))


def _faster(config: ModelConfig, weights: Arrays) -> Precision:
    """By the product with the output weights, the largest of a step: to pack all of it twice would slow down the
    start."""
    seconds = {precision: _seconds(config, weights, precision) for precision in kernels.available()}
    chosen: Precision = "int8" if seconds.get("int8", math.inf) < _CLEARLY * seconds["fp32"] else "fp32"
    measured = ", ".join(f"{precision} {taken * 1e3:.2f} ms" for precision, taken in seconds.items())
    _log.info("decoding in %s; the output layer takes for %d rows: %s", chosen, _ROWS, measured)
    return chosen


def _seconds(config: ModelConfig, weights: Arrays, precision: Precision) -> float:
    """Of one product, the best of some."""
    packed = kernels.pack(Parts(config, weights, precision).output(), None, precision)
    rows, best = np.zeros((_ROWS, config.embedding_size), np.float32), math.inf
    for _ in range(5):
        started = time.perf_counter()
        kernels.product(packed, rows)
        best = min(best, time.perf_counter() - started)
    return best
