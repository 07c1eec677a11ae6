"""The head of a network, Gemm or MatMul, a ReLU before each further one, the softmax behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .graph import attributes, refusal, wanted
from .values import Affine, Array, Atom, Data, Value, length

__all__ = ["Head", "finished", "read_head", "read_relu", "read_softmax"]

_UNITS = ("direction", "unit")
_ONE = (
    "only one recurrent module and linear layers on its output, with a ReLU between these, can be "
    "read"
)


@dataclass(frozen=True, eq=False)
class Head:
    """A linear layer on the output of a recurrent layer.

    Parameters
    ----------
    node : onnx.NodeProto
    weight : float array (outputs, inputs)
    bias : float array (outputs,) or None
    """

    node: Any
    weight: Array
    bias: Array | None


def read_head(node: Any, inputs: Sequence[Value | None]) -> tuple[Head, Data]:
    """Gemm or MatMul of values and a constant, on a recurrent layer or behind a ReLU.

    Raises
    ------
    UnsupportedLayerError
        If it stands elsewhere than on the outputs of one recurrent layer, or of a linear one and
        a ReLU.
    """
    data = inputs[0]
    if not isinstance(data, Data) or isinstance(inputs[1], Data):
        raise refusal(node, "its second input is no constant weight", _ONE)
    weight, bias = _matrix(node, inputs)
    _check_input(node, data, weight)
    weight, bias = _before(data.affine, weight, bias)
    classes = () if len(weight) == 1 else (Atom("class", len(weight)),)
    vector = node.op_type == "MatMul" and wanted(inputs[1], node, "weight").ndim == 1  # type: ignore[arg-type]
    axes = data.axes[:-1] if vector else (*data.axes[:-1], classes)
    done = replace(
        data, stage="head", axes=axes, affine=Affine(), node=node, linear=data.linear + 1,
        rectified=False,
    )  # fmt: skip
    return Head(node, weight, bias), done


def _matrix(node: Any, inputs: Sequence[Value | None]) -> tuple[Array, Array | None]:
    weight, said = wanted(inputs[1], node, "weight"), attributes(node)  # type: ignore[arg-type]
    if not np.issubdtype(weight.dtype, np.floating) or weight.ndim not in (1, 2):
        raise refusal(node, f"a weight of {weight.dtype} and shape {weight.shape}", _ONE)
    if node.op_type == "MatMul":
        return (weight.reshape(len(weight), -1).T, None)
    if said.get("transA"):
        raise refusal(node, "transA=1", "export nn.Linear")
    rows = weight if said.get("transB") else weight.T
    alpha, beta = said.get("alpha", 1.0), said.get("beta", 1.0)
    rows = rows if alpha == 1 else (rows * alpha).astype(weight.dtype)
    if len(inputs) < 3 or inputs[2] is None:
        return rows, None
    bias = wanted(inputs[2], node, "bias")
    if not np.issubdtype(bias.dtype, np.floating):
        raise refusal(node, f"a bias of {bias.dtype}", "export the float model")
    if bias.size not in (1, len(rows)) or bias.shape[-1:] not in ((), (1,), (len(rows),)):
        raise refusal(node, f"a bias of shape {bias.shape} on {len(rows)} outputs", _ONE)
    bias = bias if beta == 1 else (bias * beta).astype(bias.dtype)
    return rows, np.broadcast_to(bias.reshape(-1), len(rows))


def _check_input(node: Any, data: Data, weight: Array) -> None:
    if data.stage == "input":
        raise refusal(node, "a linear layer before the recurrent one", _ONE)
    if data.stage == "head" and not data.rectified:
        raise refusal(node, "a second linear layer on the first", _ONE)
    if data.cell:
        raise refusal(node, "takes the cell state of the LSTM, not its output", _ONE)
    whole = [atom.name for atom in data.axes[-1]] if data.axes else []
    if "layer" in whole or len(data.layers) > 1:
        raise refusal(node, "takes states of several layers", _ONE)
    others = {atom for axis in data.axes[:-1] for atom in axis} - {*data.time, *data.batch}
    size = length(data.axes[-1]) if data.axes else 0
    named = ("class",) if data.rectified else _UNITS
    if others or size != weight.shape[1] or whole != [n for n in named if n in whole]:
        raise refusal(node, f"its {weight.shape[1]} inputs are not the units of the layer", _ONE)
    if data.affine.along not in ((), data.axes[-1]):
        raise refusal(node, f"{data.affine.nodes[-1]} before it scales by more than units", _ONE)


def _before(affine: Affine, weight: Array, bias: Array | None) -> tuple[Array, Array | None]:
    """A layer on values that are not scaled, for one on scaled ones."""
    if affine.nothing:
        return weight, bias
    shift = weight.astype(np.float64) @ np.broadcast_to(affine.shift, weight.shape[1])
    new = shift + (0 if bias is None else bias)
    return (weight * affine.scale).astype(weight.dtype), new.astype(weight.dtype)


def finished(head: Head, data: Data) -> Head:
    """The head with what scales its outputs folded in."""
    affine = data.affine
    if affine.nothing:
        return head
    if affine.along and affine.along[0].name != "class":
        raise refusal(data.node, "scales logits by more than classes", "leave it out")
    count = len(head.weight)
    scale, shift = (np.broadcast_to(each, count) for each in (affine.scale, affine.shift))
    weight = head.weight if (scale == 1).all() else head.weight * scale[:, None]
    bias = shift + (0 if head.bias is None else scale * head.bias)
    kind = head.weight.dtype
    return replace(head, weight=weight.astype(kind), bias=bias.astype(kind))


def read_relu(node: Any, data: Data) -> Data:
    """A ReLU between two linear layers."""
    if data.stage != "head" or data.rectified:
        raise refusal(node, "Relu changes values", "only what stands behind a linear layer may")
    if data.softmax:
        raise refusal(node, "a ReLU behind a softmax", _ONE)
    return replace(data, affine=Affine(), node=node, rectified=True)


def read_softmax(node: Any, data: Data, opset: int) -> Data:
    """Softmax or LogSoftmax over the classes, at the end."""
    rank = len(data.axes)
    axis = int(attributes(node).get("axis", -1 if opset >= 13 else 1))
    over = (
        data.axes[axis:] if opset < 13 and 0 <= axis < rank else data.axes[axis : axis + 1 or None]
    )
    named = [atom.name for each in over for atom in each]
    if data.stage != "head" or data.rectified or data.softmax or named != ["class"]:
        raise refusal(node, "a softmax elsewhere than over the classes at the end", _ONE)
    name = "softmax" if node.op_type == "Softmax" else "log_softmax"
    return replace(data, softmax=name, node=node)
