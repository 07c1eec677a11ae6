"""A file run by ONNX Runtime, beside what was read of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from csb_format.extras import install

from ..checkpoint import CheckpointError
from .graph import label
from .network import OnnxNetwork
from .values import Array, Axis, Data, Known, length
from .walk import Walk

__all__ = ["TOLERANCE", "compare"]

#: Of the largest output.
TOLERANCE = 1e-4
_SEQUENCES, _FRAMES = 4, 256
_LARGEST = 1 << 24  # elements of an input that is worth a try
_LENGTHS = (9, 5)


def compare(found: OnnxNetwork, state: Mapping[str, Tensor], frames: Sequence[Array] = ()) -> str:
    """Run sequences through the file and through what was read.

    Parameters
    ----------
    found : OnnxNetwork
        With a walked graph.
    state : Mapping of str to Tensor
        Its tensors as they will be used.
    frames : sequence of float array (T, X), optional
        The user's; random ones are run too.

    Returns
    -------
    str
        Why nothing could be compared; empty if both gave the same.

    Raises
    ------
    CheckpointError
        If they differ by more than :data:`TOLERANCE`, naming the node where that begins, or
        if the file cannot be run.
    """
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        return install("onnxruntime", "onnx")
    assert found.walk is not None  # there is a graph to compare with
    shapes = _inputs(found.walk, frames)
    if not shapes:
        return "its input is too large to be tried"
    session = _session(onnxruntime, found)
    if session is None:
        return "ONNX Runtime does not take it (an operator or a type that it does not know)"
    for batch in shapes:
        _compare_one(found, state, session, batch)
    return ""


def _inputs(done: Walk, frames: Sequence[Array]) -> list[Array]:
    """Arrays (T, B, X) that the graph's input can take."""
    root = done.root
    assert root is not None  # there is a layer
    time, batch = (length(axis) for axis in root.axes[:2])
    width = done.layers[0].weight.shape[2]
    count = batch or _batch_of_states(done)
    if count * (time or _FRAMES) * max(width, 8 * done.layers[0].hidden) > _LARGEST:
        return []
    random = np.random.default_rng(0)
    own = [
        f[:_FRAMES] for f in frames[:_SEQUENCES] if f.ndim == 2 and f.shape[1] == width and len(f)
    ]
    found = [np.repeat(np.resize(f, (time or len(f), width))[:, None], count, 1) for f in own]
    scale = np.where(root.affine.scale == 0, 1, root.affine.scale)
    for frames_each in _LENGTHS[: 1 if time else None]:
        plain = random.normal(size=(time or frames_each, count, width))
        found.append((plain - root.affine.shift) / scale)
    return [array.astype(np.float32) for array in found]


def _batch_of_states(done: Walk) -> int:
    """Constant initial states are for a number of sequences, though the input leaves it open."""
    names = [name for layer in done.layers for name in layer.node.input[5:7] if name]
    states = [done.values[name] for name in names]
    return max((v.array.shape[1] for v in states if isinstance(v, Known)), default=1)


def _session(runtime: Any, found: OnnxNetwork) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return runtime.InferenceSession(_part(found), options, providers=["CPUExecutionProvider"])
    except Exception:  # The runtime's errors have no common class.
        return None


def _part(found: OnnxNetwork) -> bytes:
    """The nodes on the way to the output, with the outputs of all layers beside it."""
    assert found.walk is not None
    part = onnx.ModelProto()
    part.CopyFrom(found.model)
    graph = part.graph
    nodes = [_named(node, found.walk) for node in found.walk.nodes]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    for values in (graph.input, graph.initializer):
        kept = [value for value in values if value.name in read]
        del values[:]
        values.extend(kept)
    kept = [value for value in graph.output if value.name == found.output]
    kind = kept[0].type.tensor_type.elem_type
    for name in _layer_outputs(found.walk):
        if name != found.output:
            kept.append(helper.make_tensor_value_info(name, kind, None))
    del graph.output[:]
    graph.output.extend(kept)
    return bytes(part.SerializeToString())


def _layer_outputs(done: Walk) -> list[str]:
    return [layer.node.output[0] or f"frames of layer {n}" for n, layer in enumerate(done.layers)]


def _named(node: Any, done: Walk) -> Any:
    """The node, its first output named where it is a layer's."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for layer, name in zip(done.layers, _layer_outputs(done), strict=True):
        if list(layer.node.output) == list(node.output):
            copy.output[0] = name
    return copy


def _compare_one(
    found: OnnxNetwork, state: Mapping[str, Tensor], session: Any, frames: Array
) -> None:
    done, result = found.walk, found.result
    assert done is not None
    assert result is not None
    names = _layer_outputs(done)
    try:
        given = _fed(session.get_inputs()[0], done, frames)
        file = session.run([found.output, *names], given)
    except Exception as error:  # The runtime's errors have no common class.
        raise CheckpointError(
            f"ONNX Runtime cannot run the file on an input of {len(frames)} frames: its shapes "
            "contradict each other; export the model again"
        ) from error
    read = list(_layers(done, found, state, torch.from_numpy(frames)))
    right = _arranged(file[0], result, {**_sizes(done, frames)})
    mine = _output(found, state, read[-1]).numpy()
    if not _differs(right, mine):
        return
    for number, name in enumerate(names):
        array = file[1 + number]
        theirs = np.moveaxis(array, 1, 2).reshape(*frames.shape[:2], -1)
        if _differs(theirs, read[number].numpy()):
            raise _error(
                f"node {label(done.layers[number].node)}, {name}", theirs, read[number].numpy()
            )
    last = label(result.node)
    raise _error(f"node {last}, {found.output}", right, mine)


def _fed(info: Any, done: Walk, frames: Array) -> dict[str, Array]:
    """The input as the graph has its axes."""
    root = done.root
    assert root is not None
    value = done.values[info.name]
    assert isinstance(value, Data)
    order = [root.axes.index(axis) for axis in value.axes if axis]
    left = [at for at in range(3) if at not in order]
    array = np.transpose(frames, [*left, *order]).reshape([frames.shape[at] for at in order])
    for at, axis in enumerate(value.axes):
        if not axis:
            array = np.expand_dims(array, at)
    kind = {"tensor(double)": np.float64, "tensor(float16)": np.float16}.get(info.type, np.float32)
    return {info.name: np.ascontiguousarray(array, kind)}


def _sizes(done: Walk, frames: Array) -> dict[str, int]:
    root = done.root
    assert root is not None
    named = [axis[0].name if axis else "" for axis in root.axes]
    return dict(zip(named, frames.shape, strict=True))


def _layers(
    done: Walk, found: OnnxNetwork, state: Mapping[str, Tensor], frames: Tensor
) -> Iterator[Tensor]:
    """Outputs (T, B, D * H) of every layer as it was read."""
    for layer, (prefix, number) in zip(done.layers, found.prefixes, strict=True):
        end = f"_l{number}"
        own = {n: t for n, t in state.items() if n.startswith(prefix) and end in n}
        leaves = {n.removeprefix(prefix).replace(end, "_l0"): t.float() for n, t in own.items()}
        module = layer.module(
            layer.weight.shape[2],
            layer.hidden,
            bias="bias_ih_l0" in leaves,
            bidirectional=layer.directions == 2,
        )
        module.load_state_dict(dict(module.named_buffers()) | leaves)
        with torch.no_grad():
            frames = module(frames)[0]
        yield frames


def _output(found: OnnxNetwork, state: Mapping[str, Tensor], frames: Tensor) -> Tensor:
    """What the network makes of the top layer's outputs."""
    assert found.reading is not None
    pooled = _pooled(found.reading.pool, frames)
    if not found.heads:
        return pooled
    logits = _linear(state, found.heads[0], pooled)
    for name in found.heads[1:]:
        logits = _linear(state, name, logits.relu())
    if found.reading.softmax:
        return getattr(nn.functional, found.reading.softmax)(logits, -1)  # type: ignore[no-any-return]
    return logits


def _linear(state: Mapping[str, Tensor], name: str, values: Tensor) -> Tensor:
    bias = state.get(f"{name}.bias")
    weight = state[f"{name}.weight"].float()
    return nn.functional.linear(values, weight, None if bias is None else bias.float())


def _pooled(pool: str, frames: Tensor) -> Tensor:
    if pool == "every":
        return frames
    if pool == "mean":
        return frames.mean(0)
    if pool == "hn":
        forward, reverse = frames.chunk(2, -1)
        return torch.cat([forward[-1], reverse[0]], -1)
    return frames[-1]


def _arranged(array: Array, result: Data, sizes: Mapping[str, int]) -> Array:
    """A graph's output as (T, B, values) or (B, values)."""
    atoms = [atom for axis in result.axes for atom in axis]
    array = array.reshape([atom.size or sizes[atom.name] for atom in atoms])
    ranks = {"direction": 2, "unit": 3, "class": 3}
    front: Axis = (*result.time, *result.batch)
    order = sorted(
        range(len(atoms)),
        key=lambda at: ranks.get(
            atoms[at].name, front.index(atoms[at]) if atoms[at] in front else 4
        ),
    )
    frames = [atom for atom in atoms if atom in front]
    missing = 1 if not result.batch else 0
    array = np.transpose(array, order)
    head = [atom.size or sizes[atom.name] for atom in front if atom in frames]
    return array.reshape([*head, *[1] * missing, -1])


def _differs(right: Array, mine: Array) -> bool:
    if right.shape != mine.shape:
        return True
    bound = TOLERANCE * float(np.abs(right).max(initial=0))
    with np.errstate(invalid="ignore"):  # NaN is no agreement
        return not bool(np.all(np.abs(right - mine) <= bound))


def _error(where: str, right: Array, mine: Array) -> CheckpointError:
    if right.shape != mine.shape:
        return CheckpointError(
            f"what was read differs from the file, and first so at {where}: the file gives "
            f"shape {right.shape}, what was read {mine.shape}; please report it with the file, "
            "or export the network again"
        )
    with np.errstate(invalid="ignore"):
        apart = np.abs(right - mine)
    at = np.unravel_index(int(np.argmax(np.nan_to_num(apart, nan=np.inf))), apart.shape)
    return CheckpointError(
        f"what was read differs from the file, and first so at {where}: at "
        f"{tuple(map(int, at))} the file gives {right[at]:.6g}, what was read {mine[at]:.6g}; "
        "please report it with the file, or export the network again"
    )
