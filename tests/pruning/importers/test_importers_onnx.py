"""ONNX models, checked against ONNX Runtime."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from pruning.files.network import load_network
from pruning.importers import import_model
from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError
from pruning.reset_first import ResetFirstGRU

GATES = {"LSTM": 4, "GRU": 3}


def arrays(cell: str, inputs: int, hidden: int, directions: int, seed: int) -> list[Any]:
    """W, R and B of a node, random."""
    random, rows = np.random.default_rng(seed), GATES[cell] * hidden
    shapes = [(directions, rows, inputs), (directions, rows, hidden), (directions, 2 * rows)]
    return [random.uniform(-0.9, 0.9, shape).astype(np.float32) for shape in shapes]


def node(cell: str, hidden: int, at: str = "", **attributes: Any) -> Any:
    names = [f"x{at}", f"W{at}", f"R{at}", f"B{at}"]
    return helper.make_node(cell, names, [f"y{at}"], f"cell{at}", hidden_size=hidden, **attributes)


def written(path: Path, nodes: list[Any], constants: dict[str, Any], inputs: int) -> Path:
    values = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", "B", inputs])
    y = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "graph", [x], [y], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def single(path: Path, cell: str = "LSTM", directions: int = 1, **attributes: Any) -> Path:
    parts = dict(zip("WRB", arrays(cell, 5, 3, directions, 1), strict=True))
    return written(path / "single.onnx", [node(cell, 3, **attributes)], parts, 5)


def run(path: Path, x: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def frames(inputs: int = 5) -> Tensor:
    return torch.randn(7, 2, inputs, generator=torch.Generator().manual_seed(9))


def merged(y: Tensor) -> Tensor:
    """ONNX's (T, directions, B, H) as torch has it."""
    return y.transpose(1, 2).flatten(2)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_one_node_computes_the_same(tmp_path: Path, cell: str, direction: str) -> None:
    both = direction == "bidirectional"
    more = {"linear_before_reset": 1} if cell == "GRU" else {}
    path = single(tmp_path, cell, 1 + both, direction=direction, **more)
    module = getattr(nn, cell)(5, 3, bidirectional=both)
    module.load_state_dict(
        {n.removeprefix(f"{cell.lower()}."): t for n, t in import_model(path).state_dict.items()}
    )
    torch.testing.assert_close(module(frames())[0], merged(run(path, frames())))


class Network(nn.Module):
    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.lstm = nn.LSTM(5, 4, num_layers=3, bidirectional=True, bias=bias)
        self.gru = nn.GRU(8, 3, bias=bias)
        self.out = nn.Linear(3, 6, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.out(self.gru(self.lstm(x)[0])[0]))


@pytest.mark.parametrize("bias", [True, False])
def test_what_torch_exports_comes_back_bit_for_bit(tmp_path: Path, bias: bool) -> None:
    network = Network(bias).eval()
    with torch.no_grad():
        network.get_parameter("lstm.weight_hh_l1")[:, ::2] = 0
    path = tmp_path / "network"
    with warnings.catch_warnings():
        # The exporter warns of batch sizes and of its own age.
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (frames(),), path, dynamo=False, input_names=["x"])
    found = import_model(path)
    loaded = Network(bias)
    loaded.load_state_dict(found.state_dict)
    for name, tensor in network.state_dict().items():
        assert torch.equal(found.state_dict[name], tensor), name
    torch.testing.assert_close(loaded(frames()), run(path, frames()), rtol=1e-5, atol=1e-6)
    assert (found.source, list(found.masks)) == ("onnx: plain zeros", ["lstm.weight_hh_l1"])
    assert found.notes == ()


def chain(path: Path, upper: int, between: str) -> Path:
    """Two LSTM nodes, the upper one of other size or behind other arithmetic."""
    lower = dict(zip(("W", "R", "B"), arrays("LSTM", 5, 4, 1, 1), strict=True))
    above = dict(zip(("W1", "R1", "B1"), arrays("LSTM", 4, upper, 1, 2), strict=True))
    squeeze = helper.make_node("Squeeze", ["y", "axis"], ["s"])
    nodes = [node("LSTM", 4), squeeze, helper.make_node(between, ["s"], ["x1"])]
    nodes.append(node("LSTM", upper, "1"))
    return written(path / "chain", nodes, lower | above | {"axis": np.array([1])}, 5)


def test_nodes_that_feed_each_other_are_one_stacked_module(tmp_path: Path) -> None:
    path = chain(tmp_path, 4, "Identity")
    state = import_model(path).state_dict
    lstm = nn.LSTM(5, 4, num_layers=2)
    lstm.load_state_dict({name.removeprefix("lstm."): t for name, t in state.items()})
    torch.testing.assert_close(lstm(frames())[0], merged(run(path, frames())))


@pytest.mark.parametrize(("upper", "between"), [(3, "Identity"), (4, "Relu")])
def test_nodes_that_no_single_module_can_be_are_kept_apart(
    tmp_path: Path, upper: int, between: str
) -> None:
    state = import_model(chain(tmp_path, upper, between), matrices=True).state_dict
    assert state["lstm.weight_hh_l0"].shape == (16, 4)
    assert state["lstm_1.weight_hh_l0"].shape == (4 * upper, upper)
    assert len(state) == 8


@pytest.mark.parametrize(
    ("attributes", "match"),
    [
        ({"clip": 3.0}, r"node cell \(LSTM\): torch's LSTM has nothing like clip=3\.0"),
        ({"direction": "reverse"}, "nothing like direction=reverse"),
        ({"input_forget": 1}, "nothing like input_forget=1"),
        ({"activations": ["HardSigmoid", "Tanh", "Tanh"]}, "activations=hardsigmoid,tanh,tanh"),
    ],
)
def test_what_torch_cannot_compute_is_refused(
    tmp_path: Path, attributes: dict[str, Any], match: str
) -> None:
    path = single(tmp_path, **attributes)
    with pytest.raises(UnsupportedLayerError, match=match):
        import_model(path)


def test_default_activations_may_be_spelled_out(tmp_path: Path) -> None:
    path = single(tmp_path, activations=["Sigmoid", "Tanh", "Tanh"])
    assert len(import_model(path).state_dict) == 4


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_gru_with_reset_before_the_product(tmp_path: Path, direction: str) -> None:
    both = direction == "bidirectional"
    path = single(tmp_path, "GRU", 1 + both, direction=direction)
    module, found = ResetFirstGRU(5, 3, bidirectional=both), import_model(path)
    assert found.reading is not None
    assert found.reading.checked
    state = {n.removeprefix("gru."): t for n, t in found.state_dict.items()}
    module.load_state_dict(state)
    torch.testing.assert_close(module(frames())[0], merged(run(path, frames())))
    with pytest.raises(RuntimeError, match=r"Unexpected key.*linear_before_reset"):
        nn.GRU(5, 3, bidirectional=both).load_state_dict(state)
    network = load_network(path)
    assert isinstance(network.recurrent, ResetFirstGRU)
    torch.testing.assert_close(network.recurrent(frames())[0], module(frames())[0])


def with_inputs(path: Path, inputs: list[str], **constants: Any) -> Path:
    parts = dict(zip("WRB", arrays("LSTM", 5, 3, 1, 1), strict=True)) | constants
    lstm = helper.make_node("LSTM", inputs, ["y"], "cell", hidden_size=3)
    return written(path / "inputs.onnx", [lstm], parts, 5)


def test_peepholes_are_refused(tmp_path: Path) -> None:
    peepholes = np.ones((1, 9), np.float32)
    path = with_inputs(tmp_path, ["x", "W", "R", "B", "", "", "", "P"], P=peepholes)
    with pytest.raises(UnsupportedLayerError, match=r"cell \(LSTM\): peepholes \(input P\)"):
        import_model(path)


def test_initial_state_that_is_not_zero_is_refused(tmp_path: Path) -> None:
    inputs = ["x", "W", "R", "B", "", "h0", "c0"]
    zero, one = np.zeros((1, 2, 3), np.float32), np.ones((1, 2, 3), np.float32)
    assert import_model(with_inputs(tmp_path, inputs, h0=zero, c0=zero)).notes == ()
    path = with_inputs(tmp_path, inputs, h0=zero, c0=one)
    with pytest.raises(UnsupportedLayerError, match="a constant initial_c that is not zero"):
        import_model(path)


def test_computed_and_integer_weights_are_refused(tmp_path: Path) -> None:
    path = with_inputs(tmp_path, ["x", "W", "x"])
    with pytest.raises(UnsupportedLayerError, match="its weight R x is computed, not an init"):
        import_model(path)
    path = with_inputs(tmp_path, ["x", "W", "R"], R=np.ones((1, 12, 3), np.int8))
    with pytest.raises(UnsupportedLayerError, match="its weight R R is of int8"):
        import_model(path)


def test_weights_of_impossible_shape_are_named(tmp_path: Path) -> None:
    path = with_inputs(tmp_path, ["x", "W", "R"], R=np.ones((1, 12, 4), np.float32))
    with pytest.raises(CheckpointError, match=r"R has shape \(1, 12, 4\), must be \(1, 12, 3\)"):
        import_model(path)


def test_cells_that_would_be_lost_are_refused(tmp_path: Path) -> None:
    lstm = helper.make_node("DynamicQuantizeLSTM", ["x"], ["y"], "q", domain="com.microsoft")
    path = written(tmp_path / "quantised", [lstm], {}, 5)
    with pytest.raises(UnsupportedLayerError, match=r"node q \(DynamicQuantizeLSTM\)"):
        import_model(path)
    body = helper.make_graph([node("LSTM", 3)], "body", [], [])
    loop = helper.make_node("Loop", ["x"], ["y"], "loop", body=body)
    with pytest.raises(UnsupportedLayerError, match=r"cell \(LSTM\) in the body of another node"):
        import_model(written(tmp_path / "loop", [loop], {}, 5))


def test_gemm_and_leftover_matrices(tmp_path: Path) -> None:
    weight, table = np.arange(20, dtype=np.float32).reshape(4, 5), np.ones((9, 5), np.float32)
    gemm = helper.make_node("Gemm", ["x", "W", "b"], ["y"], "g", transB=1)
    parts = {"W": weight, "b": np.zeros(4, np.float32), "table": table}
    found = import_model(written(tmp_path / "gemm", [gemm], parts, 5))
    assert torch.equal(found.state_dict["linear.weight"], torch.from_numpy(weight))
    assert found.notes == ("table: no LSTM, GRU or linear node uses it, left out",)
    scaled = helper.make_node("Gemm", ["x", "W"], ["y"], "g", transB=1, alpha=2.0)
    with pytest.raises(UnsupportedLayerError, match=r"node g \(Gemm\): alpha, beta and transA"):
        import_model(written(tmp_path / "scaled", [scaled], parts, 5))


def test_damaged_model_is_named(tmp_path: Path) -> None:
    path = single(tmp_path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="neither a state dict nor a readable ONNX model"):
        import_model(path)


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = single(tmp_path)
    for name in [n for n in sys.modules if n.startswith("pruning.importers.onnx_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(CheckpointError, match=r"onnx is not installed: it comes with the extra"):
        import_model(path)
