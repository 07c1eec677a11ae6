"""Constants behind nodes that only change their form: computed once, within bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import helper
from onnx.reference import ReferenceEvaluator

from ..checkpoint import CheckpointError
from .graph import attributes, label, tensor_array
from .values import Array

__all__ = ["FOLDED", "Folder", "constant_of"]

_ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Pow", "Equal", "Where")
#: Types of nodes.
FOLDED = frozenset((
    "Cast", "Concat", "DequantizeLinear", "Flatten", "Gather", "Identity", "Neg", "Reciprocal",
    "Reshape", "Slice", "Split", "Sqrt", "Squeeze", "Transpose", "Unsqueeze", *_ELEMENTWISE,
))  # fmt: skip
# Elements that constants may become, at least, and as a multiple of what the file holds.
_LEAST, _TIMES = 1 << 22, 4


class Folder:
    """Computes constants from constants.

    Parameters
    ----------
    opset : int
    held : int
        Elements of all initializers: what is made of them is bounded by it.
    """

    def __init__(self, opset: int, held: int) -> None:
        self.opset = opset
        self.left = max(_LEAST, _TIMES * held)

    def fold(self, node: Any, inputs: Sequence[Array | None]) -> list[Array]:
        """Outputs of a node of :data:`FOLDED`.

        Raises
        ------
        CheckpointError
            If its inputs do not fit it, or would grow beyond any use.
        """
        try:
            self.spend(node, _elements(node, inputs))
            return self._run(node, inputs)
        except CheckpointError:
            raise
        except Exception as error:  # The evaluator fails in any way on inputs that do not fit.
            shapes = [None if each is None else each.shape for each in inputs]
            raise CheckpointError(
                f"node {label(node)} cannot be computed from constants of shapes {shapes}: export "
                "the model again, with constant folding"
            ) from error

    def spend(self, node: Any, elements: int) -> None:
        """Count elements of a new constant."""
        self.left -= elements
        if self.left < 0:
            raise CheckpointError(
                f"node {label(node)}: its constants grow to {elements} elements, more than the "
                "file has weights for: export the model again"
            )

    def _run(self, node: Any, inputs: Sequence[Array | None]) -> list[Array]:
        if node.op_type == "Identity":
            return [np.asarray(inputs[0])]
        if node.op_type == "DequantizeLinear":
            return [_dequantised(node, inputs)]
        named = {n: each for n, each in zip(node.input, inputs, strict=True) if each is not None}
        graph = helper.make_graph(
            [node],
            "constants",
            [_info(name, each) for name, each in named.items()],
            [helper.make_empty_tensor_value_info(name) for name in node.output if name],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        return [np.asarray(each) for each in ReferenceEvaluator(model).run(None, named)]


def constant_of(node: Any) -> Array:
    """What a Constant node holds.

    Raises
    ------
    CheckpointError
        For text, or a sparse value.
    """
    ((name, value),) = attributes(node).items()
    if name == "value":
        return tensor_array(value, node.output[0])
    if name in ("value_float", "value_floats"):
        return np.asarray(value, np.float32)
    if name in ("value_int", "value_ints"):
        return np.asarray(value, np.int64)
    raise CheckpointError(
        f"node {label(node)}: its {name} is no dense tensor of numbers; export dense weights"
    )


def _dequantised(node: Any, inputs: Sequence[Array | None]) -> Array:
    """Of every opset; the evaluator knows those from 19 on."""
    values, scale, *zero = inputs
    assert values is not None
    assert scale is not None
    along = [1] * values.ndim
    if scale.size > 1:
        along[int(attributes(node).get("axis", 1))] = scale.size
    levels = values.astype(np.int64)
    if zero and zero[0] is not None:
        levels = levels - zero[0].astype(np.int64).reshape(along)
    return np.asarray(levels * scale.reshape(along), scale.dtype)


def _info(name: str, array: Array) -> Any:
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
    )


def _elements(node: Any, inputs: Sequence[Array | None]) -> int:
    arrays = [each for each in inputs if each is not None]
    if node.op_type in _ELEMENTWISE:
        return math.prod(np.broadcast_shapes(*(each.shape for each in arrays)))
    if node.op_type == "Gather":
        data, indices = arrays[:2]
        axis = int(attributes(node).get("axis", 0))
        return int(data.size * indices.size // max(1, data.shape[axis]))
    return sum(each.size for each in arrays)
