"""Products and LSTM steps of many vectors at once, dense: by oneDNN and ONNX Runtime.

oneDNN comes with torch: float32 with its weights laid out by it, int8 as torch's dynamic
quantisation calls it. Where a processor has no oneDNN in torch, it is left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import torch
from onnx import helper
from torch import Tensor, nn
from torch.utils import mkldnn  # a submodule that torch.utils does not import

from .contenders import FloatArray, Weights, _runtime_step, _step_session, session_of

__all__ = ["many_products", "many_steps"]

Call = Callable[[], Any]
Linear = Callable[[Tensor], Tensor]


def many_products(weight: FloatArray, x: FloatArray) -> dict[str, Call]:
    """``x @ weight.T`` for vectors (B, X) by everyone."""
    vectors = torch.from_numpy(x)
    session = _matmul(weight, len(x))
    given = {"x": onnxruntime.OrtValue.ortvalue_from_numpy(x)}
    found: dict[str, Call] = {
        name: lambda linear=linear: linear(vectors)  # type: ignore[misc]
        for name, linear in _linears(weight, None).items()
    }
    return found | {"ONNX Runtime int8": lambda: session.run_with_ort_values(None, given)}


def many_steps(weights: Weights, x: FloatArray) -> dict[str, Call]:
    """A step of frames (B, X), each with a state of its own."""
    both = np.concatenate([weights.ih, weights.hh], axis=1)
    gates = _linears(both, weights.bias)
    last = _linears(weights.hr, None) if weights.hr is not None else {}
    found = {
        name: _torch_step(weights, linear, last.get(name), torch.from_numpy(x))
        for name, linear in gates.items()
    }
    session, _ = _step_session(weights, len(x))
    return found | {"ONNX Runtime int8": _runtime_step(weights, session, x)}


def _matmul(weight: FloatArray, batch: int) -> Any:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    shapes = {"x": [batch, weight.shape[1]]}
    return session_of(nodes, shapes, ["y"], {"w": weight.T})[0]


def _linears(weight: FloatArray, bias: FloatArray | None) -> dict[str, Linear]:
    """One layer, by oneDNN in both widths."""
    linear = nn.Linear(weight.shape[1], len(weight))
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.zeros(len(weight)) if bias is None else torch.from_numpy(bias))
    found: dict[str, Linear] = {}
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        laid_out = mkldnn.to_mkldnn(linear)  # type: ignore[no-untyped-call]
        found["oneDNN float32"] = lambda x: laid_out(x.to_mkldnn()).to_dense()
    if "onednn" in torch.backends.quantized.supported_engines:
        found["oneDNN int8"] = _quantised(linear)
    return found


def _quantised(linear: nn.Linear) -> Linear:
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "onednn"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao has a successor elsewhere
        quantise: Any = torch.ao.quantization.quantize_dynamic
        model: Linear = quantise(nn.Sequential(linear), {nn.Linear})
    torch.backends.quantized.engine = before
    return model


def _torch_step(weights: Weights, gates: Linear, last: Linear | None, x: Tensor) -> Call:
    _, units, outputs = weights.sizes
    r, c = torch.zeros(len(x), outputs), torch.zeros(len(x), units)

    def step() -> Any:
        nonlocal r, c
        i, f, g, o = gates(torch.cat([x, r], 1)).chunk(4, 1)
        c = torch.addcmul(f.sigmoid() * c, i.sigmoid(), g.tanh())
        h = o.sigmoid() * c.tanh()
        r = h if last is None else last(h)
        return r

    return step
