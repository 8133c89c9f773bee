"""Matrix products with weights that stay: packed once, in the layout and the precision that oneDNN multiplies fastest.

fp32 is exact. bf16 rounds inputs and weights to 8 bits of mantissa and adds up in fp32. int8 rounds weights to 255
steps a row of their own, and inputs, which must lie in [-1, 1], to 255 steps of that interval. The steps do not depend
on the other rows of a batch, as they would if they were fitted to each batch: a sentence's numbers are its own.
"""

from collections.abc import Callable
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Precision = Literal["fp32", "bf16", "int8"]
Product = Callable[[Tensor], Tensor]
"""(N, I) in fp32 → (N, O) in fp32."""

_STEPS = 127
_ZERO = 128


def pack(weight: Tensor, bias: Tensor | None, precision: Precision, bounded: bool = True) -> Product:
    """x ↦ x Wᵀ + b for a weight (O, I) and a bias (O,).

    bounded: inputs lie in [-1, 1], as LSTM and tanh outputs do. Others are multiplied in bf16 where int8 is asked for.
    """
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    if precision == "fp32":
        return _fp32(weight, bias)
    return _int8(weight, bias) if precision == "int8" and bounded else _bf16(weight, bias)


@cache
def available() -> tuple[Precision, ...]:
    """The precisions that torch can pack for this processor: those that come out right on an example."""
    inputs, weight = torch.linspace(-1, 1, 64).view(2, 32), torch.linspace(-1, 1, 512).view(16, 32)
    wanted = functional.linear(inputs, weight)
    found: list[Precision] = ["fp32"]
    for precision in ("bf16", "int8"):
        try:
            close = torch.allclose(pack(weight, None, precision)(inputs), wanted, atol=0.1)
        except (RuntimeError, AttributeError, NotImplementedError):
            continue
        found += [precision] if close else []
    return tuple(found)


def _fp32(weight: Tensor, bias: Tensor) -> Product:
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    except (RuntimeError, AttributeError):  # a torch without oneDNN, or a processor that it does not know
        return lambda inputs: functional.linear(inputs, weight, bias)
    return lambda inputs: _linear(inputs, packed, bias)


def _bf16(weight: Tensor, bias: Tensor) -> Product:
    packed, narrow = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16().contiguous(), None), bias.bfloat16()
    return lambda inputs: _linear(inputs.bfloat16(), packed, narrow).float()


def _linear(inputs: Tensor, packed: Tensor, bias: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, "none", [], "")
    return product


def _int8(weight: Tensor, bias: Tensor) -> Product:
    """Inputs as unsigned bytes with 128 for zero: oneDNN has no fast product of signed by signed."""
    scales = weight.abs().amax(dim=1).clamp_min(1e-12) / _STEPS
    rounded = (weight / scales.unsqueeze(1)).round().to(torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(rounded, None)
    zeros, half = torch.zeros(len(weight), dtype=torch.int32), torch.tensor(_ZERO + 0.5)

    def product(inputs: Tensor) -> Tensor:
        bytes_ = torch.add(half, inputs, alpha=_STEPS).to(torch.uint8)
        result: Tensor = torch.ops.onednn.qlinear_pointwise(
            bytes_, 1 / _STEPS, _ZERO, packed, scales, zeros, bias, 1.0, 0, torch.float32, "none", [], ""
        )
        return result

    return product
