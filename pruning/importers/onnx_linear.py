"""Linear layers of an ONNX graph: Gemm, and MatMul with an Add behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .checkpoint import UnsupportedLayerError
from .onnx_graph import Array, Graph, attributes, label, value_name

__all__ = ["linear_tensors"]


def linear_tensors(graph: Graph, taken: set[str]) -> dict[str, Array]:
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
            name = _name(node, value_name(adder, bias_at) if adder else "", {*taken, *found})
            found[f"{name}.weight"] = _weight(graph, node)
            bias = graph.constant(adder, bias_at, "bias") if adder else None
            if bias is not None:
                found[f"{name}.bias"] = np.broadcast_to(bias, found[f"{name}.weight"].shape[:1])
    return found


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


def _name(node: Any, bias: str, taken: set[str]) -> str:
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
