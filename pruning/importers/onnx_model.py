"""Weights of an ONNX model under torch's names: LSTM, GRU and linear nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor

from .checkpoint import CheckpointError, UnsupportedLayerError
from .onnx_graph import Graph, label
from .onnx_linear import linear_tensors
from .onnx_recurrent import Recurrent, read_recurrent

__all__ = ["read_onnx"]

_CELLS = ("LSTM", "GRU")
# What torch puts between two layers of one nn.LSTM.
_NO_ARITHMETIC = {"Transpose", "Reshape", "Squeeze", "Identity", "Dropout"}


def read_onnx(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Read the weights of every LSTM, GRU, Gemm and MatMul node.

    LSTM nodes that feed each other become the layers of one stacked ``nn.LSTM``. Gates
    change from ONNX's order (LSTM: iofc, GRU: zrh) to torch's (ifgo, rzn).

    Parameters
    ----------
    path : Path
        A model; weights must be initializers or constants, also in external data.

    Returns
    -------
    dict of str to Tensor
        A state dict.
    list of str
        Notes on matrices that no such node uses.

    Raises
    ------
    CheckpointError
        For a damaged file.
    UnsupportedLayerError
        Naming the node of what torch has no equal for: peepholes, clipping, other
        activations, input_forget, a lone reverse direction, quantised or computed weights.
    """
    graph = Graph(_load(path).graph)
    _refuse_hidden_cells(graph)
    layers = [read_recurrent(graph, node) for node in graph.nodes if node.op_type in _CELLS]
    tensors: dict[str, Tensor] = {}
    for prefix, stack in _named(_stacks(graph, layers)):
        for number, layer in enumerate(stack):
            biased = any(each.bias is not None for each in stack)
            for name, array in layer.tensors(number, biased).items():
                tensors[prefix + name] = torch.from_numpy(array.copy())
    for name, array in linear_tensors(graph, set(tensors)).items():
        tensors[name] = torch.from_numpy(array.copy())
    notes = [f"{name}: no LSTM, GRU or linear node uses it, left out" for name in graph.unused()]
    return tensors, notes


def _load(path: Path) -> Any:
    try:
        model = onnx.load(str(path))
    except Exception as error:  # A damaged file makes the reader fail in any way.
        raise CheckpointError(
            f"{path} is neither a state dict nor a readable ONNX model: export it again ({error})"
        ) from error
    if not model.graph.node:
        raise CheckpointError(
            f"{path} holds no ONNX graph: give a state dict or export the model to ONNX again"
        )
    return model


def _refuse_hidden_cells(graph: Graph) -> None:
    """No cell may be left out silently: neither another kind, nor one in a loop's body."""
    for node, inner in _every_node(graph.nodes):
        known = node.op_type in _CELLS and node.domain in ("", "ai.onnx")
        cell = any(word in node.op_type for word in (*_CELLS, "RNN"))
        if cell and (inner or not known):
            where = " in the body of another node" if inner else ""
            raise UnsupportedLayerError(
                f"node {label(node)}{where}: only LSTM and GRU nodes of the main graph can be "
                "imported; export the float model without loops and before quantisation"
            )


def _every_node(nodes: Any, inner: bool = False) -> Iterator[tuple[Any, bool]]:
    for node in nodes:
        yield node, inner
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from _every_node(body.node, inner=True)


def _stacks(graph: Graph, layers: list[Recurrent]) -> list[list[Recurrent]]:
    """Group layers that torch would hold in one module; each list is in order."""
    stacks: list[list[Recurrent]] = []
    for layer in layers:
        below = graph.producer(layer.node.input[0], through=_NO_ARITHMETIC)
        fits = [s for s in stacks if s[-1].node is below and s[-1].stacks_with(layer)]
        # A layer that two others read is the top of its module.
        if fits and graph.readers(below.output[0]) == 1:
            fits[0].append(layer)
        else:
            stacks.append([layer])
    return stacks


def _named(stacks: list[list[Recurrent]]) -> Iterator[tuple[str, list[Recurrent]]]:
    """Prefixes: the module that torch's exporter puts into a node's name, or the cell's."""
    used: set[str] = set()
    for stack in stacks:
        node = stack[0].node
        cell = node.op_type.lower()
        module = ".".join(node.name.split("/")[1:-1]) if node.name.startswith("/") else ""
        numbered = (f"{cell}_{number}" for number in range(1, len(stacks) + 1))
        name = next(n for n in (module, cell, *numbered) if n and n not in used)
        used.add(name)
        yield f"{name}.", stack
