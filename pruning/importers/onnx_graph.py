"""An ONNX graph with its constants, and who reads and writes a value."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from .checkpoint import UnsupportedLayerError

__all__ = ["Array", "Graph", "attributes", "label", "value_name"]

Array = npt.NDArray[Any]


def label(node: Any) -> str:
    """A node for messages: its name, or what it writes, and its operator."""
    return f"{node.name or (node.output[0] if node.output else '?')} ({node.op_type})"


def attributes(node: Any) -> dict[str, Any]:
    """Attributes by name; text as str."""
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {name: _text(value) for name, value in found.items()}


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return [_text(item) for item in value] if isinstance(value, list) else value


def value_name(node: Any, position: int) -> str:
    """Name of an input, empty where it is left out."""
    return str(node.input[position]) if position < len(node.input) else ""


class Graph:
    """Nodes in their order, with constant values by name.

    Parameters
    ----------
    graph : onnx.GraphProto
        With its external data loaded.
    """

    def __init__(self, graph: Any) -> None:
        self.nodes = list(graph.node)
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t
        self._writers = {name: node for node in self.nodes for name in node.output if name}
        self._readers = Counter(name for node in self.nodes for name in node.input)
        self._used: set[str] = set()

    def holds(self, name: str) -> bool:
        """Whether a value is constant."""
        return name in self._constants

    def rank(self, name: str) -> int:
        """Dimensions of a constant, -1 of anything else."""
        return len(self._constants[name].dims) if name in self._constants else -1

    def constant(self, node: Any, position: int, what: str) -> Array | None:
        """A constant input of a node; None if it is left out.

        Raises
        ------
        UnsupportedLayerError
            If the value is computed, or not of floats.
        """
        name = value_name(node, position)
        if not name:
            return None
        if name not in self._constants:
            raise UnsupportedLayerError(
                f"node {label(node)}: its {what} {name} is computed, not an initializer; export "
                "the float model with constant folding"
            )
        array = np.asarray(numpy_helper.to_array(self._constants[name]))
        if array.dtype not in (np.float16, np.float32, np.float64):
            raise UnsupportedLayerError(
                f"node {label(node)}: its {what} {name} is of {array.dtype}; export the model in "
                "float32 before quantisation"
            )
        self._used.add(name)
        return array

    def producer(self, name: str, through: set[str]) -> Any:
        """The node that computes a value, looking through some operators; None for inputs."""
        node = self._writers.get(name)
        while node is not None and node.op_type in through:
            name = node.input[0]
            node = self._writers.get(name)
        first = node is not None and node.output[0] == name
        return node if first else None

    def readers(self, name: str) -> int:
        """How many inputs take a value."""
        return self._readers[name]

    def consumers(self, name: str) -> list[Any]:
        """Nodes that read a value, in order."""
        return [node for node in self.nodes if name in node.input]

    def unused(self) -> list[str]:
        """Constants of two or more dimensions, not all zero, that nobody has asked for."""
        left = sorted(n for n in self._constants if n not in self._used and self.rank(n) >= 2)
        return [n for n in left if np.any(numpy_helper.to_array(self._constants[n]))]
