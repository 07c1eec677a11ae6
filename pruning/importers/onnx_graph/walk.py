"""The way from a graph's input to its output, node by node."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..checkpoint import CheckpointError, UnsupportedLayerError
from . import layout
from .arithmetic import arithmetic, batch_norm
from .folding import FOLDED, Folder, constant_of
from .graph import attributes, label, plain, refusal, tensor_array
from .linear_head import Head, finished, read_head, read_relu, read_softmax
from .load import in_order, opset_of
from .recurrent import Recurrent, read_layer
from .sizes import (
    MEND,
    Tokens,
    as_dims,
    check_declared,
    input_of,
    integers_of,
    numbers_of,
    place_of,
    range_of,
    shape_of,
    sizes_node,
    spread_node,
)  # fmt: skip
from .values import Axis, Computed, Data, Known, Spread, Value, length

__all__ = ["Walk", "walk"]

_FLOATS = (1, 11)  # float32 and float64
Handler = Callable[["Walk", Any, Sequence[Value | None]], Sequence[Value]]


@dataclass(eq=False)
class Walk:
    """What has been met on the way.

    Parameters
    ----------
    opset : int
    folder : Folder
    values : dict of str to Value
    layers : list of Recurrent
        From the input on.
    head : Head or None
    hidden : list of Head
        Linear layers before it, each with what follows it up to its ReLU.
    relu : onnx.NodeProto or None
        The last one of them.
    folded : list of str
        Nodes whose scale or shift weights have taken up.
    root : Data or None
        What the first layer reads.
    nodes : list of onnx.NodeProto
        Those that outputs depend on, in order.
    tokens : Tokens
        Inputs that are whole numbers.
    """

    opset: int
    folder: Folder
    values: dict[str, Value]
    layers: list[Recurrent] = field(default_factory=list)
    head: Head | None = None
    hidden: list[Head] = field(default_factory=list)
    relu: Any = None
    folded: list[str] = field(default_factory=list)
    root: Data | None = None
    nodes: list[Any] = field(default_factory=list)
    tokens: Tokens = field(default_factory=Tokens)

    def visit(self, node: Any) -> None:
        """Find out what a node writes.

        Raises
        ------
        UnsupportedLayerError
            If that is not known.
        """
        inputs = [self.values[name] if name else None for name in node.input]
        try:
            found = list(self._outputs(node, inputs))
        except (CheckpointError, UnsupportedLayerError):
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # In a damaged file anything may contradict anything, in more ways than can be named.
            raise CheckpointError(
                f"node {label(node)}: its attributes and the shapes of its inputs contradict each "
                "other: the file is damaged, export the model again"
            ) from error
        found += [Computed()] * (len(node.output) - len(found))
        for name, value in zip(node.output, found, strict=False):
            if name:
                self.values[name] = value

    def _outputs(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        if not plain(node.domain):
            raise refusal(node, f"an operator of {node.domain}", MEND)
        if any(isinstance(value, Data) for value in inputs):
            self.tokens.follow(node, inputs)
            handler = _HANDLERS.get(node.op_type)
            if handler is None:
                raise refusal(node, f"{node.op_type} changes values", MEND)
            return handler(self, node, inputs)
        return self._without_data(node, inputs)

    def _without_data(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        kind = node.op_type
        if kind in ("LSTM", "GRU"):
            raise refusal(node, "does not read the network's input", "export it again")
        if kind == "Constant":
            return [Known(constant_of(node))]
        arrays = [value.array if isinstance(value, Known) else None for value in inputs]
        if kind == "Shape" and isinstance(inputs[0], Known):
            return [Known(np.array(inputs[0].array.shape, np.int64))]
        constant = all(v is None or isinstance(v, Known) for v in inputs)
        if kind in FOLDED and constant:
            return [Known(array) for array in self.folder.fold(node, arrays)]
        if kind in ("Expand", "ConstantOfShape"):
            return [self._filled(node, spread_node(node, inputs))]
        if any(isinstance(value, Spread) for value in inputs):
            return [spread_node(node, inputs)]
        return [sizes_node(node, inputs)]

    def _filled(self, node: Any, value: Value) -> Value:
        """A constant after all, if its shape is one; large ones stay unmade."""
        if not isinstance(value, Spread) or value.shape is None:
            return value
        shape = [dim for dim in value.shape if isinstance(dim, int) and dim >= 0]
        if len(shape) < len(value.shape) or math.prod(shape) > 1 << 16:
            return value
        self.folder.spend(node, math.prod(shape))
        return Known(np.broadcast_to(value.array, shape))

    # What follows are the nodes that may stand on the way.

    def same(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """Identity; Dropout, which is one in use; Cast to floats."""
        training = inputs[2] if node.op_type == "Dropout" and len(inputs) > 2 else None
        if training is not None and not (isinstance(training, Known) and not training.array.any()):
            raise refusal(node, "drops values, as in training", "export model.eval()")
        said = attributes(node)
        tokens = node.input[0] in self.tokens.names  # refused where they are used
        if node.op_type == "Cast" and said["to"] not in _FLOATS and not tokens:
            raise refusal(node, "a cast to other numbers than float32", MEND)
        return [_data(node, inputs)]

    def moved(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """Transpose, Squeeze, Unsqueeze, Reshape, Flatten."""
        data, said = _data(node, inputs), attributes(node)
        if node.op_type == "Transpose":
            order = said.get("perm", list(range(len(data.axes)))[::-1])
            return [layout.flip_axes(node, data, order)]
        if node.op_type == "Flatten":
            at = int(said.get("axis", 1))
            cut = len(data.axes) if at == len(data.axes) else layout.axis_at(node, data, at)
            return [_replaced(data, (_joined(data.axes[:cut]), _joined(data.axes[cut:])))]
        given = integers_of(node, inputs, 1, "axes" if node.op_type != "Reshape" else "shape")
        if node.op_type == "Reshape":
            return [layout.regroup(node, data, given or (), bool(said.get("allowzero")))]
        axes = None if given is None else numbers_of(node, given)
        if node.op_type == "Squeeze":
            return [layout.squeeze(node, data, axes)]
        return [layout.unsqueeze(node, data, axes or ())]

    def joined(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """Concat."""
        parts = [value for value in inputs if isinstance(value, Data)]
        if len(parts) < len(inputs):
            raise refusal(node, "puts constants beside values", MEND)
        return [layout.concatenate(node, parts, int(attributes(node)["axis"]))]

    def gathered(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """Gather of one place, or of places that follow each other."""
        data = inputs[0]
        if not isinstance(data, Data) or inputs[1] is None:
            raise refusal(node, "looks values up in a table (an embedding)", MEND)
        at = layout.axis_at(node, data, int(attributes(node).get("axis", 0)))
        dims = as_dims(inputs[1])
        known = inputs[1].array.ndim if isinstance(inputs[1], Known) else None
        scalar = getattr(inputs[1], "scalar", False) if known is None else known == 0
        if not dims or (known is not None and known > 1):
            raise refusal(node, "takes places that are computed", MEND)
        places = [place_of(node, dim, data.axes[at]) for dim in dims]
        if places != list(range(places[0], places[0] + len(places))):
            raise refusal(node, f"takes {places[:5]} in another order", MEND)
        return [layout.choose(node, data, at, places[0], len(places), keep=not scalar)]

    def sliced(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """Slice."""
        data = _data(node, inputs)
        starts = integers_of(node, inputs, 1, "starts") or ()
        ends = integers_of(node, inputs, 2, "ends") or ()
        axes = integers_of(node, inputs, 3, "axes")
        steps = integers_of(node, inputs, 4, "steps") or (1,) * len(starts)
        positions = numbers_of(node, range(len(starts)) if axes is None else axes)
        if not len(starts) == len(ends) == len(positions) == len(steps):
            raise refusal(node, "starts, ends, axes and steps of different lengths", MEND)
        for start, end, position, step in zip(starts, ends, positions, steps, strict=True):
            if step != 1:
                raise refusal(node, f"reverses or skips values (step {step})", MEND)
            at = layout.axis_at(node, data, position)
            first, count = range_of(node, data.axes[at], start, end)
            if count is not None:
                data = layout.choose(node, data, at, first, count, keep=True)
        return [data]

    def split(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """Split."""
        data, said = _data(node, inputs), attributes(node)
        at = layout.axis_at(node, data, int(said.get("axis", 0)))
        size, count = length(data.axes[at]), len(node.output)
        if size is None:
            raise refusal(node, "splits what has no known size", MEND)
        given = integers_of(node, inputs, 1, "split")
        each = -(-size // count)
        equal = [max(0, min(each, size - each * n)) for n in range(count)]
        sizes = equal if given is None else numbers_of(node, given)
        if sum(sizes) != size or len(sizes) != count or min(sizes) < 1:
            raise refusal(node, f"splits {size} into {sizes}", "the file is damaged")
        starts = np.cumsum([0, *sizes]).tolist()
        return [
            layout.choose(node, data, at, start, n, keep=True)
            for start, n in zip(starts, sizes, strict=False)
        ]

    def averaged(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """ReduceMean."""
        data, said = _data(node, inputs), attributes(node)
        if data.linear + data.rectified > 1:  # a mean of what a ReLU has made is another
            raise refusal(node, "averages frames behind a ReLU", "average them before the head")
        axes = integers_of(node, inputs, 1, "axes")
        over = range(len(data.axes)) if axes is None else numbers_of(node, axes)
        return [layout.pool_mean(node, data, list(over), bool(said.get("keepdims", 1)))]

    def layer(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """LSTM, GRU."""
        data, number = inputs[0], len(self.layers)
        if isinstance(data, Data):
            one = "only one recurrent module, layer upon layer, can be read"
            if number and data.layers != (number - 1,):
                above = label(self.layers[-1].node)
                raise refusal(node, f"stands beside {above}, not on it", one)
            if number and len(data.directions) != self.layers[-1].directions:
                raise refusal(node, "reads one direction of the layer below", one)
            self.root = self.root or data
        found, outputs = read_layer(node, inputs, number)
        self._fold(data)
        self.layers.append(found)
        return outputs

    def linear(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """Gemm, MatMul."""
        head, data = read_head(node, inputs)
        if self.head is not None or data.linear <= len(self.hidden):
            other = self.head or self.hidden[data.linear - 1]
            raise refusal(
                node,
                f"a second linear layer beside {label(other.node)}",
                "export the network with one head",
            )
        if len(data.directions) != self.layers[-1].directions:
            raise refusal(node, "takes one direction of the layer", "feed the head with both")
        self._fold(inputs[0])
        self.head = head
        return [data]

    def rectifier(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """Relu."""
        data = _data(node, inputs)
        done = read_relu(node, data)
        if self.head is None or data.linear != len(self.hidden) + 1:
            raise refusal(node, "a second ReLU on one linear layer", "export one head")
        self.hidden.append(finished(self.head, data))
        self.head, self.relu = None, node
        if np.any(data.affine.scale != 1):  # a shift alone is the layer's bias
            self._fold(data)
        return [done]

    def softmax(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """Softmax, LogSoftmax."""
        return [read_softmax(node, _data(node, inputs), self.opset)]

    def counted(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """Shape."""
        return [shape_of(node, _data(node, inputs))]

    def calculated(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """Arithmetic with constants."""
        return [arithmetic(node, inputs)]

    def normalised(self, node: Any, inputs: Sequence[Value | None]) -> Sequence[Value]:
        """BatchNormalization."""
        return [batch_norm(node, inputs)]

    def _fold(self, value: Value | None) -> None:
        if isinstance(value, Data) and not value.affine.nothing:
            self.folded += value.affine.nodes


_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("Identity", "Dropout", "Cast"), Walk.same),
    **dict.fromkeys(("Transpose", "Squeeze", "Unsqueeze", "Reshape", "Flatten"), Walk.moved),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Neg"), Walk.calculated),
    **dict.fromkeys(("LSTM", "GRU"), Walk.layer),
    **dict.fromkeys(("Gemm", "MatMul"), Walk.linear),
    **dict.fromkeys(("Softmax", "LogSoftmax"), Walk.softmax),
    "Relu": Walk.rectifier,
    "BatchNormalization": Walk.normalised,
    "Concat": Walk.joined,
    "Gather": Walk.gathered,
    "ReduceMean": Walk.averaged,
    "Shape": Walk.counted,
    "Slice": Walk.sliced,
    "Split": Walk.split,
}


def _data(node: Any, inputs: Sequence[Value | None]) -> Data:
    if not isinstance(inputs[0], Data):
        raise refusal(node, "takes values where it wants constants", MEND)
    return inputs[0]


def _replaced(data: Data, axes: tuple[Axis, ...]) -> Data:
    return replace(data, axes=axes)


def _joined(axes: Sequence[Axis]) -> Axis:
    return tuple(atom for axis in axes for atom in axis)


def walk(model: Any) -> Walk:
    """Follow a graph from its inputs to its outputs.

    Raises
    ------
    UnsupportedLayerError
        Naming the first node that is not known to leave values as they are.
    CheckpointError
        For a damaged file.
    """
    graph = model.graph
    constants = {tensor.name: tensor_array(tensor) for tensor in graph.initializer}
    for sparse in graph.sparse_initializer:
        raise CheckpointError(f"tensor {sparse.values.name} is sparse: export dense weights")
    held = sum(array.size for array in constants.values())
    values: dict[str, Value] = {name: Known(array) for name, array in constants.items()}
    for value in graph.input:
        values.setdefault(value.name, input_of(value))
    done = Walk(opset_of(model), Folder(opset_of(model), held), values)
    done.tokens = Tokens.of(v for v in graph.input if v.name not in constants)
    done.nodes = _needed(in_order(graph), {value.name for value in graph.output})
    read = {name for node in done.nodes for name in node.input}
    # Exporters leave the shapes of values that nobody reads as they happened to be.
    declared = {v.name: v for v in graph.value_info if v.name in read}
    declared |= {v.name: v for v in graph.output}
    for node in done.nodes:
        done.visit(node)
        for name in node.output:
            if name in declared:
                check_declared(node, declared[name], done.values[name])
    return done


def _needed(nodes: list[Any], names: set[str]) -> list[Any]:
    wanted, found = set(names), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            found.append(node)
    return found[::-1]
