"""Constant scales and shifts on the way, kept until they are folded into weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .graph import attributes, label, refusal, wanted
from .values import Affine, Array, Axis, Data, Value, length

__all__ = ["arithmetic", "batch_norm", "scaled"]

_MEND = "leave it out, or do it outside of the network"


def arithmetic(node: Any, inputs: Sequence[Value | None]) -> Data:
    """Add, Sub, Mul or Div of values and a constant, or Neg.

    Raises
    ------
    UnsupportedLayerError
        If both come from the input, or the constant differs along more than one axis.
    """
    both = [value for value in inputs if isinstance(value, Data)]
    data = both[0]
    if node.op_type == "Neg":
        return scaled(node, data, np.array(-1.0), np.zeros(()), ())
    if len(both) == 2:
        raise refusal(node, "both its inputs come from the network's input", _MEND)
    first = isinstance(inputs[0], Data)
    other = inputs[1 if first else 0]
    assert other is not None  # checked against the operator's definition
    data, constant, along = _aligned(node, data, wanted(other, node, "other input"))
    if node.op_type == "Div" and not first:
        raise refusal(node, "a constant divided by values", _MEND)
    scale, shift = _as_affine(node.op_type, constant, first)
    return scaled(node, data, scale, shift, along)


def _as_affine(kind: str, constant: Array, first: bool) -> tuple[Array, Array]:
    one, zero = np.ones_like(constant), np.zeros_like(constant)
    if kind == "Mul":
        return constant, zero
    if kind == "Div":
        with np.errstate(all="ignore"):  # what is not finite is refused afterwards
            return one / constant, zero
    if kind == "Add":
        return one, constant
    return (one, -constant) if first else (-one, constant)


def _aligned(node: Any, data: Data, constant: Array) -> tuple[Data, Array, Axis]:
    """The constant without dimensions of size 1, and the axis that it goes along."""
    if not np.issubdtype(constant.dtype, np.floating):
        raise refusal(node, f"a constant of {constant.dtype}", _MEND)
    more = constant.ndim - len(data.axes)
    if more > 0:
        data = replace(data, axes=((),) * more + data.axes)
    offset = len(data.axes) - constant.ndim
    wide = [at for at, size in enumerate(constant.shape) if size != 1]
    if not wide:
        return data, constant.reshape(()).astype(np.float64), ()
    along = data.axes[offset + wide[0]]
    if len(wide) > 1 or length(along) != constant.shape[wide[0]]:
        raise refusal(
            node,
            f"a constant of shape {constant.shape}, which differs along more than units",
            _MEND,
        )
    return data, constant.reshape(-1).astype(np.float64), along


def scaled(node: Any, data: Data, scale: Array, shift: Array, along: Axis) -> Data:
    """Values with one more scale and shift along an axis, or everywhere."""
    before = data.affine
    if data.softmax:
        raise refusal(node, "arithmetic behind the softmax", _MEND)
    if data.moments and "mean" in data.moments and along == data.time:
        raise refusal(node, "a constant that differs from frame to frame", _MEND)
    if before.along and along and before.along != along:
        raise refusal(node, "scales along different axes", _MEND)
    with np.errstate(all="ignore"):
        new = Affine(
            np.asarray(before.scale * scale),
            np.asarray(before.shift * scale + shift),
            before.along or along,
            (*before.nodes, label(node)),
        )
    if not (np.isfinite(new.scale).all() and np.isfinite(new.shift).all()):
        raise refusal(node, "a scale or shift that is NaN or infinite", "train it to finite values")
    return replace(data, affine=new, node=node)


def batch_norm(node: Any, inputs: Sequence[Value | None]) -> Data:
    """BatchNormalization as it is in use, along the second axis."""
    data, said = inputs[0], attributes(node)
    if said.get("training_mode") or len([name for name in node.output if name]) > 1:
        raise refusal(node, "normalises by the batch, as in training", "export model.eval()")
    assert isinstance(data, Data)
    names = ("scale", "bias", "mean", "variance")
    gamma, beta, mean, variance = (
        wanted(value, node, name).astype(np.float64).reshape(-1)  # type: ignore[arg-type]
        for name, value in zip(names, inputs[1:5], strict=True)
    )
    axis = data.axes[1] if len(data.axes) > 1 else ()
    if len(data.axes) < 2 or any(len(v) != length(axis) for v in (gamma, beta, mean, variance)):
        raise refusal(node, f"{len(gamma)} channels do not fit its input", "export it again")
    with np.errstate(all="ignore"):  # what is not finite is refused
        scale = gamma / np.sqrt(variance + said.get("epsilon", 1e-5))
    shift = beta - mean * scale
    if not axis:
        return scaled(node, data, scale.reshape(()), shift.reshape(()), ())
    return scaled(node, data, scale, shift, axis)
