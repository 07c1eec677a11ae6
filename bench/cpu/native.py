"""The C library of ``engine/c`` beside ONNX Runtime, torch and MKL, on one thread.

``python -m bench.cpu.native [--json FILE]``. All contenders of a row take turns; CPU time of the
process counts, and ratios are taken within a round (:mod:`bench.cpu.turns`). Ours are exact: every
row's result is held against the integer model first. A row is of one kernel of the library, and of
weights and states of so many bits; others have the same weights as their float32 or 8-bit numbers,
dense ones the zeros too. Calls come from Python for everyone.

Rows of two threads are of the clock (:mod:`bench.cpu.cores`): steps of one and of two threads in
turns, of each the fastest hundredth, which is what they take while both cores are theirs, or the
mean of all. Widths of banks, the limit of a product and a million steps of a small network are in
:mod:`bench.cpu.forms`, dense contenders of batches in :mod:`bench.cpu.batches`.

``product`` rows time a layer without recurrent weights, so the cells behind the product are in our
time, and not in that of the others.
"""

from __future__ import annotations

import ctypes
import os
import statistics
from collections.abc import Callable, Iterator
from json import loads as load
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from csb_format import Model
from csb_format.random_models import random_frames, random_network
from engine.floating import FloatLstm
from engine.native.library import Error, kernels, library
from engine.native.model import NativeModel
from engine.reference import IntegerModel

from ..record import Smallest, processor, write_record
from . import cores, forms
from .batches import many_products, many_steps
from .contenders import lstm_steps, products, weights_of
from .inference import float_step
from .one_core import restart_on_one_core
from .sequences import SEQUENCES, STEPS, others
from .turns import in_turns

SEED = 0
BITS = ((8, 8), (8, 16), (16, 16))  # of weights and states
PRODUCT: dict[str, Any] = {"input_size": 1024, "hidden_size": 1024, "banks": 16, "k": (8, 0, 0)}
TIMIT: dict[str, Any] = {
    "input_size": 153,
    "hidden_size": 1024,
    "projection": 512,
    "banks": 16,
    "k": (1, 4, 8),
}
DEMO: dict[str, Any] = {"input_size": 12, "hidden_size": 128, "banks": 8, "k": (1, 2, 0)}
LARGE: dict[str, Any] = {"input_size": 1024, "hidden_size": 1024, "banks": 16, "k": (8, 8, 0)}
BLOCK = 10  # calls in a row
# of a run whose rows are kept
KNOWN = ("command", "cpu", "versions", "rounds", "load_average", "cores", "calls_in_a_row")
Call = Callable[[], Any]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns; the median counts.")] = 31,
    runs: Annotated[int, typer.Option(min=1, help="All again; the median of these, too.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    mkl: Annotated[bool, typer.Option("--mkl", help="MKL's CSR too; sparseflow[bench].")] = False,
    smallest: Smallest = False,
) -> None:
    """Measure, print a table, write JSON."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        rows = medians([list(_rows(rounds, mkl, smallest)) for _ in range(runs)])
    Console(width=130).print(_table(rows))
    if json:
        more: dict[str, Any] = {"rounds": rounds, "runs": runs, "calls_in_a_row": BLOCK}
        more |= {"load_average": os.getloadavg()[0], "cores": os.cpu_count()}
        more |= {"clock": "CPU time of the process"}
        kept, earlier = elsewhere(json)
        write_record(json, "bench.cpu.native", SEED, rows + kept, **more, earlier=earlier)


def medians(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of several runs as one: each number is the median of its own."""
    together = zip(*runs, strict=True)
    return [{key: _median([row[key] for row in rows]) for key in rows[0]} for rows in together]


def _median(values: list[Any]) -> Any:
    if isinstance(values[0], dict):
        return {key: _median([value[key] for value in values]) for key in values[0]}
    return statistics.median(values) if isinstance(values[0], float) else values[0]


def elsewhere(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What processors with another fastest kernel took with it, and what is known of those runs.

    Of every other processor steps of two threads are kept too: what a second core gains depends on
    the caches that it brings.
    """
    if not path.exists():
        return [], []
    old = load(path.read_text("utf-8"))
    fastest = {row["cpu"]: row["kernel"] for row in reversed(old["rows"])}  # the first of each
    kept = [row for row in old["rows"] if row["cpu"] != processor() and _tells(row, fastest)]
    runs = [*old.get("earlier", []), {key: old[key] for key in KNOWN if key in old}]
    return kept, [run for run in runs if run["cpu"] in {row["cpu"] for row in kept}]


def _tells(row: dict[str, Any], fastest: dict[str, str]) -> bool:
    other = fastest[row["cpu"]] != kernels()[0]
    return row["kernel"] == fastest[row["cpu"]] and (other or row["threads"] == 2)


def _rows(rounds: int, mkl: bool, smallest: bool) -> Iterator[dict[str, Any]]:
    if smallest:
        yield from _step_rows("step", DEMO, rounds, mkl, BITS[:1])
        yield from _many_rows(DEMO, 16, rounds)
        return
    yield from _step_rows("product", PRODUCT, rounds, mkl)
    yield from _step_rows("step", TIMIT, rounds, mkl)
    yield from _step_rows("step", DEMO, rounds, mkl)
    for pair in BITS:
        model = _network(LARGE, *pair)
        name = f"LSTM step, {_size(LARGE)}, weights of {pair[0]} bits, states of {pair[1]}"
        yield from cores.rows(model, name, _frames(model, [32])[0], rounds, pair == BITS[0])
    yield from forms.rows(DEMO, rounds)
    for shape in (PRODUCT, TIMIT):
        for batch in (16, 64):
            yield from _many_rows(shape, batch, rounds)
    for shape, batch in SEQUENCES:
        yield from _sequence_rows(shape, batch, -(-rounds // 2))


def _size(shape: dict[str, Any]) -> str:
    size = f"{shape['input_size']} -> {shape['hidden_size']}"
    return size + (f" -> {shape['projection']}" if "projection" in shape else "")


def _step_rows(
    what: str, shape: dict[str, Any], rounds: int, mkl: bool, bits: Any = BITS
) -> Iterator[dict[str, Any]]:
    """A step of one sequence, or a product of one vector, with every kernel."""
    made = {pair: _network(shape, *pair) for pair in bits}
    model = made[bits[0]]
    layer, frame = model.layers[0], _frames(model, [1])[0]
    x = layer.input.dequantise(frame[0]).astype(np.float32)
    weights = weights_of(layer)
    if what == "product":
        found = products(weights.ih, x, mkl)
        name = f"product of {len(weights.ih)} x {weights.ih.shape[1]}"
    else:
        found, name = lstm_steps(weights, x, mkl), f"LSTM step, {_size(shape)}"
    calls = {n: c.call for n, c in found.items()}
    if what == "step":
        calls["ours in float32"] = float_step(FloatLstm(layer), x)
    yield from _measured(name, 1, made, _step, calls, rounds, BLOCK, 1)


def _many_rows(shape: dict[str, Any], batch: int, rounds: int) -> Iterator[dict[str, Any]]:
    """A step of many streams; in a product nothing is kept from step to step."""
    made = {pair: _network(shape, *pair) for pair in BITS}
    layer = made[BITS[0]].layers[0]
    frames = _frames(made[BITS[0]], [batch])[0]
    x, weights = layer.input.dequantise(frames).astype(np.float32), weights_of(layer)
    if shape is PRODUCT:
        name, calls = f"product of {len(weights.ih)} x {x.shape[1]}", many_products(weights.ih, x)
    else:
        name, calls = f"LSTM step, {_size(shape)}", many_steps(weights, x)

    def ours(model: Model, kernel: str) -> Call:
        return _step(model, kernel, batch)

    yield from _measured(name, batch, made, ours, calls, -(-rounds // 2), 1, 1)


def _sequence_rows(shape: dict[str, Any], batch: int, rounds: int) -> Iterator[dict[str, Any]]:
    made = {pair: _network(shape, *pair) for pair in BITS}
    model = made[BITS[0]]
    calls = {n: c.call for n, c in others(model, _frames(model, [STEPS] * batch)).items()}
    name = f"{STEPS} steps a call, {_size(shape)}"

    def ours(model: Model, kernel: str) -> Call:
        return _sequences(model, kernel, batch)

    yield from _measured(name, batch, made, ours, calls, rounds, 1, STEPS)


def _measured(
    name: str,
    batch: int,
    made: dict[tuple[int, int], Model],
    ours: Callable[[Model, str], Call],
    calls: dict[str, Call],
    rounds: int,
    block: int,
    steps: int,
) -> Iterator[dict[str, Any]]:
    """A row for each width and kernel, all timed in the same turns."""
    names = [name for name in kernels() if batch == 1 or name != "plain"]
    mine = {(pair, name): ours(model, name) for pair, model in made.items() for name in names}
    every = calls | {f"{pair} {kernel}": call for (pair, kernel), call in mine.items()}
    times = in_turns(every, rounds, block)
    for pair, kernel in mine:
        spent = times[f"{pair} {kernel}"]
        yield {
            "what": f"{name}, weights of {pair[0]} bits, states of {pair[1]}",
            "batch": batch,
            "threads": 1,
            "kernel": kernel,
            "cpu": processor(),
            "us": 1e6 * statistics.median(spent) / steps,
            "times_as_fast": {
                other: statistics.median(a / b for a, b in zip(times[other], spent, strict=True))
                for other in calls
            },
        }


def _network(shape: dict[str, Any], value_bits: int, act_bits: int) -> Model:
    rng = np.random.default_rng(SEED)
    return random_network(rng, **shape, value_bits=value_bits, act_bits=act_bits)


def _frames(model: Model, lengths: list[int]) -> list[Any]:
    return random_frames(np.random.default_rng(SEED), model, lengths)


def _step(model: Model, kernel: str, batch: int = 1) -> Call:
    """One step of some streams, a call of the library."""
    native, frame = NativeModel(model, kernel), _frames(model, [batch])[0]
    stream = native.start(batch)
    want = IntegerModel(model).run([np.tile(frame[:1], (3, 1))])[0].output
    if not all(np.array_equal(stream.step(frame)[0], w) for w in want):
        raise SystemExit("error: the step differs from the integer model")
    given, out = frame.astype(np.int32), np.empty((batch, native.shape.outputs), np.int32)
    function, error = library().sparseflow_run_step, ctypes.byref(Error())
    ends, handle = (given.ctypes.data, out.ctypes.data), stream._handle

    def step() -> Any:
        function(handle, *ends, error)
        return stream, given, out

    return step


def _sequences(model: Model, kernel: str, batch: int) -> Call:
    """Whole sequences, a call of the library."""
    native, frames = NativeModel(model, kernel), _frames(model, [STEPS] * batch)
    want = IntegerModel(model).run(frames[:1])[0].output
    if not np.array_equal(native.run(frames)[0].output, want):
        raise SystemExit("error: sequences differ from the integer model")
    given, lengths = np.concatenate(frames).astype(np.int32), np.full(batch, STEPS, np.uintp)
    out = np.empty((len(given), native.shape.outputs), np.int32)
    function, error = library().sparseflow_run_sequences, ctypes.byref(Error())
    handle, ends = native._handle, (lengths.ctypes.data, given.ctypes.data, 0, 0, out.ctypes.data)

    def run() -> Any:
        function(handle, batch, *ends, error)
        return native, lengths, given, out

    return run


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="one thread; us a step of the whole batch, times as fast as others")
    for name in ("what", "batch", "kernel", "us", "times as fast as"):
        table.add_column(name, justify="right" if name == "us" else "left")
    for row in rows:
        ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in row["times_as_fast"].items())
        table.add_row(row["what"], str(row["batch"]), row["kernel"], f"{row['us']:.2f}", ratios)
    return table


if __name__ == "__main__":
    restart_on_one_core("bench.cpu.native")
    typer.run(main)
