"""Three graphs of one: before the array's part, the part, and after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from csb_format.files.cutfile import NAMES, Port, Seam

from ..checkpoint import CheckpointError, UnsupportedLayerError
from ..onnx_graph.graph import label
from ..onnx_graph.network import OnnxNetwork, read_onnx
from ..onnx_graph.values import Axis, Data
from .chains import Chain, chains, reached, writers, zero_states

__all__ = ["extract", "graph_of", "part_of"]

_CELLS = ("LSTM", "GRU")
_WHOLE = "whole.onnx"


def graph_of(path: Path) -> Any:
    """The model of a file with the shapes of its tensors.

    Raises
    ------
    CheckpointError
        For a file that is no model, or a damaged one.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is no file: give an ONNX model of the whole network")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
        return onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # A damaged file makes the reader fail in any way.
        raise CheckpointError(
            f"{path} is no ONNX model that can be read: export the whole network to ONNX, "
            f"torch.onnx.export(model.eval(), ...) ({str(error).partition(chr(10))[0][:200]})"
        ) from error


def part_of(path: Path, graph: Any, source: str | None, targets: Sequence[str]) -> Chain:
    """What is cut out: what the names say, else the only recurrent nodes there are.

    Raises
    ------
    CheckpointError
        If there is none, if there are several and none is named, or for a name that no tensor has.
    """
    there = chains(graph)
    known = {*writers(graph), *(value.name for value in graph.input)}
    named = "; ".join(each.told for each in there) or "none"
    for name in filter(None, (source, *targets)):
        if name not in known:
            raise CheckpointError(f"{path} has no tensor {name}; its recurrent nodes are {named}")
    if source and targets:
        nodes, _ = reached(graph, list(targets), {source})
        inside = tuple(node for node in graph.node if node in nodes and node.op_type in _CELLS)
        if not inside:
            raise CheckpointError(
                f"{path} has no LSTM or GRU between {source} and {', '.join(targets)}; there are "
                f"{named}"
            )
        return Chain(inside, source, tuple(targets))
    fits = [c for c in there if source in (None, c.source) and set(targets) <= set(c.targets)]
    if len(fits) == 1:
        return Chain(fits[0].nodes, fits[0].source, tuple(targets) or fits[0].targets)
    if not there:
        raise CheckpointError(f"{path} has no LSTM or GRU node: the array can take nothing")
    said = "names" if source or targets else "has"
    raise CheckpointError(
        f"{path}: what is to be cut is not clear, it {said} {len(fits)} parts for the array; "
        f"choose one: {named}"
    )


def extract(model: Any, part: Chain, folder: Path) -> tuple[OnnxNetwork, Seam]:
    """Write the graphs to a folder; what the part was read as, and where it was cut.

    Raises
    ------
    CheckpointError, UnsupportedLayerError
        For a part that the array cannot take, or an output that goes around it.
    """
    graph = model.graph
    given = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    outputs = [value.name for value in graph.output]
    after, names = reached(graph, outputs, set(part.targets))
    _check_around(part, after, names)
    zero_states(graph, part.nodes)
    _declare(model, part)
    onnx.save(model, str(folder / _WHOLE))
    _write(folder, "part", [part.source], part.targets)
    before, below = reached(graph, [part.source], given)
    if before:
        _write(folder, "before", sorted(below & given), [part.source])
    if after:
        _write(folder, "after", [*part.targets, *sorted(names & given)], outputs)
    (folder / _WHOLE).unlink()
    found = read_onnx(folder / NAMES["part"])
    return found, Seam(_source(found, part.source), tuple(_port(found, n) for n in part.targets))


def _check_around(part: Chain, after: Sequence[Any], names: set[str]) -> None:
    for node in part.nodes:
        if any(node is each for each in after):
            used = [n for n in node.output if n in names and n not in part.targets]
            raise UnsupportedLayerError(
                f"node {label(node)}: what stands behind reads {' or '.join(used)} of it too: give "
                "that with --to, if it is the last layer's; of others the array gives no states"
            )


def _declare(model: Any, part: Chain) -> None:
    """Shapes of the cut tensors, with names for sizes that are open: the extractor wants them."""
    graph = model.graph
    infos = {v.name: v for v in (*graph.value_info, *graph.input, *graph.output)}
    for name in (part.source, *part.targets):
        if name not in infos:
            infos[name] = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            graph.value_info.append(infos[name])
    first, source = (part.nodes or (None,))[0], graph_value(graph, part.source)
    if first is not None and first.input[0] == part.source:
        columns = {t.name: t.dims for t in graph.initializer}.get(first.input[1])
        _shape(source, 3, columns[2] if columns else None)
    for at, dim in enumerate(source.type.tensor_type.shape.dim):
        if not dim.WhichOneof("value"):
            dim.dim_param = f"cut_{at}"


def graph_value(graph: Any, name: str) -> Any:
    """What is declared of a tensor."""
    every = (*graph.input, *graph.value_info, *graph.output)
    return next(value for value in every if value.name == name)


def _shape(value: Any, rank: int, last: int | None) -> None:
    shape = value.type.tensor_type.shape
    while len(shape.dim) < rank:
        shape.dim.add()
    if last is not None:
        shape.dim[rank - 1].dim_value = last


def _write(folder: Path, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    target = folder / NAMES[name]
    try:
        onnx.utils.extract_model(
            str(folder / _WHOLE), str(target), list(inputs), list(outputs), check_model=False
        )
    except Exception as error:  # The extractor's errors have no common class.
        raise CheckpointError(
            f"what lies between {', '.join(inputs)} and {', '.join(outputs)} cannot be cut out: "
            f"{str(error).partition(chr(10))[0]}"
        ) from error


def _source(found: OnnxNetwork, name: str) -> Port:
    assert found.walk is not None  # there is a graph
    root, value = found.walk.root, found.walk.values[name]
    assert root is not None
    assert isinstance(value, Data)
    roles = dict(zip(root.axes, ("time", "batch", "feature"), strict=True))
    if not all(axis in roles for axis in value.axes if axis):
        raise UnsupportedLayerError(
            f"tensor {name}: frames and sequences are not axes of their own: cut behind what "
            "makes them so, --from"
        )
    return Port(name, tuple((roles[axis],) if axis else () for axis in value.axes), "input")


def _port(found: OnnxNetwork, name: str) -> Port:
    assert found.walk is not None
    value, done = found.walk.values.get(name), found.walk
    top = len(done.layers) - 1
    whole = isinstance(value, Data) and len(value.directions) == done.layers[top].directions
    if not isinstance(value, Data) or value.layers != (top,) or not whole:
        raise UnsupportedLayerError(
            f"tensor {name} is not of the last recurrent layer: cut behind it, --to"
        )
    if value.moment not in ("every", "last", "hn", "mean"):
        raise UnsupportedLayerError(f"tensor {name} takes single frames: cut before that, --to")
    if value.stage == "recurrent" and not (value.affine.nothing and value.moment != "mean"):
        raise UnsupportedLayerError(
            f"tensor {name}: scaled or averaged outputs are for the host: cut before that, --to"
        )
    kind = "logits" if value.stage == "head" else "cell" if value.cell else "output"
    axes = tuple(_roles(axis, value) for axis in value.axes)
    return Port(name, axes, kind, value.moment, value.softmax)


def _roles(axis: Axis, value: Data) -> tuple[str, ...]:
    own = {**{a: "time" for a in value.time}, **{a: "batch" for a in value.batch}}
    return tuple(own.get(atom, atom.name) for atom in axis)
