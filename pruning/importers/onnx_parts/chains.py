"""Recurrent nodes of a graph that stand on each other, and the tensors on both sides of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import numpy_helper

from ..checkpoint import CheckpointError
from ..onnx_graph.graph import attributes, label

__all__ = ["Chain", "chains", "reached", "writers", "zero_states"]

_CELLS = ("LSTM", "GRU")
# What only arranges its first input.
_ARRANGING = ("Identity", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Cast", "Dropout")
_CHOOSING = (*_ARRANGING, "Concat", "Gather", "Slice", "Split")
_ZERO_KEEPING = (*_ARRANGING, "Slice", "Expand", "Gather")


@dataclass(frozen=True, eq=False)
class Chain:
    """Recurrent nodes, each on the one before.

    Parameters
    ----------
    nodes : tuple of onnx.NodeProto
    source : str
        The tensor that the first one reads.
    targets : tuple of str
        Those of the last one that are read, or are outputs.
    """

    nodes: tuple[Any, ...]
    source: str
    targets: tuple[str, ...]

    @property
    def words(self) -> str:
        """As the command line takes it."""
        return " ".join([f"--from {self.source}", *(f"--to {name}" for name in self.targets)])

    @property
    def told(self) -> str:
        """Its nodes and what chooses it."""
        return f"{', '.join(map(label, self.nodes))}: {self.words}"


def writers(graph: Any) -> dict[str, Any]:
    """The node that writes each tensor."""
    return {name: node for node in graph.node for name in node.output if name}


def chains(graph: Any) -> list[Chain]:
    """All of them, in the order of the graph."""
    wrote = writers(graph)
    above: dict[int, Any] = {}
    first = []
    for node in graph.node:
        if node.op_type in _CELLS:
            below = _below(node.input[0], wrote)
            if below is not None and id(below) not in above:
                above[id(below)] = node
            else:
                first.append(node)
    return [_chain(graph, node, above) for node in first]


def _chain(graph: Any, node: Any, above: dict[int, Any]) -> Chain:
    nodes = [node]
    while id(nodes[-1]) in above:
        nodes.append(above[id(nodes[-1])])
    return Chain(tuple(nodes), node.input[0], tuple(_targets(graph, nodes)))


def _targets(graph: Any, nodes: list[Any]) -> list[str]:
    """Outputs of the last node that are read; what is chosen of the states of all, if it is so."""
    lower = {name for node in nodes[:-1] for name in node.output[1:] if name}
    read = _read(graph, nodes, [])
    if not lower & read:
        return [name for name in nodes[-1].output if name and name in read]
    inside, made = _chosen(graph, nodes)
    read = _read(graph, nodes, made)
    return [name for name in inside if name in read]


def _read(graph: Any, chain: list[Any], but: list[Any]) -> set[str]:
    """What outputs depend on, as all but some nodes read it; initial states of a chain are none."""
    wrote, stack = writers(graph), [value.name for value in graph.output]
    read, seen = set(stack), set[int]()
    while stack:
        node = wrote.get(stack.pop())
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        own = any(node is each for each in chain)
        names = list(node.input[:1] if own else node.input)
        stack += names
        if not own and all(node is not each for each in but):
            read |= set(names)
    return read


def _chosen(graph: Any, nodes: list[Any]) -> tuple[list[str], list[Any]]:
    """What only arranges, joins and chooses of the outputs of some nodes, and the nodes that do."""
    fixed = {tensor.name for tensor in graph.initializer} | {""}
    inside, made = list[str](), list[Any]()
    for node in graph.node:
        if any(node is each for each in nodes):
            inside += [name for name in node.output if name]
        elif node.op_type == "Constant":
            fixed |= set(node.output)
        elif node.op_type in _CHOOSING and set() < set(node.input) - fixed <= set(inside):
            inside += node.output
            made.append(node)
    return inside, made


def _below(name: str, wrote: dict[str, Any]) -> Any:
    """The recurrent node whose outputs these are, arranged at most; None if there is none."""
    while name in wrote:
        node = wrote[name]
        if node.op_type in _CELLS:
            return node if name == node.output[0] else None
        if node.op_type not in _ARRANGING:
            return None
        name = node.input[0]
    return None


def reached(graph: Any, ends: list[str], stops: set[str]) -> tuple[list[Any], set[str]]:
    """Nodes that these tensors depend on, and what else they read, without going past others."""
    wrote, nodes, names = writers(graph), list[Any](), set[str]()
    stack = list(ends)
    while stack:
        name = stack.pop()
        if not name or name in names:
            continue
        names.add(name)
        if name not in stops and name in wrote:
            if all(wrote[name] is not node for node in nodes):
                nodes.append(wrote[name])
            stack += wrote[name].input
    return nodes, names


def zero_states(graph: Any, nodes: tuple[Any, ...]) -> None:
    """Leave initial states out that are zero whatever the sizes: they hang on the whole's input.

    Raises
    ------
    CheckpointError
        Naming one that is not: the part would begin elsewhere.
    """
    wrote = writers(graph)
    held = {tensor.name: tensor for tensor in graph.initializer}
    for node in nodes:
        for at, what in ((5, "initial_h"), (6, "initial_c")):
            name = node.input[at] if at < len(node.input) else ""
            if not name:
                continue
            if not _is_zero(name, wrote, held):
                raise CheckpointError(
                    f"node {label(node)}: its {what} {name} is not zero for sure: the array begins "
                    "at zero, so export it without, or leave this node to the host and cut another"
                )
            node.input[at] = ""


def _is_zero(name: str, wrote: dict[str, Any], held: dict[str, Any]) -> bool:
    if name in held:
        return not bool(np.any(numpy_helper.to_array(held[name])))
    node = wrote.get(name)
    if node is None:
        return False
    if node.op_type in ("Constant", "ConstantOfShape"):
        value = attributes(node).get("value")
        if value is None:
            return bool(node.op_type == "ConstantOfShape")
        return not bool(np.any(numpy_helper.to_array(value)))
    if node.op_type == "Concat":
        return all(_is_zero(each, wrote, held) for each in node.input)
    return node.op_type in _ZERO_KEEPING and _is_zero(node.input[0], wrote, held)
