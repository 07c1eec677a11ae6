"""Speed of the compiled integer model on the TIMIT shape, beside NumPy and scipy.

``python -m bench.cpu.fast_model [--json FILE]`` runs an LSTM of 153 -> 1024 units with a
projection to 512, 1 of 10, 4 of 32 and 8 of 64 weights kept in a bank, on one core: one
stream at a time and in batches; beside it, in the same run, the NumPy reference and the
three sparse products of a step by scipy's CSR (without any activation). Every row is the
median of several runs.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from csb_format import IntArray, Model
from csb_format.random_models import random_frames, random_network
from engine.exact import FastModel
from engine.reference import IntegerModel

from ..record import Smallest, write_record
from .one_core import restart_on_one_core

SEED = 0
SHAPE: dict[str, Any] = {
    "input_size": 153,
    "hidden_size": 1024,
    "projection": 512,
    "banks": 16,
    "k": (1, 4, 8),
}
SMALLEST: dict[str, Any] = SHAPE | {"input_size": 16, "hidden_size": 32, "projection": 16}
BATCHES = (1, 8, 32, 64)
STEPS = 100


def main(
    runs: Annotated[int, typer.Option(help="Repetitions; the median counts.")] = 9,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Measure, print a table, write JSON."""
    rng = np.random.default_rng(SEED)
    shape, batches = (SMALLEST, BATCHES[:1]) if smallest else (SHAPE, BATCHES)
    model = random_network(rng, **shape)
    frames = random_frames(rng, model, [STEPS] * max(batches))
    _check(model, frames)
    rows = [_row(model, frames[:batch], runs) for batch in batches]
    rows[0] |= _streaming(model, frames[0], runs)
    for row in rows:
        row["numpy_ratio"] = row["numpy_us"] / row["fast_us"]
    Console(width=120).print(_table(rows, shape))
    print(f"one stream through step(): {rows[0]['streaming_us']:.0f} us a step")
    if json:
        more = {"shape": shape, "runs": runs, "steps": STEPS}
        more |= {"load_average": os.getloadavg()[0], "cores": os.cpu_count()}
        write_record(json, "bench.cpu.fast_model", SEED, rows, **more)


def _check(model: Model, frames: list[IntArray]) -> None:
    """All states of both models must be equal, or there is nothing to time."""
    some = [f[: 5 + n % 7] for n, f in enumerate(frames)]
    pairs = zip(FastModel(model).run(some), IntegerModel(model).run(some), strict=True)
    for fast, plain in pairs:
        for name in ("hidden", "cell", "output"):
            if not np.array_equal(getattr(fast, name), getattr(plain, name)):
                raise SystemExit(f"error: {name} differs from the NumPy reference")


def _row(model: Model, frames: list[IntArray], runs: int) -> dict[str, Any]:
    fast, plain, batch = FastModel(model), IntegerModel(model), len(frames)
    short = [f[:5] for f in frames]
    timed = {
        "fast_us": (lambda: fast.run(frames), batch * STEPS),
        "numpy_us": (lambda: plain.run(short), batch * 5),
        "csr_float_us": (_csr(model, batch, np.float64), batch),
        "csr_int64_us": (_csr(model, batch, np.int64), batch),
    }
    found = _interleaved({name: call for name, (call, _) in timed.items()}, runs)
    row: dict[str, Any] = {"batch": batch}
    for name, (_, steps) in timed.items():
        row[name] = 1e6 * found[name] / steps
        row[f"{name}_least"] = 1e6 * found[f"{name}_least"] / steps
    return row | {"fast_steps_per_second": 1e6 / row["fast_us"]}


def _interleaved(calls: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """Median and least seconds of calls that take turns: a busy machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            call()
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    least = {f"{name}_least": min(of) for name, of in seconds.items()}
    return {name: statistics.median(of) for name, of in seconds.items()} | least


def _csr(model: Model, batch: int, dtype: type[np.generic]) -> Callable[[], Any]:
    """The three products of a step, nothing else."""
    layer = model.layers[0]
    assert layer.projection is not None
    matrices = [m.to_scipy() for m in (layer.weight_ih, layer.weight_hh, layer.projection.weight)]
    matrices = [m.astype(dtype) for m in matrices]
    for m in matrices:
        m.indices, m.indptr = m.indices.astype(np.int32), m.indptr.astype(np.int32)
    shapes = [(m.shape[1],) if batch == 1 else (m.shape[1], batch) for m in matrices]
    vectors = [np.full(shape, 1234, dtype) for shape in shapes]
    return lambda: [m @ v for m, v in zip(matrices, vectors, strict=True)]


def _streaming(model: Model, frames: IntArray, runs: int) -> dict[str, float]:
    """Microseconds of one :meth:`FastModel.step` at batch 1."""
    fast = FastModel(model)

    def all_steps() -> None:
        state = fast.start()
        for x in frames:
            state = fast.step(x[None], state)

    found = _interleaved({"streaming_us": all_steps}, runs)
    return {name: 1e6 * seconds / len(frames) for name, seconds in found.items()}


def _table(rows: list[dict[str, Any]], shape: dict[str, Any]) -> Table:
    sizes = " -> ".join(str(shape[name]) for name in ("input_size", "hidden_size", "projection"))
    table = Table(title=f"LSTM {sizes}, us a step and sequence, one core")
    names = ["batch", "FastModel", "steps/s", "IntegerModel", "ratio"]
    for name in [*names, "CSR float64 products", "CSR int64 products"]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            str(row["batch"]),
            f"{row['fast_us']:.1f}",
            f"{row['fast_steps_per_second']:,.0f}",
            f"{row['numpy_us']:.1f}",
            f"{row['numpy_ratio']:.1f}",
            f"{row['csr_float_us']:.1f}",
            f"{row['csr_int64_us']:.1f}",
        )
    return table


if __name__ == "__main__":
    restart_on_one_core("bench.cpu.fast_model")
    typer.run(main)
