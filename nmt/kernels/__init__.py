"""What is compiled: a decode step as one call, and what lies between the matrix products of training.

The C files are compiled when the project is installed, once for each kind of processor; `library` loads the best build
that this processor runs. Without a compiler there is none, and torch does all of it, several times slower.
"""

from nmt.kernels.builds import Precision, available
from nmt.kernels.decode import (
    Bidirectional,
    Cell,
    Encoder,
    Function,
    Layer,
    Network,
    Score,
    Scores,
    States,
    Weights,
    best_extensions,
    decode_step,
    encode,
    gates,
    pack,
    product,
)
from nmt.kernels.memory import Memory

__all__ = [
    "Bidirectional",
    "Cell",
    "Encoder",
    "Function",
    "Layer",
    "Memory",
    "Network",
    "Precision",
    "Score",
    "Scores",
    "States",
    "Weights",
    "available",
    "best_extensions",
    "decode_step",
    "encode",
    "gates",
    "pack",
    "product",
]
