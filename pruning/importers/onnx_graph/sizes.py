"""Inputs of a graph: their sizes, which exporters compute shapes from, and whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from ..checkpoint import CheckpointError
from .graph import attributes, refusal, tensor_array
from .values import Atom, Axis, Computed, Data, Dim, Known, Sizes, Spread, Value, length

__all__ = ["MEND", "Tokens", "as_dims", "check_declared", "input_of", "integers_of", "numbers_of"]
__all__ += ["place_of", "range_of", "shape_of", "sizes_node", "spread_node"]

#: Of what is refused.
MEND = "only what leaves values as they are may stand on the way; train and export without it"
_LARGE = 1 << 31

_WHOLE = (
    TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16, TensorProto.INT32,
    TensorProto.INT64, TensorProto.BOOL, TensorProto.UINT32, TensorProto.UINT64,
)  # fmt: skip
# They leave whole numbers whole, on their way to a table.
_FORMS = (
    "Cast", "Concat", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
)  # fmt: skip
# They read lengths of sequences, or no values at all.
_OTHERS = ("LSTM", "GRU", "Shape")


def shape_of(node: Any, data: Data) -> Value:
    """The Shape of values that come from the input."""
    dims: list[Dim] = []
    for axis in data.axes:
        free = axis[0].name if len(axis) == 1 else None
        known = length(axis)
        dims.append(known if known is not None else (free, 0) if free else None)
    said = attributes(node)
    return _plain(dims[slice(said.get("start"), said.get("end"))])


def as_dims(value: Value) -> tuple[Dim, ...] | None:
    """Sizes that a value stands for; None if they cannot be known."""
    if isinstance(value, Sizes):
        return value.dims
    if isinstance(value, Known) and np.issubdtype(value.array.dtype, np.integer):
        return tuple(int(each) for each in value.array.reshape(-1))
    return None


def sizes_node(node: Any, inputs: Sequence[Value | None]) -> Value:
    """What a node makes of sizes, and of constants beside them."""
    if not inputs:
        return Computed()
    first, *rest = inputs
    dims = None if first is None else as_dims(first)
    kind = node.op_type
    if dims is None:
        return Computed()
    if kind in ("Identity", "Cast"):
        assert first is not None  # it has dims
        return first
    if kind in ("Squeeze", "Unsqueeze", "Reshape"):
        return _plain(dims, scalar=kind == "Squeeze" and len(dims) == 1)
    if kind == "Concat":
        parts = [None if each is None else as_dims(each) for each in inputs]
        every = [dim for part in parts if part is not None for dim in part]
        return Computed() if None in parts else _plain(every)
    arrays = [each.array for each in rest if isinstance(each, Known)]
    if kind == "Gather" and len(arrays) == 1:
        return _gathered(dims, arrays[0])
    if kind == "Slice" and arrays and len(arrays) == len([each for each in rest if each]):
        return _plain(dims[_slice(arrays)])
    if kind in ("Add", "Sub", "Mul") and len(rest) == 1 and rest[0] is not None:
        return _arithmetic(kind, first, dims, rest[0])
    return Computed()


def _plain(dims: Sequence[Dim], scalar: bool = False) -> Value:
    if all(isinstance(dim, int) for dim in dims):
        array = np.array(list(dims), np.int64)
        return Known(array.reshape(()) if scalar else array)
    return Sizes(tuple(dims), scalar)


def _gathered(dims: Sequence[Dim], indices: Any) -> Value:
    if not all(-len(dims) <= index < len(dims) for index in indices.reshape(-1).tolist()):
        return Computed()
    return _plain([dims[int(i)] for i in indices.reshape(-1)], scalar=indices.ndim == 0)


def _slice(arrays: Sequence[Any]) -> slice:
    start, stop = (int(each.reshape(-1)[0]) for each in arrays[:2])
    step = int(arrays[3].reshape(-1)[0]) if len(arrays) > 3 else 1
    return slice(start, stop, step or 1)


def _arithmetic(kind: str, first: Value | None, dims: Sequence[Dim], other: Value) -> Value:
    others = as_dims(other)
    if others is None or len(others) not in (1, len(dims)):
        return Computed()
    paired = zip(dims, others * (len(dims) // len(others) or 1), strict=False)
    scalar = isinstance(first, Sizes) and first.scalar
    return _plain([_computed(kind, a, b) for a, b in paired], scalar)


def _computed(kind: str, a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return {"Add": a + b, "Sub": a - b, "Mul": a * b}[kind]
    if isinstance(a, tuple) and isinstance(b, int):
        if kind == "Mul":
            return a if b == 1 else None
        return (a[0], a[1] + (b if kind == "Add" else -b))
    if isinstance(a, int) and isinstance(b, tuple) and kind != "Sub":
        return _computed(kind, b, a)
    return None


def spread_node(node: Any, inputs: Sequence[Value | None]) -> Value:
    """What a node makes of elements that are repeated to a shape that depends on the input."""
    first = inputs[0]
    if node.op_type == "Slice" and isinstance(first, Spread) and first.shape and len(inputs) > 3:
        axes, step = inputs[3], inputs[4] if len(inputs) > 4 else None
        if isinstance(axes, Known) and (step is None or isinstance(step, Known)):
            cut = {int(axis) % len(first.shape) for axis in axes.array.reshape(-1)}
            shape = tuple(None if at in cut else dim for at, dim in enumerate(first.shape))
            return Spread(first.array, shape)
    if node.op_type == "Expand" and isinstance(first, Known):
        dims = None if inputs[1] is None else as_dims(inputs[1])
        return Spread(first.array, _expanded(first.array.shape, dims))
    if node.op_type == "ConstantOfShape":
        value = attributes(node).get("value")
        fill = np.zeros(1, np.float32) if value is None else tensor_array(value, node.output[0])
        return Spread(fill, None if first is None else as_dims(first))
    arrays = [each.array.reshape(-1) for each in inputs[:1] if isinstance(each, Spread)]
    if node.op_type == "Concat":
        arrays = [e.array.reshape(-1) for e in inputs if isinstance(e, (Spread, Known))]
        if len(arrays) != len(inputs):
            return Computed()
    if node.op_type == "Cast" or not arrays:
        return Computed() if not arrays else Spread(arrays[0], None)
    return Spread(np.concatenate(arrays), None)


def _expanded(own: Sequence[int], dims: tuple[Dim, ...] | None) -> tuple[Dim, ...] | None:
    if dims is None or len(dims) < len(own):
        return None
    padded = (1,) * (len(dims) - len(own)) + tuple(own)
    return tuple(a if b == 1 else b for a, b in zip(padded, dims, strict=True))


def input_of(value: Any) -> Data:
    """An input of the graph; its dimensions of size 1 are no atoms."""
    _check_type(value)
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise CheckpointError(
            f"input {value.name} has no shape: export the network with one (free sizes "
            "may be names)"
        )
    axes: list[Axis] = []
    for at, dim in enumerate(kind.shape.dim):
        size = int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value > 0 else None
        axes.append(() if size == 1 else (Atom(f"{value.name}[{at}]", size),))
    return Data("input", tuple(axes))


def _check_type(value: Any) -> None:
    kind = value.type.tensor_type.elem_type
    if kind in (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16):
        raise CheckpointError(
            f"input {value.name} is {onnx.TensorProto.DataType.Name(kind).lower()}: export the "
            "network in float32, model.float()"
        )


def check_declared(node: Any, value: Any, found: Value) -> None:
    """Refuse a value whose shape the file says otherwise than it is."""
    kind = value.type.tensor_type
    if not isinstance(found, Data) or not kind.HasField("shape"):
        return
    said = [int(d.dim_value) if d.HasField("dim_value") else None for d in kind.shape.dim]
    real = [length(axis) for axis in found.axes]
    pairs = zip(said, real, strict=False)
    if len(said) != len(real) or any(a and b and a != b for a, b in pairs):
        told = [["?" if n is None else n for n in each] for each in (said, real)]
        raise refusal(
            node,
            f"contradictory shapes: the file says {told[0]} of {value.name}, it writes {told[1]}",
            "export the model again",
        )


@dataclass(eq=False)
class Tokens:
    """Names of values that are inputs of whole numbers, or another form of one.

    Parameters
    ----------
    names : dict of str to str
        The input behind each.
    """

    names: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Iterable[Any]) -> Tokens:
        """Those of a graph's inputs."""
        whole = [v.name for v in inputs if int(v.type.tensor_type.elem_type) in _WHOLE]
        return cls({name: name for name in whole})

    def follow(self, node: Any, inputs: Sequence[Value | None]) -> None:
        """Remember what a node makes of them.

        Raises
        ------
        UnsupportedLayerError
            Where they are looked up, or become numbers to compute with.
        """
        read = [self.names[name] for name in node.input if name in self.names]
        if not read or node.op_type in _OTHERS:
            return
        if node.op_type in _FORMS:
            self.names |= dict.fromkeys(filter(None, node.output), read[0])
            return
        table = inputs[0].array.shape if isinstance(inputs[0], Known) else ()
        looked_up = node.op_type == "Gather" and len(table) == 2
        what = f", looked up here in an embedding of {table[0]} x {table[1]}" if looked_up else ""
        width = table[1] if looked_up else "features"
        raise refusal(
            node,
            f"the input {read[0]} is whole numbers (tokens){what}, the accelerator takes frames of "
            "floats",
            f"export what is behind it, with (batch, frames, {width}) of float32 as its input, and "
            "give looked-up vectors as the frames of the data",
        )


def integers_of(
    node: Any, inputs: Sequence[Value | None], at: int, name: str
) -> tuple[Dim, ...] | None:
    """What newer operators take as an input and older ones as an attribute."""
    said = attributes(node).get(name)
    if said is not None:
        return tuple(int(each) for each in said)
    value = inputs[at] if at < len(inputs) else None
    if value is None:
        return None
    dims = as_dims(value)
    if dims is None:
        raise refusal(node, f"its {name} is computed", MEND)
    return dims


def numbers_of(node: Any, dims: Sequence[Dim]) -> list[int]:
    """Sizes that are all known."""
    numbers = [dim for dim in dims if isinstance(dim, int)]
    if len(numbers) < len(dims):
        raise refusal(node, "its axes are computed", MEND)
    return numbers


def place_of(node: Any, dim: Dim, axis: Axis) -> int:
    """A place as a number, from the end if it is negative."""
    if isinstance(dim, int):
        return dim
    if dim is not None and len(axis) == 1 and axis[0].name == dim[0] and dim[1] < 0:
        return dim[1]
    raise refusal(node, "takes places that are computed", MEND)


def range_of(node: Any, axis: Axis, start: Dim, end: Dim) -> tuple[int, int | None]:
    """Where a slice begins and how many it takes; None if it takes all."""
    size = length(axis)
    whole = isinstance(end, tuple) and end[1] >= 0 and len(axis) == 1 and axis[0].name == end[0]
    first = place_of(node, start, axis)
    stop = _LARGE if whole else place_of(node, end, axis)
    if size is not None:
        low, high, _ = slice(first, stop).indices(size)
        return (low, None) if (low, high) == (0, size) else (low, max(0, high - low))
    if stop >= _LARGE - 1:
        if first == 0:
            return 0, None
        if first < 0:
            return first, -first
    if 0 <= first < stop or first < stop < 0:
        return first, stop - first
    raise refusal(node, "takes part of what has no known size", MEND)
