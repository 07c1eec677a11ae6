"""The largest five logits of one token on this CPU, by everyone, one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from onnx import helper

from csb_format.fixed import IntArray

from ..cpu.contenders import session_of
from ..cpu.turns import in_turns, milliseconds, ratio
from .models import Screened

__all__ = ["OURS", "times"]

OURS = "screened, in C"
CALLED = "screened, a call of Python"
TOP = 5
STATES = 64  # hidden states that take turns
Call = Callable[[], Any]


def times(made: Screened, states: IntArray, rounds: int, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each contender: microseconds a token, and how many times ours it takes."""
    calls = _calls(made, states[:STATES])
    seconds = in_turns(calls, rounds, STATES)
    seconds |= {name: [s / STATES for s in seconds[name]] for name in (OURS,)}
    for name, found in seconds.items():
        slower = {f"times_{k}": v for k, v in ratio(found, seconds[OURS], seed).items()}
        yield {"contender": name, "us": 1e3 * milliseconds(found)} | slower


def _calls(made: Screened, states: IntArray) -> dict[str, Call]:
    head = made.head
    weight = (head.weight * head.weight_format.lsb).astype(np.float32)
    bias = (head.bias * head.last_bit).astype(np.float32)
    real = (states * head.input.lsb).astype(np.float32)
    given = np.ascontiguousarray(states, np.int32)
    single = cycle([state[None] for state in given])
    return {
        OURS: lambda: made.native.top(given, TOP),
        CALLED: lambda: made.native.top(next(single), TOP),
        "numpy float32": _numpy(weight, bias, real),
        "ONNX Runtime float32": _runtime(weight, bias, real, False),
        "ONNX Runtime int8": _runtime(weight, bias, real, True),
    }


def _numpy(weight: Any, bias: Any, real: Any) -> Call:
    states = cycle(real)

    def call() -> Any:
        logits = weight @ next(states) + bias
        found = np.argpartition(logits, -TOP)[-TOP:]
        return found[np.argsort(-logits[found])]

    return call


def _runtime(weight: Any, bias: Any, real: Any, quantised: bool) -> Call:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["logits"]),
        helper.make_node("TopK", ["logits", "k"], ["values", "places"]),
    ]
    constants = {"w": weight.T, "b": bias, "k": np.array([TOP])}
    session, _ = session_of(nodes, {"x": [1, weight.shape[1]]}, ["values"], constants, quantised)
    states = cycle([{"x": onnxruntime.OrtValue.ortvalue_from_numpy(x[None])} for x in real])
    return lambda: session.run_with_ort_values(None, next(states))[0].numpy()
