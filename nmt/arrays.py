"""What the arrays of NumPy hold that the library passes around."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

Arrays = dict[str, NDArray[Any]]
"""The weights of a network by the names that `nmt.model.seq2seq.Seq2Seq.weights` gives them, as floats of any size."""
