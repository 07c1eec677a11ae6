"""Matrices of an ONNX model under torch's names, whatever its graph makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoint import UnsupportedLayerError
from .folding import FOLDED, Folder, constant_of
from .graph import Graph, attributes, label, plain, tensor_array, value_name
from .load import in_order, opset_of
from .recurrent import Recurrent, read_recurrent
from .values import Array

__all__ = ["linear_name", "prefixes", "read_matrices", "why_no_layer"]

_CELLS = ("LSTM", "GRU")
# What torch puts between two layers of one nn.LSTM.
_NO_ARITHMETIC = {"Transpose", "Reshape", "Squeeze", "Identity", "Dropout"}


def read_matrices(model: Any) -> tuple[dict[str, Tensor], list[str]]:
    """Read the weights of every LSTM, GRU, Gemm and MatMul node.

    LSTM nodes that feed each other become the layers of one stacked ``nn.LSTM``. Gates
    change from ONNX's order (LSTM: iofc, GRU: zrh) to torch's (ifgo, rzn).

    Parameters
    ----------
    model : onnx.ModelProto
        Checked; weights must be constants, or be made of constants alone.

    Returns
    -------
    dict of str to Tensor
        A state dict.
    list of str
        Notes on matrices that no such node uses.

    Raises
    ------
    UnsupportedLayerError
        Naming the node of what torch has no equal for: peepholes, clipping, other
        activations, input_forget, a lone reverse direction, quantised or computed weights.
    """
    graph = _constants(model)
    _refuse_other_cells(graph)
    layers = [read_recurrent(graph, node) for node in graph.nodes if node.op_type in _CELLS]
    tensors: dict[str, Tensor] = {}
    for prefix, stack in prefixes(_stacks(graph, layers)):
        for number, layer in enumerate(stack):
            biased = any(each.bias is not None for each in stack)
            for name, array in layer.tensors(number, biased).items():
                tensors[prefix + name] = torch.from_numpy(array.copy())
    for name, array in _linear_tensors(graph, set(tensors)).items():
        tensors[name] = torch.from_numpy(array.copy())
    notes = [f"{name}: no LSTM, GRU or linear node uses it, left out" for name in graph.unused()]
    return tensors, notes


def _constants(model: Any) -> Graph:
    """The graph with every constant that nodes make of constants."""
    arrays = {tensor.name: tensor_array(tensor) for tensor in model.graph.initializer}
    origins = {name: {name} for name in arrays}
    folder = Folder(opset_of(model), sum(array.size for array in arrays.values()))
    nodes = in_order(model.graph)
    for node in nodes:
        found: list[Array] = []
        if node.op_type == "Constant":
            found = [constant_of(node)]
        elif _is_folded(node, arrays):
            found = folder.fold(node, [arrays[n] if n else None for n in node.input])
        for name, array in zip(node.output, found, strict=False):
            arrays[name] = array
            origins[name] = set().union(*(origins[n] for n in node.input if n)) or {name}
    return Graph(nodes, arrays, origins)


def _is_folded(node: Any, arrays: dict[str, Array]) -> bool:
    known = all(not name or name in arrays for name in node.input)
    return known and node.op_type in FOLDED and plain(node.domain)


def _refuse_other_cells(graph: Graph) -> None:
    """No cell may be left out silently."""
    for node in graph.nodes:
        known = node.op_type in _CELLS and plain(node.domain)
        if node.op_type == "RNN" and plain(node.domain):
            raise UnsupportedLayerError(
                f"node {label(node)}: a plain RNN (torch.nn.RNN, Keras' SimpleRNN), which has no "
                "gates; train and export torch.nn.LSTM"
            )
        if any(word in node.op_type for word in (*_CELLS, "RNN")) and not known:
            raise UnsupportedLayerError(
                f"node {label(node)}: only LSTM and GRU nodes can be imported; export the float "
                "model before quantisation"
            )


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


def prefixes(stacks: list[list[Recurrent]]) -> Iterator[tuple[str, list[Recurrent]]]:
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


def _linear_tensors(graph: Graph, taken: set[str]) -> dict[str, Array]:
    """``<name>.weight`` (outputs, inputs) and ``<name>.bias`` of every linear node.

    Parameters
    ----------
    graph : Graph
    taken : set of str
        Names of tensors that exist already.

    Raises
    ------
    UnsupportedLayerError
        For a Gemm that scales or transposes what ``nn.Linear`` does not.
    """
    found: dict[str, Array] = {}
    for node in graph.nodes:
        if node.op_type in ("Gemm", "MatMul") and graph.rank(value_name(node, 1)) == 2:
            adder, bias_at = (node, 2) if node.op_type == "Gemm" else _adder(graph, node)
            name = linear_name(node, value_name(adder, bias_at) if adder else "", {*taken, *found})
            found[f"{name}.weight"] = _weight(graph, node)
            bias = graph.constant(adder, bias_at, "bias") if adder else None
            if bias is not None:
                found[f"{name}.bias"] = _bias(adder, bias, len(found[f"{name}.weight"]))
    return found


def _bias(node: Any, bias: Array, rows: int) -> Array:
    """One value for each row; a file may hold fewer, or rows of its own for each batch."""
    if bias.size not in (1, rows) or bias.shape[-1:] not in ((), (1,), (rows,)):
        raise UnsupportedLayerError(
            f"node {label(node)}: its bias has shape {bias.shape}, not ({rows},) as its weight "
            "has rows; export nn.Linear"
        )
    return np.broadcast_to(bias.reshape(-1), (rows,))


def _weight(graph: Graph, node: Any) -> Array:
    said = attributes(node)
    if said.get("alpha", 1.0) != 1 or said.get("beta", 1.0) != 1 or said.get("transA"):
        raise UnsupportedLayerError(
            f"node {label(node)}: alpha, beta and transA must be 1, 1 and 0; export nn.Linear"
        )
    weight = graph.constant(node, 1, "weight")
    assert weight is not None  # its rank is 2
    return weight if said.get("transB") else weight.T


def _adder(graph: Graph, node: Any) -> tuple[Any, int]:
    """The Add of a bias on a MatMul and the bias's position in it; None if there is none."""
    readers = graph.consumers(node.output[0])
    if len(readers) == 1 and readers[0].op_type == "Add":
        for position in (0, 1):
            if graph.rank(value_name(readers[0], position)) == 1:
                return readers[0], position
    return None, 0


def linear_name(node: Any, bias: str, taken: set[str]) -> str:
    """Prefix of a linear layer's tensors, after those of its weight, bias or node."""
    for name in _names(value_name(node, 1), bias, node.name):
        if f"{name}.weight" not in taken:
            return name
    raise AssertionError("the numbered names never end")


def _names(weight: str, bias: str, node: str) -> Iterator[str]:
    for value, ending in ((weight, ".weight"), (bias, ".bias")):
        if value.endswith(ending):
            yield value.removesuffix(ending)
    if node.startswith("/") and node.count("/") > 1:
        yield ".".join(node.split("/")[1:-1])
    yield "linear"
    number = 1
    while True:
        yield f"linear_{number}"
        number += 1


def why_no_layer(model: Any) -> str:
    """Why a graph without LSTM and GRU nodes is no recurrent network here.

    Parameters
    ----------
    model : onnx.ModelProto

    Returns
    -------
    str
        Empty where nothing tells.
    """
    count = Counter(node.op_type for node in model.graph.node)
    if not (count["Gemm"] or count["MatMul"]):
        return ""
    gate = next((n for n in model.graph.node if n.op_type in ("Sigmoid", "Tanh", "Relu")), None)
    if gate is None:
        return ""
    # A step of an LSTM has three sigmoids and two tanh, of a GRU two and one.
    kind = "LSTM" if count["Sigmoid"] < 1.75 * count["Tanh"] else "GRU"
    steps = min(count["Sigmoid"] // 3, count["Tanh"] // 2)
    if kind == "GRU":
        steps = min(count["Sigmoid"] // 2, count["Tanh"])
    none = f"node {label(gate)}: the graph has no LSTM or GRU node"
    if steps:
        return (
            f"{none} but {steps} steps of a cell, as nn.{kind}Cell in a loop is exported: load its "
            f"weights into torch.nn.{kind} (weight_ih becomes weight_ih_l0 and so on) and export "
            "that; single matrices: pack --matrices"
        )
    if count["Tanh"] + count["Relu"] > 1 and not count["Sigmoid"]:
        return (
            f"{none}, it is a plain RNN (torch.nn.RNN) step by step, or no recurrent network; "
            "train and export torch.nn.LSTM; single matrices: pack --matrices"
        )
    return ""
