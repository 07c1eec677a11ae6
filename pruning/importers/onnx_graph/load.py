"""An ONNX file, read without running anything, and checked node by node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from ..checkpoint import CheckpointError
from .graph import label, plain, refusal

__all__ = ["in_order", "load_model", "opset_of"]

# Before it, arithmetic and normalisation meant other things.
_OLDEST = 7
_UNREADABLE = "is neither a state dict nor a readable ONNX model: export it again"


def load_model(path: Path) -> Any:
    """The model of a file, its external weights among it.

    Raises
    ------
    CheckpointError
        For a damaged file, a node with an attribute that is missing or of another type, a
        value that nobody or more than one node writes.
    UnsupportedLayerError
        Naming a node with a body (Loop, Scan, If), or one that is a function of the file.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # A damaged file makes the reader fail in any way.
        raise CheckpointError(f"{path} {_UNREADABLE}") from error
    if not model.graph.node:
        raise CheckpointError(
            f"{path} holds no ONNX graph: give a state dict or export the model to ONNX again"
        )
    if opset_of(model) < _OLDEST:
        raise CheckpointError(
            f"{path} is of ONNX opset {opset_of(model)}: export it with opset 13 or newer"
        )
    if opset_of(model) > (newest := int(onnx.defs.onnx_opset_version())):
        raise CheckpointError(
            f"{path} is of ONNX opset {opset_of(model)}, the package onnx here knows {newest} and "
            "older: export it with an older opset, or install a newer onnx"
        )
    _check_names(path, model)
    _refuse_bodies(model)
    for node in model.graph.node:
        _check_node(node, opset_of(model))
    _load_external(path, model)
    return model


def opset_of(model: Any) -> int:
    """Version of ONNX's own operators, 0 if the file names none."""
    named = [int(each.version) for each in model.opset_import if plain(each.domain)]
    return max(named, default=0)


def _load_external(path: Path, model: Any) -> None:
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # No such file, a name that leads elsewhere, a length beyond it.
        files = {
            entry.value
            for tensor in model.graph.initializer
            for entry in tensor.external_data
            if entry.key == "location"
        }
        raise CheckpointError(
            f"{path} keeps weights in other files that cannot be read "
            f"({', '.join(sorted(files)) or 'unnamed'}): keep them beside it as they were exported"
        ) from error


def _check_names(path: Path, model: Any) -> None:
    """Names are text: protobuf gives what is none as bytes."""
    graph = model.graph
    names = [
        (*node.input, *node.output, node.name, node.op_type, node.domain) for node in graph.node
    ]
    names += [(a.name,) for node in graph.node for a in node.attribute]
    values = (*graph.input, *graph.output, *graph.initializer, *graph.value_info)
    names += [(value.name,) for value in values]
    if not all(isinstance(name, str) for group in names for name in group):
        raise CheckpointError(f"{path} {_UNREADABLE}")


def _check_node(node: Any, opset: int) -> None:
    """Attributes and number of inputs of ONNX's own operators are as it defines them."""
    names = [attribute.name for attribute in node.attribute]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _wrong(node, f"has attribute {twice[0]} twice")
    schema = _schema(node, opset)
    if schema is None:
        return
    for attribute in node.attribute:
        known = schema.attributes.get(attribute.name)
        if known is None:
            raise _wrong(node, f"has an attribute {attribute.name} that {node.op_type} has not")
        if attribute.ref_attr_name or int(attribute.type) != int(known.type.value):
            raise _wrong(
                node, f"has attribute {attribute.name} of another type than {known.type.name}"
            )
    for name, known in schema.attributes.items():
        if known.required and name not in names:
            raise _wrong(node, f"lacks its attribute {name}")
    if node.op_type == "Constant" and len(names) != 1:
        raise _wrong(node, f"must have one attribute, the value, and has {len(names)}")
    if not schema.min_input <= len(node.input) <= schema.max_input:
        raise _wrong(
            node,
            f"has {len(node.input)} inputs, {node.op_type} takes {schema.min_input}"
            f" to {schema.max_input}",
        )
    if "" in node.input[: schema.min_input]:
        raise _wrong(node, f"leaves out an input that {node.op_type} needs")
    if not node.output:
        raise _wrong(node, "has no output")


def _schema(node: Any, opset: int) -> Any:
    if not plain(node.domain):
        return None
    try:
        return onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        return None  # no operator of ONNX: refused by name where it is met


def _wrong(node: Any, what: str) -> CheckpointError:
    return CheckpointError(
        f"node {label(node)} {what}: the file is damaged, export the model again"
    )


def in_order(graph: Any) -> list[Any]:
    """Nodes so that each stands behind those it reads.

    Raises
    ------
    CheckpointError
        If nodes read each other in a circle, a value is written twice, or by nobody.
    """
    given = {value.name for value in (*graph.input, *graph.initializer)}
    given |= {sparse.values.name for sparse in graph.sparse_initializer}
    writer: dict[str, int] = {}
    for number, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in writer or name in given:
                raise _wrong(node, f"writes {name}, which stands already")
            writer[name] = number
    for node in graph.node:
        for name in _reads(node):
            if name not in writer and name not in given:
                raise _wrong(node, f"reads {name}, which nobody writes")
    return [graph.node[number] for number in _sorted(graph, writer)]


def _reads(node: Any) -> Iterator[str]:
    # Bodies of loops read values of the outer graph too; nodes with bodies are refused anyway.
    yield from filter(None, node.input)


def _sorted(graph: Any, writer: dict[str, int]) -> list[int]:
    before = [{writer[n] for n in _reads(node) if n in writer} for node in graph.node]
    after: list[list[int]] = [[] for _ in graph.node]
    for number, others in enumerate(before):
        for other in others:
            after[other].append(number)
    left = [len(others) for others in before]
    ready = [number for number, count in enumerate(left) if not count]
    for number in ready:  # grows while it is walked
        for other in after[number]:
            left[other] -= 1
            if not left[other]:
                ready.append(other)
    if len(ready) < len(left):
        stuck = next(number for number, count in enumerate(left) if count)
        raise CheckpointError(
            f"node {label(graph.node[stuck])}: the graph is cyclic, nodes from this one on wait "
            "for their own output: the file is damaged, export the model again"
        )
    return ready


def _refuse_bodies(model: Any) -> None:
    """Nothing may be hidden in a body of another node, or in a function of the file's own."""
    own = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        bodies = [a.name for a in node.attribute if a.HasField("g") or len(a.graphs)]
        if bodies or (plain(node.domain) and node.op_type in ("Loop", "Scan", "If")):
            inner = next((n for a in node.attribute for n in a.g.node if "LSTM" in n.op_type), None)
            more = f", {label(inner)} in the body of another node" if inner else ""
            mend = "export the LSTM as one node: from torch, or from Keras 2 with tf2onnx"
            if node.op_type == "If":
                mend = "export with fixed sizes, or index instead of squeeze"
            raise refusal(node, f"a loop or branch{more}", mend)
        if (node.domain, node.op_type) in own:
            raise refusal(node, "a local function of the file", "export with functions inlined")
