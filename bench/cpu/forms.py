"""What a product costs in other forms, how near it is to a limit, and how long steps may take.

Forms are networks without recurrent weights, equal in all but the width of a bank or the weights
kept in one. The limit of 4096 x 1024 is the larger of two times: of reading all bytes of its
weights once, by ``memchr``, and of its arithmetic, with weights that the second cache holds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from csb_format import Model
from csb_format.random_models import random_frames, random_network
from engine.native.library import kernels
from engine.native.model import NativeModel
from engine.native.stream import NativeStream

from ..record import processor

__all__ = ["rows"]

SEED, TURN = 0, 200
ROWS = 1024  # units: four times as many rows
# Columns, banks, weights of a bank: the same nonzeros within a hundredth
WIDTHS = ((1024, 16, 8), (1040, 16, 8), (1016, 8, 16), (1024, 8, 16), (1032, 8, 16), (2056, 8, 16))
KEPT = (4, 5, 6, 7, 8)  # of banks of 64
MILLION = 1_000_000


def rows(demo: dict[str, Any], rounds: int, steps: int = MILLION) -> Iterator[dict[str, Any]]:
    """Rows of every kernel but plain C; ``demo`` is the small network of the latencies."""
    for kernel in kernels():
        if kernel != "plain":
            yield from _widths(kernel, rounds)
            yield from _kept(kernel, rounds)
            yield _limit(kernel, rounds)
        yield _latency(demo, kernel, steps if kernel != "plain" else steps // 10)


def _widths(kernel: str, rounds: int) -> Iterator[dict[str, Any]]:
    """Banks of other widths beside those of 64, per nonzero."""
    streams = {form: _product(*form, kernel) for form in WIDTHS}
    least = _least(streams, rounds)
    for form in WIDTHS[1:]:
        name = f"product of 4096 x {form[0]}, banks of {form[0] // form[1]}, {form[2]} of each kept"
        ratio = least[WIDTHS[0]] / least[form]
        yield _row(name, kernel, least[form], {"banks of 64": ratio})


def _kept(kernel: str, rounds: int) -> Iterator[dict[str, Any]]:
    """Per weight, beside eight of a bank."""
    least = _least({k: _product(1024, 16, k, kernel) for k in KEPT}, rounds)
    for k in KEPT[:-1]:
        each = least[max(KEPT)] / max(KEPT) / (least[k] / k)
        name = f"product of 4096 x 1024, banks of 64, {k} of each kept"
        yield _row(name, kernel, least[k], {"8 kept, a weight": each})


def _limit(kernel: str, rounds: int) -> dict[str, Any]:
    """As if the first cache held all weights, or as if nothing was computed."""
    form = (1024, 16, 8, kernel)
    streams = {units: _product(*form, units) for units in (32, 64, ROWS)}
    least = _least(streams, rounds)
    arithmetic = (least[64] - least[32]) * (ROWS - 64) / 32 + least[64]
    bytes_of = sum(layer.bytes for layer in NativeModel(_network(*form[:3])).layers)
    read = _reading(bytes_of, rounds)
    row = _row("product of 4096 x 1024, its limit", kernel, max(arithmetic, read), {})
    row["times_as_fast"] = {"our product": least[ROWS] / row["us"]}
    return row | {"arithmetic_us": arithmetic, "reading_us": read, "bytes": bytes_of}


def _reading(size: int, rounds: int) -> float:
    data, found = bytes(size), []
    for _ in range(20 * rounds):
        start = time.perf_counter()
        data.find(b"x")
        found.append(time.perf_counter() - start)
    return 1e6 * min(found)


def _latency(demo: dict[str, Any], kernel: str, steps: int) -> dict[str, Any]:
    """One stream, every step of so many."""
    model = random_network(np.random.default_rng(SEED), **demo, value_bits=8, act_bits=8)
    each = NativeModel(model, kernel).start().time(_frames(model, 1000), steps)
    p50, p99, p999 = np.percentile(each, (50, 99, 99.9))
    size = f"{demo['input_size']} -> {demo['hidden_size']}"
    row = _row(f"{steps} steps, {size}, weights of 8 bits, states of 8", kernel, p50, {})
    return row | {"p50": float(p50), "p99": float(p99), "p99.9": float(p999)}


def _least(streams: dict[Any, NativeStream[NativeModel]], rounds: int) -> dict[Any, float]:
    """The fastest step of each, in turns: what others do on the machine only adds."""
    frames = {key: _frames(stream.model.model, 8) for key, stream in streams.items()}
    least = dict.fromkeys(streams, np.inf)
    for _ in range(rounds):
        for key, stream in streams.items():
            least[key] = min(least[key], float(stream.time(frames[key], TURN).min()))
    return least


def _product(
    columns: int, banks: int, kept: int, kernel: str, units: int = ROWS
) -> NativeStream[NativeModel]:
    return NativeModel(_network(columns, banks, kept, units), kernel).start()


def _network(columns: int, banks: int, kept: int, units: int = ROWS) -> Model:
    rng = np.random.default_rng(SEED)
    sizes = {"input_size": columns, "hidden_size": units, "banks": (banks, 1, 1)}
    return random_network(rng, **sizes, k=(kept, 0, 0), value_bits=8, act_bits=8)  # type: ignore[arg-type]


def _frames(model: Model, count: int) -> Any:
    return random_frames(np.random.default_rng(SEED), model, [count])[0]


def _row(what: str, kernel: str, us: float, times: dict[str, float]) -> dict[str, Any]:
    about = {"what": what, "batch": 1, "threads": 1, "kernel": kernel, "cpu": processor()}
    return about | {"us": float(us), "times_as_fast": times}
