"""A computation written down node by node, for ONNX Runtime to run as one call."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

_OPSET, _CONTRIBUTED = 17, "com.microsoft"
_IR_VERSION = 9

Array = NDArray[Any]
FLOAT, INTEGER, SHORT = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32


class Graph:
    """Nodes in the order in which they are run; a call adds one and gives the name of what it computes."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[Any] = []
        self._outputs: list[str] = []

    def input(self, name: str, kind: int, shape: Sequence[int | str]) -> str:
        """What each run is given; sizes that may change have names."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, value: Tensor | Array | float | Sequence[int]) -> str:
        """A value that stays. Numbers become float32, sequences of integers int64."""
        if isinstance(value, Tensor):
            array = value.detach().numpy()
        else:
            array = np.asarray(value, dtype=np.float32 if isinstance(value, float) else None)
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), f"c{len(self._constants)}"))
        return str(self._constants[-1].name)

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output."""
        return self.split(kind, *inputs, parts=1, **attributes)[0]

    def split(self, kind: str, *inputs: str, parts: int, **attributes: Any) -> list[str]:
        """A node with several outputs."""
        names = [f"n{len(self._nodes)}.{part}" for part in range(parts)]
        domain = _CONTRIBUTED if kind == "QGemm" else ""
        self._nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names

    def output(self, *names: str) -> None:
        """What a run gives, in this order."""
        self._outputs += names

    def session(self) -> onnxruntime.InferenceSession:
        """The graph, ready to run, with as many threads as torch has now."""
        outputs = [helper.make_empty_tensor_value_info(name) for name in self._outputs]
        graph = helper.make_graph(self._nodes, "nmt", self._inputs, outputs, self._constants)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIBUTED, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def normalized(graph: Graph, norm: nn.Module, vectors: str) -> str:
    """What a layer normalization makes of vectors (..., F); without one, the vectors."""
    if not isinstance(norm, nn.LayerNorm):
        return vectors
    weight, bias = graph.constant(norm.weight), graph.constant(norm.bias)
    return graph("LayerNormalization", vectors, weight, bias, epsilon=norm.eps)


def run(session: onnxruntime.InferenceSession, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """The outputs for these inputs, without copies."""
    found = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return [torch.from_numpy(array) for array in found]
