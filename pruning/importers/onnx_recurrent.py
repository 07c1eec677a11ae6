"""LSTM and GRU nodes of ONNX: checks, and the way from ONNX's gate order to torch's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .checkpoint import CheckpointError, UnsupportedLayerError
from .onnx_graph import Array, Graph, attributes, label, value_name

__all__ = ["Recurrent", "read_recurrent"]

# Position in ONNX's order of each of torch's gates: iofc -> ifgo, zrh -> rzn.
_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}
_ACTIVATIONS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}
_PEEPHOLES = 7


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

    def stacks_with(self, above: Recurrent) -> bool:
        """Whether torch can hold both in one module, ``above`` on top."""
        alike = (above.node.op_type, above.directions, above.hidden, above.weight.shape[2])
        return alike == (
            self.node.op_type,
            self.directions,
            self.hidden,
            self.directions * self.hidden,
        )

    def tensors(self, layer: int, biased: bool) -> dict[str, Array]:
        """Torch's parameters of this layer; zero biases where only other layers have some."""
        found: dict[str, Array] = {}
        for number in range(self.directions):
            end = f"_l{layer}" + ("_reverse" if number else "")
            found[f"weight_ih{end}"] = self._torch_order(self.weight[number])
            found[f"weight_hh{end}"] = self._torch_order(self.recurrence[number])
            if biased:
                ih, hh = np.split(self._bias()[number], 2)
                found[f"bias_ih{end}"] = self._torch_order(ih)
                found[f"bias_hh{end}"] = self._torch_order(hh)
        return found

    def _bias(self) -> Array:
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
    _refuse_attributes(node)
    _refuse_inputs(graph, node)
    weight = graph.constant(node, 1, "weight W")
    recurrence = graph.constant(node, 2, "weight R")
    if weight is None or recurrence is None:
        raise CheckpointError(f"node {label(node)} lacks W or R: export the model again")
    layer = Recurrent(node, weight, recurrence, graph.constant(node, 3, "bias B"))
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
        "linear_before_reset=0": cell == "GRU" and not said.get("linear_before_reset"),
    }
    for what, wrong in refused.items():
        if wrong:
            raise UnsupportedLayerError(
                f"node {label(node)}: torch's {cell} has nothing like {what}; train and export "
                f"a plain {cell}"
            )


def _refuse_inputs(graph: Graph, node: Any) -> None:
    if value_name(node, _PEEPHOLES):
        raise UnsupportedLayerError(
            f"node {label(node)}: peepholes (input P) have no equal in torch; train without them"
        )
    for position, what in ((5, "initial_h"), (6, "initial_c")):
        name = value_name(node, position)
        start = graph.constant(node, position, what) if graph.holds(name) else None
        if start is not None and start.any():
            raise UnsupportedLayerError(
                f"node {label(node)}: a constant {what} that is not zero is in no state dict; "
                "export with zero initial states"
            )


def _check_shapes(layer: Recurrent, said: dict[str, Any]) -> None:
    gates = len(_ORDER[layer.node.op_type])
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
