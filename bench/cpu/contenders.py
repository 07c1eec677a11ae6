"""Other people's matrix-vector products and LSTM steps, given the weights of ours.

Everything runs one vector on one thread, and keeps its state from call to call. Sparse
matrices have int32 indices; ONNX Runtime quantises dense weights to 8 bits, and activations
anew in every call, which is its dynamic quantisation.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime  # type: ignore[import-untyped]
import scipy.sparse
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]
from scipy.special import expit
from torch import Tensor, nn

from csb_format import LstmLayer
from csb_format.files.folders import temporary_folder

from .mkl import MklCsr

__all__ = [
    "Contender",
    "Weights",
    "gates_of",
    "lstm_module",
    "lstm_steps",
    "products",
    "session_of",
    "weights_of",
]

FloatArray = npt.NDArray[np.float32]
ONNX_VERSION, OPSET = 10, 17


class Contender(NamedTuple):
    """Something to time: a call that returns its result, and the bytes of its weights."""

    call: Callable[[], Any]
    bytes: int


@dataclass(frozen=True)
class Weights:
    """Dense float32 weights of one layer, gates i, f, g, o."""

    ih: FloatArray
    hh: FloatArray
    bias: FloatArray
    hr: FloatArray | None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Inputs, units, outputs."""
        return self.ih.shape[1], len(self.bias) // 4, self.hh.shape[1]


def weights_of(layer: LstmLayer) -> Weights:
    """What the integers of a layer stand for."""
    ih, hh = (
        getattr(layer, side).to_dense()
        * np.repeat([f.lsb for f in layer.gate_formats(side)], layer.hidden_size)[:, None]
        for side in ("weight_ih", "weight_hh")
    )
    last = layer.projection
    hr = None if last is None else (last.weight.to_dense() * last.weight_format.lsb)
    bias = layer.state.dequantise(layer.bias)
    found = (None if w is None else w.astype(np.float32) for w in (ih, hh, bias, hr))
    return Weights(*found)  # type: ignore[arg-type]


def products(weight: FloatArray, x: FloatArray, mkl: bool) -> dict[str, Contender]:
    """``weight @ x`` by everyone, and by MKL where it is asked for."""
    csr, sparse, dense = _csr(weight), _torch_csr(weight), torch.from_numpy(weight)
    vector = torch.from_numpy(x)
    runtime, size = _matmul_session(weight)
    given = {"x": onnxruntime.OrtValue.ortvalue_from_numpy(x[None])}

    def quantised() -> Any:
        return runtime.run_with_ort_values(None, given)[0].numpy()[0]

    others = {}
    if mkl:
        hinted = MklCsr(csr)
        others["MKL CSR"] = Contender(lambda: hinted @ x, _csr_bytes(csr))
    return others | {
        "scipy CSR": Contender(lambda: csr @ x, _csr_bytes(csr)),
        "torch CSR int32": Contender(lambda: sparse @ vector, _csr_bytes(csr)),
        "torch dense": Contender(lambda: dense @ vector, weight.nbytes),
        "ONNX Runtime int8": Contender(quantised, size),
    }


def lstm_steps(weights: Weights, x: FloatArray, mkl: bool) -> dict[str, Contender]:
    """A step with input ``x`` by everyone; results are the new outputs, (R,)."""
    both = np.ascontiguousarray(np.concatenate([weights.ih, weights.hh], axis=1))
    sparse_bytes = sum(_csr_bytes(_csr(w)) for w in (both, weights.hr) if w is not None)
    dense_bytes = sum(w.nbytes for w in (both, weights.hr) if w is not None)
    runtime, size = _step_session(weights)
    found = {
        "scipy CSR": Contender(_scipy_step(weights, both, x, _csr), sparse_bytes),
        "torch CSR int32": Contender(_torch_step(weights, both, x, _torch_csr), sparse_bytes),
        "torch dense": Contender(_torch_step(weights, both, x, torch.from_numpy), dense_bytes),
        "torch.nn.LSTM": Contender(_module_step(weights, x), dense_bytes),
        "ONNX Runtime int8": Contender(_runtime_step(weights, runtime, x[None]), size),
    }
    if mkl:
        hinted = _scipy_step(weights, both, x, lambda weight: MklCsr(_csr(weight)))
        found["MKL CSR"] = Contender(hinted, sparse_bytes)
    if weights.hr is None:
        runtime, size = _lstm_session(weights)
        found["ONNX Runtime int8 LSTM"] = Contender(_runtime_lstm(weights, runtime, x), size)
    return found


def _csr(weight: FloatArray) -> Any:
    csr = scipy.sparse.csr_array(weight)
    csr.indices, csr.indptr = csr.indices.astype(np.int32), csr.indptr.astype(np.int32)
    return csr


def _csr_bytes(csr: Any) -> int:
    return int(csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes)


def _torch_csr(weight: FloatArray) -> Tensor:
    csr = _csr(weight)
    starts, columns, values = (torch.from_numpy(a) for a in (csr.indptr, csr.indices, csr.data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sparse CSR is in beta state
        return torch.sparse_csr_tensor(
            starts, columns, values, size=weight.shape, check_invariants=True
        )


def _scipy_step(
    weights: Weights, both: FloatArray, x: FloatArray, kind: Callable[[FloatArray], Any]
) -> Callable[[], Any]:
    matrix, hr = kind(both), None if weights.hr is None else kind(weights.hr)
    _, units, outputs = weights.sizes
    r, c = np.zeros(outputs, np.float32), np.zeros(units, np.float32)

    def step() -> Any:
        nonlocal r, c
        gates = (matrix @ np.concatenate([x, r]) + weights.bias).reshape(4, -1)
        i, f, o = expit(gates[0]), expit(gates[1]), expit(gates[3])
        c = f * c + i * np.tanh(gates[2])
        h = o * np.tanh(c)
        r = h if hr is None else hr @ h
        return r

    return step


def _torch_step(
    weights: Weights, both: FloatArray, x: FloatArray, kind: Callable[[FloatArray], Tensor]
) -> Callable[[], Any]:
    matrix, hr = kind(both), None if weights.hr is None else kind(weights.hr)
    _, units, outputs = weights.sizes
    bias, frame = torch.from_numpy(weights.bias), torch.from_numpy(x)
    r, c = torch.zeros(outputs), torch.zeros(units)

    def step() -> Any:
        nonlocal r, c
        gates = torch.addmv(bias, matrix, torch.cat([frame, r])).reshape(4, -1)
        i, f, o = gates[0].sigmoid(), gates[1].sigmoid(), gates[3].sigmoid()
        c = torch.addcmul(f * c, i, gates[2].tanh())
        h = o * c.tanh()
        r = h if hr is None else hr @ h
        return r

    return step


def lstm_module(weights: Weights) -> nn.LSTM:
    """Torch's own layer."""
    inputs, units, outputs = weights.sizes
    lstm = nn.LSTM(inputs, units, proj_size=0 if weights.hr is None else outputs)
    given = {"weight_ih_l0": weights.ih, "weight_hh_l0": weights.hh, "bias_ih_l0": weights.bias}
    given["bias_hh_l0"] = np.zeros_like(weights.bias)
    if weights.hr is not None:
        given["weight_hr_l0"] = weights.hr
    lstm.load_state_dict({name: torch.from_numpy(w) for name, w in given.items()})
    return lstm


def _module_step(weights: Weights, x: FloatArray) -> Callable[[], Any]:
    lstm, (_, units, outputs) = lstm_module(weights), weights.sizes
    frame = torch.from_numpy(x[None, None])
    state = torch.zeros(1, 1, outputs), torch.zeros(1, 1, units)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oneDNN has no projections; said once a process
        lstm(frame, state)

    def step() -> Any:
        nonlocal state
        output, state = lstm(frame, state)
        return output[0, 0]

    return step


def session_of(
    nodes: list[Any],
    inputs: dict[str, Any],
    outputs: list[str],
    constants: dict[str, Any],
    quantised: bool = True,
) -> tuple[Any, int]:
    """A graph, with weights in int8 if they are quantised, on one thread; and their bytes."""
    graph = helper.make_graph(
        nodes,
        "step",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = ONNX_VERSION
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with temporary_folder("bench") as folder:
        path = Path(folder, "plain.onnx")
        onnx.save(model, path)
        if quantised:
            path = _quantised(path)
        weights = [numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer]
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session, sum(w.nbytes for w in weights)


def _quantised(plain: Path) -> Path:
    made = plain.with_name("int8.onnx")
    logging.disable(logging.WARNING)  # it would like a model simplified before
    quantize_dynamic(plain, made, weight_type=QuantType.QInt8)
    logging.disable(logging.NOTSET)
    return made


def _matmul_session(weight: FloatArray) -> tuple[Any, int]:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return session_of(nodes, {"x": [1, weight.shape[1]]}, ["y"], {"w": weight.T})


def _step_session(weights: Weights, batch: int = 1) -> tuple[Any, int]:
    """The equations of a step, one node each: an ONNX LSTM cannot have a projection."""
    inputs, units, outputs = weights.sizes
    node = helper.make_node
    nodes = [
        node("Concat", ["x", "r"], ["xr"], axis=1),
        node("MatMul", ["xr", "w"], ["sums"]),
        node("Add", ["sums", "bias"], ["gates"]),
        node("Split", ["gates"], ["i", "f", "g", "o"], axis=1),
        *(node("Sigmoid", [gate], [f"{gate}1"]) for gate in "ifo"),
        node("Tanh", ["g"], ["g1"]),
        node("Mul", ["f1", "c"], ["kept"]),
        node("Mul", ["i1", "g1"], ["new"]),
        node("Add", ["kept", "new"], ["next_c"]),
        node("Tanh", ["next_c"], ["c1"]),
        node("Mul", ["o1", "c1"], ["next_r" if weights.hr is None else "h"]),
    ]
    constants = {"w": np.concatenate([weights.ih, weights.hh], axis=1).T, "bias": weights.bias}
    if weights.hr is not None:
        nodes.append(node("MatMul", ["h", "hr"], ["next_r"]))
        constants["hr"] = weights.hr.T
    given = {"x": [batch, inputs], "r": [batch, outputs], "c": [batch, units]}
    return session_of(nodes, given, ["next_r", "next_c"], constants)


def _runtime_step(weights: Weights, session: Any, x: FloatArray) -> Callable[[], Any]:
    """For frames (B, X); the new outputs of the first."""
    _, units, outputs = weights.sizes
    values = [x, *(np.zeros((len(x), n), np.float32) for n in (outputs, units))]
    frame, r, c = (onnxruntime.OrtValue.ortvalue_from_numpy(v) for v in values)

    def step() -> Any:
        nonlocal r, c
        r, c = session.run_with_ort_values(None, {"x": frame, "r": r, "c": c})
        return r.numpy()[0]

    return step


def _lstm_session(weights: Weights) -> tuple[Any, int]:
    """ONNX's own LSTM, a step a call."""
    inputs, units, _ = weights.sizes
    names = ["x", "w", "r", "b", "", "h", "c"]
    node = helper.make_node("LSTM", names, ["", "next_h", "next_c"], hidden_size=units)
    given = {"x": [1, 1, inputs], "h": [1, 1, units], "c": [1, 1, units]}
    return session_of([node], given, ["next_h", "next_c"], gates_of(weights))


def gates_of(weights: Weights) -> dict[str, FloatArray]:
    """Weights of ONNX's own LSTM, gates i, o, f, c."""
    gates = {"w": weights.ih, "r": weights.hh, "b": weights.bias[:, None]}
    constants = {name: _iofc(w)[None] for name, w in gates.items()}
    bias = constants["b"][..., 0]
    return constants | {"b": np.concatenate([bias, np.zeros_like(bias)], axis=1)}


def _iofc(weight: FloatArray) -> FloatArray:
    i, f, g, o = np.split(weight, 4)
    return np.concatenate([i, o, f, g])


def _runtime_lstm(weights: Weights, session: Any, x: FloatArray) -> Callable[[], Any]:
    units = weights.sizes[1]
    values = [x[None, None], *np.zeros((2, 1, 1, units), np.float32)]
    frame, h, c = (onnxruntime.OrtValue.ortvalue_from_numpy(v) for v in values)

    def step() -> Any:
        nonlocal h, c
        h, c = session.run_with_ort_values(None, {"x": frame, "h": h, "c": c})
        return h.numpy()[0, 0]

    return step
