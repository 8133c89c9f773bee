"""Matrix products with weights that stay, as nodes of a graph.

fp32 is exact. int8 rounds weights to 255 steps a row of their own, and inputs, which must lie in [-1, 1], to 255 steps
of that interval. The steps do not depend on the other rows of a batch, as they would if they were fitted to each batch:
a sentence's numbers are its own.
"""

from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from nmt.runtime.graph import FLOAT, Graph, run

Precision = Literal["fp32", "int8"]

_STEPS = 127
_ZERO = 128
"""Inputs are unsigned bytes with 128 for zero: processors multiply unsigned by signed."""


def product(graph: Graph, inputs: str, weight: Tensor, bias: Tensor | None, precision: Precision) -> str:
    """x Wᵀ + b for x (N, I), a weight (O, I) and a bias (O,); for int8, x must lie in [-1, 1]."""
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    if precision == "fp32":
        return graph("Gemm", inputs, graph.constant(weight.T), graph.constant(bias))
    steps = (weight.abs().amax(dim=1) / _STEPS).clamp_min(1e-12)
    rounded = (weight / steps.unsqueeze(1)).round().to(torch.int8)
    added = (bias / steps * _STEPS).round().to(torch.int32)
    step, zero = graph.constant(1 / _STEPS), graph.constant(torch.tensor(_ZERO, dtype=torch.uint8))
    return graph(
        "QGemm",
        graph("QuantizeLinear", inputs, step, zero),
        step,
        zero,
        graph.constant(rounded.T),
        graph.constant(steps),
        graph.constant(torch.zeros(len(weight), dtype=torch.int8)),
        graph.constant(added),
        alpha=1.0,
    )


@cache
def available() -> tuple[Precision, ...]:
    """The precisions that come out right on this processor.

    Some without instructions for products of bytes add up in 16 bits, which large values overflow.
    """
    inputs, weight = torch.ones(2, 64), torch.ones(16, 64)
    graph = Graph()
    graph.output(product(graph, graph.input("x", FLOAT, [2, 64]), weight, None, "int8"))
    right = torch.allclose(run(graph.session(), {"x": inputs})[0], functional.linear(inputs, weight), atol=0.1)
    return ("fp32", "int8") if right else ("fp32",)
