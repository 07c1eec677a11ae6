"""ONNX files: graphs of small networks, changed inside; ONNX Runtime as the second reader."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from pruning.files.network import network_of
from pruning.importers import Imported
from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError
from sim.regress.fuzz import mutated

__all__ = ["in_onnx", "onnx_seeds", "same_network"]

INPUTS, UNITS, CLASSES, FRAMES = 4, 5, 3, 6
KINDS = ("Identity", "LSTM", "GRU", "Transpose", "Squeeze", "Add", "Mul", "MatMul", "Gemm", "Neg",
         "Slice", "ReduceMean", "Softmax", "Relu", "Flatten", "Loop", "Nonsense")  # fmt: skip
SIZES = (0, 1, -1, 2, 3, 7, 64, 1 << 16, 1 << 31, 1 << 40, 1 << 62, -(1 << 63))
NAMES = ("", "x", "nobody", "/dev/zero", "../" * 8 + "etc/passwd", "\x1b[31m", "a" * 300)


class _Net(nn.Module):
    """A recurrent module, what is taken of it, and a head on that."""

    def __init__(self, recurrent: nn.Module, pool: Callable[[Any, Any], Tensor], width: int):
        super().__init__()
        self.recurrent, self.pool, self.head = recurrent, pool, nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out, state = self.recurrent((x - 0.5) / 2)
        return self.head(self.pool(out, state))  # type: ignore[no-any-return]


def onnx_seeds(folder: Path) -> list[bytes]:
    """LSTM and GRU, one direction and two, fed from the last frame and from their mean."""
    torch.manual_seed(1)
    nets = [
        _Net(nn.LSTM(INPUTS, UNITS, batch_first=True), lambda out, _: out[:, -1], UNITS),
        _Net(nn.LSTM(INPUTS, UNITS, 2, batch_first=True), lambda out, _: out.mean(1), UNITS),
        _Net(nn.GRU(INPUTS, UNITS, batch_first=True), lambda _, h: h[-1], UNITS),
        _Net(nn.LSTM(INPUTS, UNITS, batch_first=True, bidirectional=True),
             lambda _, state: torch.cat([state[0][0], state[0][1]], 1), 2 * UNITS),
    ]  # fmt: skip
    seeds = []
    for net in nets:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own age
            torch.onnx.export(
                net.eval(), (torch.zeros(1, FRAMES, INPUTS),), folder / "seed.onnx",
                input_names=["x"], dynamic_axes={"x": {1: "t"}}, dynamo=False,
            )  # fmt: skip
        seeds.append((folder / "seed.onnx").read_bytes())
    return seeds


def in_onnx(content: bytes, rng: random.Random) -> bytes:
    """One to three changes of a graph: nodes, their inputs and attributes, tensors, shapes."""
    model = onnx.ModelProto()
    model.ParseFromString(content)
    for _ in range(rng.randint(1, 3)):
        rng.choice((_inputs, _inputs, _nodes, _attribute, _attribute, _tensor, _tensor, _head))(
            model, rng
        )
    return bytes(model.SerializeToString())


def _values(model: Any, rng: random.Random) -> str:
    """Any value of the graph, or a name that is none."""
    graph = model.graph
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    names += [value.name for value in (*graph.input, *graph.output, *graph.initializer)]
    return str(rng.choice(names if names and rng.random() < 0.9 else NAMES))


def _inputs(model: Any, rng: random.Random) -> None:
    """What a node reads or writes: another value, its own, one less, one more."""
    if not model.graph.node:
        return
    node = rng.choice(model.graph.node)
    names = node.input if rng.random() < 0.8 else node.output
    kind = rng.randrange(6)
    if kind == 0 or not names:
        names.append(_values(model, rng))
    elif kind == 1:
        del names[rng.randrange(len(names))]
    elif kind == 2 and node.output:
        names[rng.randrange(len(names))] = rng.choice(node.output)
    else:
        names[rng.randrange(len(names))] = _values(model, rng)


def _nodes(model: Any, rng: random.Random) -> None:
    """Nodes left out, repeated, exchanged, of another operator."""
    nodes = model.graph.node
    if not nodes:
        return
    at, kind = rng.randrange(len(nodes)), rng.randrange(6)
    if kind == 0:
        del nodes[at]
    elif kind == 1:
        nodes.append(nodes[at])
    elif kind == 2:
        nodes[at].domain = rng.choice(("", "ai.onnx", "com.microsoft", "x"))
    elif kind == 3:
        other = onnx.helper.make_node("Identity", [_values(model, rng)], [f"new{at}"])
        if nodes[at].input:
            nodes[at].input[0] = f"new{at}"
        nodes.insert(at, other)
    elif kind == 4:
        nodes[at].name = rng.choice(NAMES)
    else:
        nodes[at].op_type = rng.choice(KINDS)


def _attribute(model: Any, rng: random.Random) -> None:
    """An attribute with another value, of another type, twice, or gone."""
    nodes = [node for node in model.graph.node if node.attribute]
    if not nodes:
        return
    node = rng.choice(nodes)
    at, kind = rng.randrange(len(node.attribute)), rng.randrange(8)
    found = node.attribute[at]
    if kind == 0:
        del node.attribute[at]
    elif kind == 1:
        node.attribute.append(found)
    elif kind == 2:
        found.name = rng.choice(("axis", "direction", "hidden_size", "activations", *NAMES))
    elif kind == 3:
        found.type = rng.randrange(15)
    elif found.ints:
        found.ints[rng.randrange(len(found.ints))] = rng.choice(SIZES)
    elif found.HasField("t"):
        _changed(found.t, rng)
    elif found.HasField("s"):
        found.s = rng.choice((b"reverse", b"forward", b"bidirectional", b"\xff", b""))
    else:
        found.i = rng.choice(SIZES)
        found.f = rng.choice((0.5, float("nan"), 1e38))


def _tensor(model: Any, rng: random.Random) -> None:
    """An initializer of another shape, type or data."""
    if not model.graph.initializer:
        return
    _changed(rng.choice(model.graph.initializer), rng)


def _changed(tensor: Any, rng: random.Random) -> None:
    kind = rng.randrange(7)
    if kind == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(SIZES)
    elif kind == 1:
        dims = list(tensor.dims)
        rng.shuffle(dims)
        tensor.dims[:] = [*dims, 1] if rng.random() < 0.3 else dims
    elif kind == 2:
        tensor.data_type = rng.randrange(24)
    elif kind == 3:
        tensor.name = rng.choice(NAMES)
    elif kind == 4:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", rng.choice(NAMES)), ("length", str(rng.choice(SIZES)))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    elif kind == 5 and len(tensor.raw_data) >= 4:
        data, at = bytearray(tensor.raw_data), 4 * rng.randrange(len(tensor.raw_data) // 4)
        data[at : at + 4] = np.float32(rng.choice((0, 1, -9, 1e30, np.nan, np.inf))).tobytes()
        tensor.raw_data = bytes(data)
    else:
        tensor.raw_data = mutated(tensor.raw_data, rng)


def _head(model: Any, rng: random.Random) -> None:
    """What stands around the graph: inputs, outputs, versions."""
    graph, kind = model.graph, rng.randrange(6)
    values = graph.input if rng.random() < 0.6 else graph.output
    value = rng.choice(values) if values else graph.input.add()
    dims = value.type.tensor_type.shape.dim
    if kind == 0 and dims:
        dims[rng.randrange(len(dims))].dim_value = rng.choice(SIZES)
    elif kind == 1 and dims:
        del dims[rng.randrange(len(dims))]
    elif kind == 2:
        value.type.tensor_type.elem_type = rng.randrange(24)
    elif kind == 3:
        value.name = _values(model, rng)
    elif kind == 4:
        values.append(value)
    else:
        model.opset_import[0].version = rng.choice((*SIZES, 9, 13, 17, 21))


def same_network(path: Path, found: Imported) -> bool:
    """What ONNX Runtime computes of the file, within 1e-3 of the largest output.

    True as well where there is nothing to compare: the file is no network with a head, is told
    to be unchecked, or takes frames of a form that does not tell time from features.
    """
    import onnxruntime  # type: ignore[import-untyped]

    reading = found.reading
    if reading is None or not reading.head or reading.unchecked:
        return True
    try:
        network = network_of(found)
    except (CheckpointError, UnsupportedLayerError):
        return True
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        (given,) = session.get_inputs()
        if given.shape[::2] != [1, INPUTS] or "float" not in given.type:
            return True
        time = given.shape[1] if isinstance(given.shape[1], int) else FRAMES + 1
        frames = np.random.default_rng(5).normal(size=(1, time, INPUTS)).astype(np.float32)
        names = [out.name for out in session.get_outputs()]
        right = np.asarray(session.run(names[:1], {given.name: frames})[0]).reshape(-1)
    except Exception:  # The runtime's errors have no common class: it does not take the whole.
        return True
    with torch.no_grad():
        made = network.classifier(path)(torch.from_numpy(frames), torch.tensor([time]))
    if reading.softmax:
        made = getattr(torch, reading.softmax)(made, -1)
    mine = made.numpy().reshape(-1)
    bound = 1e-3 * float(np.abs(right).max(initial=1e-30))
    return right.shape == mine.shape and bool(np.all(np.abs(right - mine) <= bound))
