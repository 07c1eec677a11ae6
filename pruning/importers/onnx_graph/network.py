"""A recurrent network under torch's names, out of a walked graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoint import CheckpointError, UnsupportedLayerError
from ..imported import Reading
from .graph import GraphError, label, refusal
from .linear_head import Head, finished
from .load import load_model
from .matrices import linear_name, prefixes, read_matrices, why_no_layer
from .recurrent import Recurrent
from .values import Data, Known
from .walk import Walk, walk

__all__ = ["OnnxNetwork", "read_onnx"]

_MEND = "feed the head with the output at the last frame, y[:, -1], train and export again"


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """What a file holds.

    Parameters
    ----------
    tensors : dict of str to Tensor
        A state dict.
    notes : tuple of str
    reading : Reading or None
        None where matrices were read alone.
    model : onnx.ModelProto
    walk : Walk or None
    output : str
        The graph's output that was followed.
    result : Data or None
        What is known of it.
    prefixes : tuple of (str, int)
        Module and number in it of every recurrent layer.
    heads : tuple of str
        Prefixes of the tensors of the head's linear layers, in the order in which they run.
    unfit : str
        Why there is no recurrent layer, where there is none; else empty.
    """

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]
    reading: Reading | None = None
    model: Any = None
    walk: Walk | None = None
    output: str = ""
    result: Data | None = None
    prefixes: tuple[tuple[str, int], ...] = ()
    heads: tuple[str, ...] = ()
    unfit: str = ""


def read_onnx(path: Path, matrices: bool = False) -> OnnxNetwork:
    """Read the network that a graph computes, or the matrices of its nodes alone.

    Parameters
    ----------
    path : Path
        A model; weights must be constants, also in external data.
    matrices : bool, optional
        Read the weights of every LSTM, GRU, Gemm and MatMul, whatever the graph makes of
        them; so are graphs without a recurrent node.

    Raises
    ------
    CheckpointError
        For a damaged file.
    UnsupportedLayerError
        Naming the first node that is neither part of recurrent layers and a head on them nor
        known to leave values as they are.
    """
    model = load_model(path)
    if matrices or not any(node.op_type in ("LSTM", "GRU") for node in model.graph.node):
        tensors, notes = read_matrices(model)
        return OnnxNetwork(tensors, tuple(notes), unfit="" if matrices else why_no_layer(model))
    try:
        done = walk(model)
        output, result, notes = _result(model, done)
    except GraphError as error:
        raise UnsupportedLayerError(
            f"{error} (single matrices: doctor --matrix NAME, pack --matrices)"
        ) from error
    return _network(model, done, output, result, notes)


def _result(model: Any, done: Walk) -> tuple[str, Data, list[str]]:
    """The output that is the network's; others are told."""
    found = {value.name: done.values.get(value.name) for value in model.graph.output}
    data = {n: v for n, v in found.items() if isinstance(v, Data) and v.stage != "input"}
    if done.hidden and done.head is None:
        raise refusal(
            done.relu, "a ReLU behind the last linear layer", "export the network without it"
        )
    names = [n for n, v in data.items() if v.stage == "head" and v.linear > len(done.hidden)]
    names += [n for n, v in data.items() if v.stage == "recurrent" and not v.cell]
    if not names:
        raise CheckpointError(
            f"no output of the graph ({', '.join(found)}) is that of a recurrent layer or of a "
            "head on one: export the network with its output"
        )
    notes = [f"output {n} of the graph: left out" for n in found if n != names[0]]
    _check_result(done, data[names[0]])
    return names[0], data[names[0]], notes


def _check_result(done: Walk, result: Data) -> None:
    top = done.layers[-1]
    if result.layers != (len(done.layers) - 1,) or len(result.directions) != top.directions:
        raise refusal(top.node, "the graph's output is not that of this layer", _MEND)
    if result.stage == "recurrent":
        if not result.affine.nothing:
            raise refusal(result.node, "scales outputs that no head reads", "leave it out")
        if result.moment not in ("every", "last", "hn"):
            raise refusal(result.pooled or result.node, "chooses or averages frames", _MEND)
    elif result.moment in ("first", ""):
        assert done.head is not None  # the stage is its
        what = "takes outputs at the first frame, or at different frames"
        raise refusal(result.pooled or done.head.node, what, _MEND)


def _network(
    model: Any, done: Walk, output: str, result: Data, notes: Sequence[str]
) -> OnnxNetwork:
    tensors, names = _recurrent_tensors(done.layers)
    head, prefixes_of = done.head, list[str]()
    if head is not None:
        head = finished(head, result)
        if np.any(result.affine.scale != 1):  # a shift alone is the head's bias
            done.folded += result.affine.nodes
        for linear in (*done.hidden, head):
            prefixes_of.append(linear_name(linear.node, _bias_name(done, linear), set(tensors)))
            tensors[f"{prefixes_of[-1]}.weight"] = linear.weight
            if linear.bias is not None:
                tensors[f"{prefixes_of[-1]}.bias"] = linear.bias
    where = result.pooled or (done.head or done.layers[-1]).node
    softmax, folded = result.softmax, tuple(done.folded)
    pool, batched = result.moment, _batched(done, result)
    reading = Reading(head is not None, pool, label(where), softmax, folded, batched)
    return OnnxNetwork(
        {name: torch.from_numpy(np.array(array)) for name, array in tensors.items()},
        (*notes, *_unused(model, done)),
        reading,
        model,
        done,
        output,
        result,
        tuple(names),
        tuple(prefixes_of),
    )


def _batched(done: Walk, result: Data) -> bool:
    """Whether the axis of the sequences is still there; one of a single sequence has no name."""
    if result.batch:
        return result.batch in result.axes
    values = (done.values.get(name) for node in done.nodes for name in node.input)
    given = (v for v in values if isinstance(v, Data) and v.stage == "input")
    return len(result.axes) >= len(next(given).axes)


def _recurrent_tensors(layers: list[Recurrent]) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    stacks: list[list[Recurrent]] = []
    for layer in layers:
        if stacks and stacks[-1][-1].stacks_with(layer):
            stacks[-1].append(layer)
        else:
            stacks.append([layer])
    tensors, names = {}, []
    for prefix, stack in prefixes(stacks):
        biased = any(each.bias is not None for each in stack)
        for number, layer in enumerate(stack):
            names.append((prefix, number))
            found = layer.tensors(number, biased)
            tensors.update({prefix + name: array for name, array in found.items()})
    return tensors, names


def _bias_name(done: Walk, head: Head) -> str:
    if head.node.op_type == "Gemm":
        return str(head.node.input[2]) if len(head.node.input) > 2 else ""
    readers = [node for node in done.nodes if head.node.output[0] in node.input]
    adds = [name for node in readers if node.op_type == "Add" for name in node.input]
    constants = [name for name in adds if isinstance(done.values.get(name), Known)]
    return constants[0] if constants else ""


def _unused(model: Any, done: Walk) -> Iterator[str]:
    read = {name for node in done.nodes for name in node.input}
    for tensor in sorted(model.graph.initializer, key=lambda t: str(t.name)):
        value = done.values[tensor.name]
        dense = isinstance(value, Known) and value.array.ndim >= 2 and value.array.any()
        if dense and tensor.name not in read:
            yield f"{tensor.name}: no node on the way to the output uses it, left out"
