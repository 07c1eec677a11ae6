"""An ONNX graph with its constants, and who reads and writes a value."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from ..checkpoint import CheckpointError, UnsupportedLayerError
from .values import Array, Known, Spread, Value

__all__ = ["Graph", "GraphError", "attributes", "label", "plain", "refusal", "tensor_array"]
__all__ += ["value_name", "wanted"]


def label(node: Any) -> str:
    """A node for messages: its name, or what it writes, and its operator."""
    name = node.name or (node.output[0] if node.output else "?")
    return f"{name} ({node.op_type})"


def plain(domain: str) -> bool:
    """Whether operators of a domain are ONNX's own."""
    return domain in ("", "ai.onnx")


def attributes(node: Any) -> dict[str, Any]:
    """Attributes by name; text as str.

    Raises
    ------
    CheckpointError
        For an attribute without a type.
    """
    try:
        found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    except ValueError as error:
        raise CheckpointError(
            f"node {label(node)} has an attribute without a type: the file is damaged, export "
            "the model again"
        ) from error
    return {name: _text(value) for name, value in found.items()}


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return [_text(item) for item in value] if isinstance(value, list) else value


def value_name(node: Any, position: int) -> str:
    """Name of an input, empty where it is left out."""
    return str(node.input[position]) if position < len(node.input) else ""


def tensor_array(tensor: Any, name: str = "") -> Array:
    """The array of a tensor.

    Raises
    ------
    CheckpointError
        If its data does not fit its shape or type.
    """
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:  # The helper fails in any way where sizes contradict each other.
        raise CheckpointError(
            f"tensor {name or tensor.name} of shape {tuple(tensor.dims)} has other data than that: "
            "the file is damaged, export the model again"
        ) from error


class GraphError(UnsupportedLayerError):
    """A node that makes the graph something else than a network that can be read."""


def refusal(node: Any, what: str, mend: str) -> GraphError:
    """The error for a node that cannot be read."""
    return GraphError(f"node {label(node)}: {what}; {mend}")


def wanted(value: Value, node: Any, what: str) -> Array:
    """The array of a value that must be constant.

    Raises
    ------
    UnsupportedLayerError
        If it is not.
    """
    if isinstance(value, Known):
        return value.array
    if isinstance(value, Spread) and value.array.size == 1:
        return value.array.reshape(())
    raise refusal(
        node, f"its {what} is computed, not an initializer", "export with constant folding"
    )


class Graph:
    """Nodes in their order, with constant values by name.

    Parameters
    ----------
    nodes : list of onnx.NodeProto
        Each behind those it reads.
    constants : dict of str to array
        Initializers, and what nodes make of constants alone.
    origins : dict of str to set of str
        The initializers behind each of them.
    """

    def __init__(
        self, nodes: list[Any], constants: dict[str, Array], origins: dict[str, set[str]]
    ) -> None:
        self.nodes, self._constants, self._origins = nodes, constants, origins
        self._writers = {name: node for node in nodes for name in node.output if name}
        self._readers = Counter(name for node in nodes for name in node.input)
        self._used: set[str] = set()

    def rank(self, name: str) -> int:
        """Dimensions of a constant, -1 of anything else."""
        return self._constants[name].ndim if name in self._constants else -1

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
        array = self._constants[name]
        if array.dtype not in (np.float16, np.float32, np.float64):
            raise UnsupportedLayerError(
                f"node {label(node)}: its {what} {name} is of {array.dtype}; export the model in "
                "float32 before quantisation"
            )
        self._used |= self._origins[name]
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
        """Initializers of two or more dimensions, not all zero, that nobody has asked for."""
        own = [name for name, origins in self._origins.items() if origins == {name}]
        left = sorted(n for n in own if n not in self._used and self.rank(n) >= 2)
        return [n for n in left if np.any(self._constants[n])]
