"""Single nodes on the way of an ONNX graph: followed, folded, or refused by name."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from pruning.files.network import load_network
from pruning.importers import import_model
from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError
from pruning.importers.onnx_graph.network import read_onnx
from pruning.importers.onnx_graph.runtime import compare

T, X, H, C = 7, 5, 4, 3
RANDOM = np.random.default_rng(11)


def random(*shape: int) -> np.ndarray:
    return RANDOM.uniform(-0.9, 0.9, shape).astype(np.float32)


WEIGHTS: dict[str, Any] = {
    "W": random(1, 4 * H, X),
    "R": random(1, 4 * H, H),
    "B": random(1, 8 * H),
    "F": random(C, H),
    "FT": random(H, C),
    "b": random(C),
    "axis": np.array([0]),
}


def op(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    """A node of inputs ``a b``; ``-`` leaves one out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(kind, names, output.split(), f"n_{output.split()[0]}", **attributes)


LSTM = op("LSTM", "x W R B", "Y Yh Yc", hidden_size=H)
SQUEEZE, GEMM = op("Squeeze", "Yh axis", "h"), op("Gemm", "h F b", "y", transB=1)


def saved(
    folder: Path, nodes: list[Any], shape: Any = (T, 1, X), out: Any = None, **more: Any
) -> Path:
    """A graph from x to y; constants that no node reads are left out."""
    read = {name for node in nodes for name in node.input}
    arrays = {n: a for n, a in (WEIGHTS | more).items() if n in read}
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
            [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    path = folder / "net.onnx"
    onnx.save(model, str(path))
    return path


def check(path: Path) -> Any:
    """The network, whose output must be that of the file."""
    x = np.random.default_rng(3).normal(size=(T, 1, X)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    right = session.run(["y"], {"x": x})[0].reshape(1, -1)
    network = load_network(path)
    with torch.no_grad():
        frames = torch.from_numpy(x).transpose(0, 1).contiguous()
        read = network.classifier(path)(frames, torch.tensor([T])).numpy()
    reading = network.imported.reading
    assert reading is not None
    assert reading.checked
    assert np.abs(read - right).max() <= 1e-4 * np.abs(right).max()
    return network


@pytest.mark.parametrize(
    ("head", "more"),
    [
        ([GEMM], {}),
        ([op("Gemm", "h FT b", "y")], {}),
        ([op("Gemm", "h F b", "y", transB=1, alpha=0.5, beta=2.0)], {}),
        ([op("Gemm", "h F b", "y", transB=1)], {"b": random(1, C)}),
        ([op("Gemm", "h F", "y", transB=1)], {}),
        ([op("MatMul", "h FT", "q"), op("Add", "q b", "y")], {}),
        ([op("MatMul", "h FT", "q"), op("Add", "b q", "y")], {}),
        ([op("MatMul", "h FT", "q"), op("Add", "q b", "y")], {"b": random(1, C)}),
        ([op("MatMul", "h FT", "q"), op("Add", "q b", "y")], {"b": random(1, 1, C)}),
        ([op("MatMul", "h FT", "q"), op("Add", "q b", "y")], {"b": np.float32(0.5)}),
        ([op("MatMul", "h FT", "q"), op("Sub", "q b", "y")], {}),
        ([op("MatMul", "h FT", "q"), op("Add", "q b", "r"), op("Identity", "r", "y")], {}),
    ],
)
def test_a_head_bias_in_any_spelling(tmp_path: Path, head: list[Any], more: dict[str, Any]) -> None:
    check(saved(tmp_path, [LSTM, SQUEEZE, *head], **more))


@pytest.mark.parametrize(
    ("nodes", "more"),
    [
        ([op("Identity", "R0", "R")], {"R0": WEIGHTS["R"]}),
        ([op("Cast", "R0", "R", to=1)], {"R0": WEIGHTS["R"].astype(np.float64)}),
        ([op("Squeeze", "R0 axis", "R")], {"R0": WEIGHTS["R"][None]}),
        ([op("Unsqueeze", "R0 axis", "R")], {"R0": WEIGHTS["R"][0]}),
        ([op("Transpose", "R0", "R", perm=[0, 2, 1])], {"R0": WEIGHTS["R"].transpose(0, 2, 1)}),
        (
            [op("DequantizeLinear", "R0 s z", "R", axis=1)],
            {
                "R0": np.arange(64, dtype=np.uint8).reshape(1, 4 * H, H),
                "s": np.linspace(0.01, 0.03, 4 * H, dtype=np.float32),
                "z": np.full(4 * H, 32, np.uint8),
            },
        ),
        (
            [op("DequantizeLinear", "R0 s", "R")],
            {"R0": np.arange(-32, 32, dtype=np.int8).reshape(1, 4 * H, H), "s": np.float32(0.03)},
        ),
        (
            [op("Identity", "R0", "R1"), op("Transpose", "R1", "R", perm=[0, 2, 1])],
            {"R0": WEIGHTS["R"].transpose(0, 2, 1)},
        ),
    ],
)
def test_constants_behind_nodes_are_folded(
    tmp_path: Path, nodes: list[Any], more: dict[str, Any]
) -> None:
    path = saved(tmp_path, [*nodes, LSTM, SQUEEZE, GEMM], **more)
    model = onnx.load(str(path))
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "R"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    onnx.save(model, str(path))
    check(path)


@pytest.mark.parametrize(
    ("nodes", "more", "match"),
    [
        ([op("LSTM", "x W R B s", "Y Yh", hidden_size=H)], {"s": np.array([3], np.int32)},
         r"node n_Y \(LSTM\): sequence_lens s \(\[3\]\)"),
        ([op("ConstantOfShape", "k", "h0", value=helper.make_tensor("v", 1, [1], [1.0])),
          op("LSTM", "x W R B - h0", "Y Yh", hidden_size=H)], {"k": np.array([1, 1, H])},
         "a constant initial_h that is not zero"),
        ([op("Slice", "x axis one axis", "h0"),
          op("LSTM", "x W R B - h0", "Y Yh", hidden_size=H)], {"one": np.array([1])},
         r"node n_h0 \(Slice\): takes part of its input"),
        ([op("LSTM", "x W R B - x", "Y Yh", hidden_size=H)], {},
         "its initial_h x is an input of the graph"),
        ([op("LSTM", "x W R B - - c0", "Y Yh", hidden_size=H)],
         {"c0": np.zeros((1, 1, 16), np.float32)}, r"contradictory shapes: its initial_c c0 has"),
        ([op("LSTM", "x W R B", "Y Yh", hidden_size=H, layout=1)], {}, "nothing like layout=1"),
        ([op("ReverseSequence", "x s", "z"), op("LSTM", "z W R B", "Y Yh", hidden_size=H)],
         {"s": np.array([T])}, r"node n_z \(ReverseSequence\)"),
        ([op("LSTM", "x W R B", "Y Yq", hidden_size=H), op("Gather", "Y t", "q"),
          op("Identity", "q", "Yh")], {"t": np.array(2)}, r"node n_q \(Gather\): .* at frame 2"),
    ],
)  # fmt: skip
def test_what_is_no_plain_lstm_is_refused(
    tmp_path: Path, nodes: list[Any], more: dict[str, Any], match: str
) -> None:
    with pytest.raises(UnsupportedLayerError, match=match):
        import_model(saved(tmp_path, [*nodes, SQUEEZE, GEMM], **more))


@pytest.mark.parametrize(
    ("before", "more"),
    [
        (op("Mul", "x s", "z"), {"s": random(X)}),
        (op("Sub", "s x", "z"), {"s": random(1, 1, X)}),
        (op("Div", "x s", "z"), {"s": np.float32(0.3)}),
        (op("Neg", "x", "z"), {}),
    ],
)
def test_scales_of_the_input_become_weights(tmp_path: Path, before: Any, more: Any) -> None:
    lstm = op("LSTM", "z W R B", "Y Yh", hidden_size=H)
    network = check(saved(tmp_path, [before, lstm, SQUEEZE, GEMM], **more))
    assert network.imported.reading.folded == (f"n_z ({before.op_type})",)
    assert f"folded into weights and biases: n_z ({before.op_type})" in network.imported.notes


@pytest.mark.parametrize(
    ("scale", "match"),
    [
        (random(T, 1, X), "differs along more than units"),
        (random(T, 1, 1), "scales by more than units"),
        (np.zeros(X, np.float32), "NaN or infinite"),
    ],
)
def test_other_scales_are_refused(tmp_path: Path, scale: np.ndarray, match: str) -> None:
    nodes = [op("Div", "x s", "z"), op("LSTM", "z W R B", "Y Yh", hidden_size=H)]
    with pytest.raises(UnsupportedLayerError, match=rf"^node n_\w \(\w+\): .*{match}"):
        import_model(saved(tmp_path, [*nodes, SQUEEZE, GEMM], s=scale))


def test_sequence_lens_of_all_frames_and_zero_states_pass(tmp_path: Path) -> None:
    lstm = op("LSTM", "x W R B s h0 h0", "Y Yh", hidden_size=H)
    zero = np.zeros((1, 1, H), np.float32)
    check(saved(tmp_path, [lstm, SQUEEZE, GEMM], s=np.array([T], np.int32), h0=zero))


def damaged(nodes: list[Any], at: int, change: Any) -> list[Any]:
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    change(copies[at])
    return copies


def _untyped(node: Any) -> None:
    node.attribute[0].type = 0


@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        ([op("Identity", "q", "q"), LSTM, SQUEEZE, GEMM], r"node n_q \(Identity\): .* is cyclic"),
        ([op("Neg", "u", "v"), op("Neg", "v", "u"), LSTM, SQUEEZE, GEMM], "is cyclic"),
        ([op("Constant", "", "k"), LSTM, SQUEEZE, GEMM], "must have one attribute"),
        ([LSTM, SQUEEZE, op("Gemm", "h F b", "y", transB=1.0)], "attribute transB of another type"),
        ([LSTM, SQUEEZE, op("Gemm", "h F b", "y", nonsense=1)], "nonsense that Gemm has not"),
        ([LSTM, SQUEEZE, op("Cast", "h", "y")], "lacks its attribute to"),
        ([LSTM, SQUEEZE, damaged([GEMM], 0, _untyped)[0]], "attribute transB of another type"),
        ([LSTM, SQUEEZE, op("Gemm", "h", "y")], "has 1 inputs, Gemm takes 2 to 3"),
        ([LSTM, SQUEEZE, op("Gemm", "h nobody", "y")], "reads nobody, which nobody writes"),
        ([LSTM, SQUEEZE, GEMM, op("Identity", "h", "y")], "writes y, which stands already"),
        ([op("Concat", "W W", "V", axis=0), op("LSTM", "x V R B", "Y Yh"), SQUEEZE, GEMM],
         r"W has shape \(2, 16, 5\), must be \(1, 16, 5\)"),
        ([op("Concat", "W axis", "V", axis=0), op("LSTM", "x V R B", "Y Yh"), SQUEEZE, GEMM],
         r"node n_V \(Concat\) cannot be computed from constants of shapes"),
    ],
)  # fmt: skip
def test_a_damaged_graph_is_one_clear_error(tmp_path: Path, nodes: list[Any], match: str) -> None:
    with pytest.raises(CheckpointError, match=match):
        import_model(saved(tmp_path, nodes))


def test_constants_do_not_grow_without_bound(tmp_path: Path) -> None:
    doubled = [op("Concat", f"W{n} W{n}", f"W{n + 1}", axis=0) for n in range(40)]
    lstm = op("LSTM", "x W40 R B", "Y Yh")
    with pytest.raises(CheckpointError, match="constants grow to"):
        import_model(saved(tmp_path, [*doubled, lstm, SQUEEZE, GEMM], W0=WEIGHTS["W"]))


def test_contradictory_shapes_and_functions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match=r"contradictory shapes: .* \[1, 6\] of y"):
        import_model(saved(tmp_path, [LSTM, SQUEEZE, GEMM], out=(1, 6)))
    path = saved(tmp_path, [LSTM, SQUEEZE, GEMM])
    model = onnx.load(str(path))
    opset = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Relu", ["a"], ["b"])]
    model.functions.append(helper.make_function("own", "Squeeze", ["a"], ["b"], body, opset))
    model.graph.node[1].domain = "own"
    model.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save(model, str(path))
    with pytest.raises(UnsupportedLayerError, match=r"n_h \(Squeeze\): a local function"):
        import_model(path)


def test_old_and_nameless_opsets_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, [LSTM, SQUEEZE, GEMM])
    model = onnx.load(str(path))
    model.opset_import[0].version = 6
    onnx.save(model, str(path))
    with pytest.raises(CheckpointError, match="is of ONNX opset 6: export it with opset 13"):
        import_model(path)


def test_weights_in_a_file_that_is_gone(tmp_path: Path) -> None:
    path = saved(tmp_path, [LSTM, SQUEEZE, GEMM])
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    assert import_model(path).reading is not None
    (tmp_path / "w.bin").unlink()
    with pytest.raises(CheckpointError, match=r"other files that cannot be read \(w\.bin\)"):
        import_model(path)


def test_a_difference_says_where_it_begins(tmp_path: Path) -> None:
    above = op("LSTM", "s W1 R B", "Y1 Yh", hidden_size=H)
    nodes = [LSTM, op("Squeeze", "Y one", "s"), above, SQUEEZE, GEMM]
    nodes[0] = op("LSTM", "x W R B", "Y", hidden_size=H)
    path = saved(tmp_path, nodes, one=np.array([1]), W1=random(1, 4 * H, H))
    read = read_onnx(path)
    assert compare(read, read.tensors) == ""
    for name, where in {
        "lstm.weight_hh_l1": r"n_Y1 \(LSTM\)",
        "linear.bias": r"n_y \(Gemm\)",
    }.items():
        wrong = read.tensors | {name: read.tensors[name] + 0.01}
        with pytest.raises(
            CheckpointError, match=f"differs from the file, and first so at node {where}"
        ):
            compare(read, wrong)


def test_a_normalisation_that_weights_cannot_take_up_is_found(tmp_path: Path) -> None:
    nodes = [op("Sub", "x s", "z"), op("LSTM", "z W R B", "Y Yh", hidden_size=H), SQUEEZE, GEMM]
    with pytest.raises(CheckpointError, match=r"differs from the file, .*n_Y \(LSTM\)"):
        import_model(saved(tmp_path, nodes, s=np.full(X, 3e6, np.float32)))


def test_frames_of_the_user_are_run(tmp_path: Path) -> None:
    nodes = [op("Sub", "x s", "z"), op("LSTM", "z W R B", "Y Yh", hidden_size=H), SQUEEZE, GEMM]
    path = saved(tmp_path, nodes, s=np.full(X, 2, np.float32))
    assert import_model(path).reading is not None
    assert load_network(path, frames=[random(4, X)]).imported.reading.checked  # type: ignore[union-attr]
    assert import_model(path, frames=[random(9, X + 1)]).reading is not None  # of another width


def test_without_the_runtime_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, [LSTM, SQUEEZE, GEMM])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = import_model(path)
    assert found.reading is not None
    assert not found.reading.checked
    assert found.notes[0].startswith(
        "not checked against the file: the package onnxruntime is not installed: it comes with"
    )


def test_a_head_at_every_frame_is_read_where_the_runtime_agrees_and_no_axis_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = [op("MatMul", "f FT", "q"), op("Add", "q b", "y")]
    for axis, kept in ((1, True), (2, False)):  # of the one direction; of the one sequence too
        frames = [op("Squeeze", "Y one", "g"), *([op("Squeeze", "g one", "f")] * (axis == 2))]
        frames[-1].output[0] = "f"
        path = saved(tmp_path, [LSTM, *frames, *head], one=np.array([1]))
        if kept:
            assert load_network(path).fed == "every"
            with monkeypatch.context() as patch:
                patch.setitem(sys.modules, "onnxruntime", None)
                with pytest.raises(UnsupportedLayerError, match="could not be checked against"):
                    load_network(path)
        else:
            with pytest.raises(UnsupportedLayerError, match="no axis for the sequences: keep it"):
                load_network(path)


def test_a_huge_declared_input_is_not_tried(tmp_path: Path) -> None:
    found = import_model(saved(tmp_path, [LSTM, SQUEEZE, GEMM], shape=(1 << 30, 1, X)))
    assert "too large to be tried" in found.notes[0]


def test_matrices_alone_are_read_whatever_the_graph_makes_of_them(tmp_path: Path) -> None:
    nodes = [LSTM, SQUEEZE, op("Relu", "h", "r"), op("Gemm", "r F b", "y", transB=1)]
    path = saved(tmp_path, nodes)
    with pytest.raises(UnsupportedLayerError, match=r"node n_r \(Relu\): Relu changes values"):
        import_model(path)
    found = import_model(path, matrices=True)
    assert len(found.state_dict) == 6
    assert found.reading is None
    assert found.notes == ("matrices alone: not checked against the file",)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    before = op("Sub", "x s", "z")
    lstm = op("LSTM", "z W R B - h0 h0", "Y Yh", hidden_size=H)
    zeros = np.zeros((1, 1, H), np.float32)
    path = saved(tmp_path, [before, lstm, SQUEEZE, GEMM], s=random(X), h0=zeros)
    whole, draw = path.read_bytes(), np.random.default_rng(seed)
    for _ in range(60):
        bytes_now = bytearray(whole)
        for at in draw.integers(len(whole), size=int(draw.integers(1, 4))):
            bytes_now[at] = int(draw.integers(256))
        path.write_bytes(bytes_now)
        with suppress(CheckpointError, UnsupportedLayerError):
            import_model(path)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = saved(tmp_path, [LSTM, SQUEEZE, GEMM])
    path.write_bytes(path.read_bytes().replace(b"Squeeze", b"Squee\xffe"))
    with pytest.raises(CheckpointError, match="nor a readable ONNX model"):
        import_model(path)


def test_an_input_of_half_the_width_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, [LSTM, SQUEEZE, GEMM])
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match="input x is float16: export the network in float32"):
        import_model(path)


TABLE = op("Gather", "table tokens", "x")
FORMS: dict[str, tuple[list[Any], str]] = {
    "looked up": (
        [],
        "n_x (Gather): the input tokens is whole numbers (tokens), looked up",
    ),
    "another form": ([op("Unsqueeze", "i axis", "tokens")], "an embedding of 20 x 5"),
    "cast": ([op("Cast", "i", "tokens", to=TensorProto.INT64)], "with (batch, frames, 5) of float"),
    "computed with": ([op("Add", "i axis", "tokens")], "n_tokens (Add): the input i is whole num"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [TensorProto.INT32, TensorProto.INT64])
def test_tokens_are_named_as_what_they_are(tmp_path: Path, form: str, kind: int) -> None:
    before, words = FORMS[form]
    path = saved(tmp_path, [*before, TABLE, LSTM, SQUEEZE, GEMM], table=random(20, X))
    model = onnx.load(str(path))
    shape = [T] if form == "another form" else [T, 1]
    name = "i" if before else "tokens"
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info(name, kind, shape))
    onnx.save(model, str(path))
    with pytest.raises(UnsupportedLayerError) as caught:
        import_model(path)
    assert words in str(caught.value)


def test_a_plain_rnn_is_named(tmp_path: Path) -> None:
    cell = op("RNN", "x W R", "Y Yh", hidden_size=H)
    path = saved(tmp_path, [cell, SQUEEZE, GEMM], W=random(1, H, X), R=random(1, H, H))
    with pytest.raises(UnsupportedLayerError, match=r"n_Y \(RNN\): a plain RNN \(torch.nn.RNN"):
        load_network(path)


STEPS = {
    "LSTM": (3, 2, "has no LSTM or GRU node but 2 steps of a cell, as nn.LSTMCell"),
    "GRU": (2, 1, "has no LSTM or GRU node but 2 steps of a cell, as nn.GRUCell"),
    "RNN": (0, 1, r"node, it is a plain RNN \(torch.nn.RNN\) step by step"),
}


@pytest.mark.parametrize("cell", STEPS)
def test_steps_without_a_node_of_their_own_are_named(tmp_path: Path, cell: str) -> None:
    sigmoids, tanhs, words = STEPS[cell]
    kinds = [*["Sigmoid"] * sigmoids, *["Tanh"] * tanhs] * 2
    nodes = [op("MatMul", "x F", "v0")]
    nodes += [op(kind, f"v{n}", f"v{n + 1}") for n, kind in enumerate(kinds)]
    nodes.append(op("Identity", f"v{len(kinds)}", "y"))
    path = saved(tmp_path, nodes, F=random(X, C))
    with pytest.raises(UnsupportedLayerError, match=words):
        load_network(path)
    assert list(import_model(path, matrices=True).state_dict) == ["linear.weight"]


def test_a_perceptron_is_no_unrolled_cell(tmp_path: Path) -> None:
    path = saved(tmp_path, [op("MatMul", "x F", "q"), op("Tanh", "q", "y")], F=random(X, C))
    with pytest.raises(CheckpointError, match="0 recurrent modules"):
        load_network(path)
