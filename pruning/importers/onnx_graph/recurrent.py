"""LSTM and GRU nodes of ONNX: checks, what goes in and out, and torch's order of gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from ...reset_first import MARK, ResetFirstGRU
from ..checkpoint import CheckpointError, UnsupportedLayerError
from .graph import Graph, attributes, label, refusal, value_name, wanted
from .values import Affine, Array, Atom, Axis, Data, Dim, Known, Spread, Value, length

__all__ = ["Recurrent", "read_layer", "read_recurrent"]

# Position in ONNX's order of each of torch's gates: iofc -> ifgo, zrh -> rzn.
_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}
_ACTIVATIONS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}
_PEEPHOLES = 7
_STATES = {5: "initial_h", 6: "initial_c"}
_ZERO = "export with zero initial states (none given to the layer)"
_WHOLE = "export with whole sequences"


@dataclass(frozen=True, eq=False)
class Recurrent:
    """One layer, gates in ONNX's order.

    Parameters
    ----------
    node : onnx.NodeProto
        LSTM or GRU.
    weight : float array (directions, gates * H, X)
        ONNX's W.
    recurrence : float array (directions, gates * H, H)
        ONNX's R.
    bias : float array (directions, 2 * gates * H) or None
        Those of W, then those of R.
    """

    node: Any
    weight: Array
    recurrence: Array
    bias: Array | None

    @property
    def directions(self) -> int:
        """1, or 2 if bidirectional."""
        return int(self.weight.shape[0])

    @property
    def hidden(self) -> int:
        """Units H of one direction."""
        return int(self.recurrence.shape[2])

    @property
    def module(self) -> type[nn.LSTM] | type[nn.GRU]:
        """The module that computes it."""
        if self.node.op_type == "LSTM":
            return nn.LSTM
        return nn.GRU if attributes(self.node).get("linear_before_reset") else ResetFirstGRU

    def stacks_with(self, above: Recurrent) -> bool:
        """Whether one module can hold both, ``above`` on top."""
        alike = (above.module, above.directions, above.hidden, above.weight.shape[2])
        return alike == (
            self.module,
            self.directions,
            self.hidden,
            self.directions * self.hidden,
        )

    def tensors(self, layer: int, biased: bool) -> dict[str, Array]:
        """Parameters of this layer by torch's names; zero biases where only others have some."""
        found: dict[str, Array] = {}
        if self.module is ResetFirstGRU:
            found[MARK] = np.zeros((), np.uint8)
        for number in range(self.directions):
            end = f"_l{layer}" + ("_reverse" if number else "")
            found[f"weight_ih{end}"] = self._torch_order(self.weight[number])
            found[f"weight_hh{end}"] = self._torch_order(self.recurrence[number])
            if biased:
                ih, hh = np.split(self.full_bias()[number], 2)
                found[f"bias_ih{end}"] = self._torch_order(ih)
                found[f"bias_hh{end}"] = self._torch_order(hh)
        return found

    def full_bias(self) -> Array:
        """Biases (directions, 2 * gates * H), zero where the node has none."""
        shape = (self.directions, 2 * self.weight.shape[1])
        return np.zeros(shape, self.weight.dtype) if self.bias is None else self.bias

    def _torch_order(self, rows: Array) -> Array:
        order = _ORDER[self.node.op_type]
        gates = rows.reshape(len(order), self.hidden, *rows.shape[1:])
        return np.asarray(gates[list(order)].reshape(rows.shape))


def read_recurrent(graph: Graph, node: Any) -> Recurrent:
    """Read one LSTM or GRU node.

    Raises
    ------
    UnsupportedLayerError
        Naming the node and the attribute or input that torch has no equal for.
    CheckpointError
        For weights of impossible shapes.
    """
    weight = graph.constant(node, 1, "weight W")
    recurrence = graph.constant(node, 2, "weight R")
    return _checked(node, weight, recurrence, graph.constant(node, 3, "bias B"))


def _checked(
    node: Any, weight: Array | None, recurrence: Array | None, bias: Array | None
) -> Recurrent:
    """A layer of arrays that fit each other and the node's attributes; errors as above."""
    _refuse_attributes(node)
    if value_name(node, _PEEPHOLES):
        raise UnsupportedLayerError(
            f"node {label(node)}: peepholes (input P) have no equal in torch; train without them"
        )
    if weight is None or recurrence is None:
        raise CheckpointError(f"node {label(node)} lacks W or R: export the model again")
    layer = Recurrent(node, weight, recurrence, bias)
    _check_shapes(layer, attributes(node))
    return layer


def _refuse_attributes(node: Any) -> None:
    said, cell = attributes(node), node.op_type
    direction = said.get("direction", "forward")
    usual = _ACTIVATIONS[cell] * (2 if direction == "bidirectional" else 1)
    functions = [name.lower() for name in said.get("activations", usual)]
    refused = {
        f"direction={direction}": direction not in ("forward", "bidirectional"),
        f"clip={said.get('clip')}": "clip" in said,
        f"activations={','.join(functions)}": functions != usual,
        "input_forget=1": bool(said.get("input_forget")),
        f"layout={said.get('layout')}": said.get("layout", 0) != 0,
    }
    for what, wrong in refused.items():
        if wrong:
            raise UnsupportedLayerError(
                f"node {label(node)}: torch's {cell} has nothing like {what}; train and export "
                f"a plain {cell}"
            )


def _check_shapes(layer: Recurrent, said: dict[str, Any]) -> None:
    gates = len(_ORDER[layer.node.op_type])
    if layer.weight.ndim != 3 or layer.recurrence.ndim != 3 or not layer.recurrence.size:
        raise CheckpointError(
            f"node {label(layer.node)}: W has shape {layer.weight.shape} and R "
            f"{layer.recurrence.shape}, both must have three dimensions; export the model again"
        )
    hidden = int(said.get("hidden_size") or layer.recurrence.shape[-1])
    directions = 2 if said.get("direction") == "bidirectional" else 1
    rows = gates * hidden
    wanted = {
        "W": (layer.weight, (directions, rows, layer.weight.shape[-1])),
        "R": (layer.recurrence, (directions, rows, hidden)),
        "B": (layer.bias, (directions, 2 * rows)),
    }
    for name, (array, shape) in wanted.items():
        if array is not None and array.shape != shape:
            raise CheckpointError(
                f"node {label(layer.node)}: {name} has shape {array.shape}, must be {shape}; "
                "export the model again"
            )


def read_layer(
    node: Any, inputs: Sequence[Value | None], number: int
) -> tuple[Recurrent, list[Data]]:
    """The layer, with what scales its input folded in, and its outputs Y, Y_h and Y_c.

    Parameters
    ----------
    node : onnx.NodeProto
    inputs : sequence of Value or None
    number : int
        Of this layer, from 0.

    Raises
    ------
    UnsupportedLayerError
        Naming the node, for what :func:`.read_recurrent` refuses, ``sequence_lens``, initial
        states, and an input that is not all frames of the input or of the layer below.
    CheckpointError
        For weights of impossible shapes.
    """
    data = inputs[0]
    weight, recurrence, bias = (_weight(node, inputs, at) for at in (1, 2, 3))
    layer = _checked(node, weight, recurrence, bias)
    if not isinstance(data, Data):
        raise refusal(node, "does not read the network's input", "export it again")
    _check_input(node, data, layer)
    _refuse_lengths(node, inputs, length(data.axes[0]))
    _refuse_states(node, inputs, layer, length(data.axes[1]))
    outputs = _outputs(node, data, layer, number)
    return _folded(layer, data), outputs


def _weight(node: Any, inputs: Sequence[Value | None], at: int) -> Array | None:
    value = inputs[at] if at < len(inputs) else None
    if value is None:
        return None
    array = wanted(value, node, f"weight {'XWRB'[at]} {value_name(node, at)}")
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise refusal(
            node,
            f"its weight {'XWRB'[at]} {value_name(node, at)} is of {array.dtype}",
            "export the model in float32 before quantisation",
        )
    return array


def _check_input(node: Any, data: Data, layer: Recurrent) -> None:
    columns = layer.weight.shape[2]
    mend = "feed it all frames of the input, or of the layer below, with nothing between"
    if data.cell or data.stage == "head" or data.softmax or len(data.layers) > 1:
        raise refusal(node, "does not read the outputs of the layer below", mend)
    if len(data.axes) != 3:
        raise refusal(node, f"its input has {len(data.axes)} axes, not 3", mend)
    time, batch, units = data.axes
    if len(time) != 1 or len(batch) > 1:
        raise refusal(
            node,
            "its input has one frame only, or frames that cannot be told",
            "export the network with several frames, and batch and time as axes of their own",
        )
    if length(units) != columns:
        raise refusal(node, f"W has {columns} columns, its input {length(units)} units", mend)
    below = set(data.moments) == {"every"} and (time, batch) == (data.time, data.batch)
    if data.stage == "recurrent" and not (below and len(units) <= 2):
        raise refusal(node, "does not read all outputs of the layer below", mend)
    if [atom.name for atom in units] == ["unit", "direction"]:
        raise refusal(node, "reads units before directions", mend)
    if data.stage == "input" and len(units) > 1:
        raise refusal(node, "its units are several axes of the input", mend)
    if data.affine.along not in ((), units):
        raise refusal(node, f"{data.affine.nodes[-1]} before it scales by more than units", mend)


def _refuse_lengths(node: Any, inputs: Sequence[Value | None], frames: int | None) -> None:
    value = inputs[4] if len(inputs) > 4 else None
    if value is None:
        return
    if isinstance(value, Known) and frames is not None and (value.array == frames).all():
        return
    said = value.array.reshape(-1)[:3].tolist() if isinstance(value, Known) else "computed"
    raise refusal(node, f"sequence_lens {value_name(node, 4)} ({said})", _WHOLE)


def _refuse_states(
    node: Any, inputs: Sequence[Value | None], layer: Recurrent, batch: int | None
) -> None:
    for at, what in _STATES.items():
        value = inputs[at] if at < len(inputs) else None
        if value is None:
            continue
        named = f"{what} {value_name(node, at)}"
        if isinstance(value, Data):
            source = "an input of the graph" if value.stage == "input" else "computed"
            raise refusal(node, f"its {named} is {source}", _ZERO)
        if not isinstance(value, (Known, Spread)):
            raise refusal(node, f"its {named} is computed", _ZERO)
        if value.array.any():
            raise refusal(node, f"a constant {what} that is not zero is in no state dict", _ZERO)
        shape = value.array.shape if isinstance(value, Known) else value.shape
        _check_state(node, named, shape, (layer.directions, batch, layer.hidden))


def _check_state(
    node: Any, named: str, shape: Sequence[Dim] | None, right: tuple[int | None, ...]
) -> None:
    if shape is None:
        return
    pairs = zip(shape, right, strict=False)
    wrong = [a for a, b in pairs if isinstance(a, int) and b is not None and a != b]
    if len(shape) != 3 or wrong:
        told = tuple(dim if isinstance(dim, int) else "?" for dim in shape)
        meant = tuple("?" if dim is None else dim for dim in right)
        raise refusal(
            node,
            f"contradictory shapes: its {named} has {told}, W and R mean {meant}",
            "export again without proj_size",
        )


def _folded(layer: Recurrent, data: Data) -> Recurrent:
    affine: Affine = data.affine
    if affine.nothing:
        return layer
    kind, columns = layer.weight.dtype, layer.weight.shape[2]
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        weight = layer.weight.astype(np.float64)
    shift = weight @ np.broadcast_to(affine.shift, columns)
    bias = layer.full_bias().astype(np.float64)
    bias[:, : shift.shape[1]] += shift
    return replace(layer, weight=(weight * affine.scale).astype(kind), bias=bias.astype(kind))


def _outputs(node: Any, data: Data, layer: Recurrent, number: int) -> list[Data]:
    time, batch, _ = data.axes
    both = layer.directions == 2
    direction: Axis = (Atom("direction", 2),) if both else ()
    unit: Axis = (Atom("unit", layer.hidden),) if layer.hidden > 1 else ()
    every = Data(
        "recurrent",
        (time, direction, batch, unit),
        node,
        time=time,
        batch=batch,
        layers=(number,),
        directions=tuple(range(layer.directions)),
        moments=("every",) * layer.directions,
    )
    ends = ("last", "first")[: layer.directions]
    state = replace(every, axes=every.axes[1:], moments=ends)
    return [every, state, replace(state, cell=True)][: 2 + (node.op_type == "LSTM")]
