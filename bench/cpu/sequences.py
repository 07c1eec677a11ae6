"""Whole sequences in one call, ours beside ONNX Runtime and torch; weights of one layer."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import torch
from onnx import helper

from csb_format import Model
from csb_format.random_models import random_frames, random_network
from engine.exact import FastModel
from engine.reference import IntegerModel

from .contenders import Contender, Weights, gates_of, lstm_module, session_of, weights_of
from .turns import in_turns

__all__ = ["SEQUENCES", "STEPS", "YARDSTICK", "others", "sequence_row"]

STEPS, SEED = 20, 0
# Inputs, units, and what is kept in a bank: 87.5 %.
SEQUENCES: list[tuple[dict[str, Any], int]] = [
    ({"input_size": x, "hidden_size": h, "banks": banks, "k": k}, batch)
    for batch in (1, 16)
    for x, h, banks, k in (
        (40, 128, 8, (1, 2, 0)),
        (153, 512, 9, (2, 7, 0)),
        (1024, 1024, 16, (8, 8, 0)),
    )
]
YARDSTICK = "ONNX Runtime int8"
TOLERANCE = 1e-3


def sequence_row(shape: dict[str, Any], batch: int, rounds: int) -> dict[str, Any]:
    """Microseconds of a step of the whole batch."""
    rng = np.random.default_rng(SEED)
    model = random_network(rng, **shape, value_bits=8)
    frames = random_frames(rng, model, [STEPS] * batch)
    found = _all(model, frames)
    times = in_turns({name: c.call for name, c in found.items()}, rounds, 1)
    each = {name: [1e6 * t / STEPS for t in of] for name, of in times.items()}
    ratios = {
        n: [y / t for y, t in zip(each[YARDSTICK], of, strict=True)] for n, of in each.items()
    }
    return {
        "what": f"{STEPS} steps a call, {shape['input_size']} -> {shape['hidden_size']}, "
        f"batch {batch}",
        "us": {name: statistics.median(of) for name, of in each.items()},
        "least_us": {name: min(of) for name, of in each.items()},
        "times_as_fast_as_onnx_runtime_int8": {n: statistics.median(r) for n, r in ratios.items()},
        "bytes": {name: c.bytes for name, c in found.items()},
        "errors": {},
    }


def _all(model: Model, frames: list[Any]) -> dict[str, Contender]:
    fast = FastModel(model)
    found = {"int8": Contender(lambda: fast.run(frames), fast.bytes)} | others(model, frames)
    _check(model, frames, found)
    return found


def others(model: Model, frames: list[Any]) -> dict[str, Contender]:
    """The sequences by ONNX Runtime and torch, with the weights of the first layer."""
    weights = weights_of(model.layers[0])
    x = model.layers[0].input.dequantise(np.stack(frames, axis=1)).astype(np.float32)
    found = {f"ONNX Runtime {n}": _runtime(weights, x, n == "int8") for n in ("int8", "float32")}
    return found | {"torch.nn.LSTM": _torch(weights, x)}


def _check(model: Model, frames: list[Any], found: dict[str, Contender]) -> None:
    """Ours are the reference's integers, the floats of others each other's."""
    want = IntegerModel(model).run(frames[:1])[0].output
    if not np.array_equal(found["int8"].call()[0].output, want):
        raise SystemExit("error: sequences differ from the integer reference")
    floats = [found[n].call() for n in ("ONNX Runtime float32", "torch.nn.LSTM")]
    if not np.abs(floats[0] - floats[1]).max() < TOLERANCE:
        raise SystemExit("error: ONNX Runtime and torch differ")


def _runtime(weights: Weights, x: Any, quantised: bool) -> Contender:
    units = weights.sizes[1]
    node = helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], hidden_size=units)
    session, size = session_of([node], {"x": x.shape}, ["y"], gates_of(weights), quantised)
    return Contender(lambda: session.run(None, {"x": x})[0][:, 0], size)


def _torch(weights: Weights, x: Any) -> Contender:
    lstm, frames = lstm_module(weights), torch.from_numpy(x)
    return Contender(lambda: lstm(frames)[0].numpy(), weights.ih.nbytes + weights.hh.nbytes)
