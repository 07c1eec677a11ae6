"""A matrix-vector product and an LSTM step on one thread of a CPU, ours beside the others'.

``python -m bench.cpu.inference [--json FILE]``. All contenders of a shape take turns in blocks of
calls; CPU time counts, and ratios are taken within a round (:mod:`bench.cpu.turns`). Weights are
bank-balanced at 87.5 %; sparse contenders have the same ones, dense ones the zeros too.
``float32``, ``int16`` and ``int8`` are ours: :class:`engine.products.FloatProduct`,
:class:`engine.products.IntegerProduct` (weights of 16 and 8 bits, a vector of 16, exact
sums), and as steps :class:`engine.floating.FloatLstm` and :class:`engine.exact.FastModel`
(the accelerator's integers, all checks of its public ``step`` included).

Rows of sequences (:mod:`bench.cpu.sequences`) are of 20 steps a call, of one sequence and of 16.
``--mkl`` adds MKL's sparse product with its hints.

What limits a product of ours is measured beside it: ``read`` is the time in which the same
bytes are read and summed up; ``cached`` is that of as many entries of so few rows that they
stay in the second cache (the difference of two numbers of rows, so that the call itself does
not count). Where ``cached`` is most of the time, arithmetic is the limit, else memory.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from csb_format import Csb, Fixed, Geometry, Model
from csb_format.random_models import random_frames, random_network
from engine.exact import FastModel
from engine.floating import FloatLstm
from engine.kernels.compiled import compiled
from engine.products import FloatProduct, IntegerProduct
from engine.reference import IntegerModel

from ..record import Smallest, write_record
from .contenders import Contender, Weights, lstm_steps, products, weights_of
from .one_core import restart_on_one_core
from .sequences import SEQUENCES, sequence_row
from .turns import in_turns

SEED = 0
SPARSITY = 0.875
SHAPES = [(4096, 1024, banks) for banks in (16, 32, 64)] + [(4096, 1536, 16)]
# Inputs, units, projection; banks of 16 and what is kept in one of them.
STEPS: list[dict[str, Any]] = [
    {"input_size": 153, "hidden_size": 1024, "projection": 512, "banks": 16, "k": (1, 4, 8)},
    {"input_size": 1024, "hidden_size": 1024, "banks": 16, "k": (8, 8, 0)},
]
# What --smallest takes instead: a product, a step, numbers of rows that are cached.
SMALLEST_SHAPE, SMALLEST_ROWS = (64, 128, 16), (16, 32)
SMALLEST_STEP = STEPS[0] | {"input_size": 16, "hidden_size": 64, "projection": 32, "k": (1, 1, 1)}
OURS = ("float32", "int16", "int8")
YARDSTICK = "torch CSR int32"
CACHED_ROWS = (256, 1024)
BLOCK = 10  # calls in a row
TOLERANCE = 1e-3


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns; the median counts.")] = 61,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    mkl: Annotated[bool, typer.Option("--mkl", help="MKL's CSR too; sparseflow[bench].")] = False,
    smallest: Smallest = False,
) -> None:
    """Measure, print tables, write JSON."""
    torch.set_num_threads(1)
    shapes, steps = ([SMALLEST_SHAPE], [SMALLEST_STEP]) if smallest else (SHAPES, STEPS)
    cached = SMALLEST_ROWS if smallest else CACHED_ROWS
    with torch.inference_mode():
        rows = [_product_row(*shape, rounds, cached, mkl) for shape in shapes]
        rows += [_step_row(shape, rounds, mkl) for shape in steps]
        sequences = SEQUENCES[:1] if smallest else SEQUENCES
        rows += [sequence_row(*case, -(-rounds // 4)) for case in sequences]
    console = Console(width=120)
    for row in rows:
        console.print(_table(row))
    if json:
        more: dict[str, Any] = {
            "rounds": rounds,
            "calls_in_a_row": BLOCK,
            "threads": 1,
        }
        load = {"load_average": os.getloadavg()[0], "cores": os.cpu_count()}
        more |= load | {"clock": "CPU time of the process"}
        write_record(json, "bench.cpu.inference", SEED, rows, **more)


def _product_row(
    rows: int, columns: int, banks: int, rounds: int, cached: tuple[int, int], mkl: bool
) -> dict[str, Any]:
    rng = np.random.default_rng(SEED)
    weights = rng.standard_normal((rows, columns))
    wide, narrow = (_packed(weights, banks, bits) for bits in (16, 8))
    (csb, last), vector = wide, rng.integers(-32768, 32768, columns)
    dense, x = (csb.to_dense() * last).astype(np.float32), (vector / 32768).astype(np.float32)
    made: dict[str, Any] = {"float32": FloatProduct(csb, last), "int16": IntegerProduct(csb)}
    made["int8"] = IntegerProduct(narrow[0])
    matrices = {"float32": csb, "int16": csb, "int8": narrow[0]}
    vectors = {"float32": x, "int16": vector, "int8": vector}
    _check_integers(made, matrices, vector)
    contenders = {n: Contender(_bound(p, vectors[n]), p.bytes) for n, p in made.items()}
    contenders |= products(dense, x, mkl)
    row = {"what": f"product of {rows} x {columns}, {banks} banks"}
    found = _measured(contenders, rounds) | {"errors": _errors(contenders, dense @ x)}
    limits = _limits(made, matrices, vectors, rounds, cached)
    return row | found | {"limits_us": limits, "limited_by": _limited_by(limits)}


def _packed(weights: Any, banks: int, bits: int) -> tuple[Csb, float]:
    """The largest of every bank, quantised; and the value of the last bit."""
    rows, columns = weights.shape
    g = Geometry.nearest(rows, columns, banks, SPARSITY, bits)
    score = np.abs(weights).reshape(g.rows, g.banks, -1)
    best = np.argpartition(score, -g.nonzeros, axis=-1)[..., -g.nonzeros :]
    mask = np.zeros(score.shape, bool)
    np.put_along_axis(mask, best, True, axis=-1)
    fixed, kept = Fixed.for_range(bits, np.abs(weights).max()), mask.reshape(weights.shape)
    return Csb.pack(fixed.quantise(np.where(kept, weights, 0)), g, kept), fixed.lsb


def _check_integers(made: dict[str, Any], matrices: dict[str, Csb], vector: Any) -> None:
    for name in ("int16", "int8"):
        if not np.array_equal(made[name](vector), matrices[name].matvec(vector)):
            raise SystemExit(f"error: the product in {name} is not exact")


def _errors(contenders: dict[str, Contender], want: Any) -> dict[str, float]:
    """Largest difference from ``want``, of floats; ours and sparse ones must be near."""
    names = [n for n in contenders if n not in ("int16", "int8")]
    found = {n: float(np.abs(np.asarray(contenders[n].call()) - want).max()) for n in names}
    for name, error in found.items():
        if "int8" not in name and not error < TOLERANCE:
            raise SystemExit(f"error: {name} is {error} off")
    return found


def _step_row(shape: dict[str, Any], rounds: int, mkl: bool) -> dict[str, Any]:
    model = random_network(np.random.default_rng(SEED), **shape)
    narrow = random_network(np.random.default_rng(SEED), **shape, value_bits=8)
    layer = model.layers[0]
    frame = random_frames(np.random.default_rng(SEED), model, [1])[0]
    x = layer.input.dequantise(frame[0]).astype(np.float32)
    ours = FloatLstm(layer)
    contenders = {
        "float32": Contender(float_step(ours, x), sum(p.bytes for p in ours.products)),
        "int16": _integer_step(model, frame),
        "int8": _integer_step(narrow, frame),
    }
    weights = weights_of(layer)
    contenders |= lstm_steps(weights, x, mkl)
    size = f"{shape['input_size']} -> {shape['hidden_size']}"
    size += f" -> {shape['projection']}" if "projection" in shape else ""
    errors = _errors(contenders, _first_output(weights, x))
    return {"what": f"LSTM step, {size}"} | _measured(contenders, rounds) | {"errors": errors}


def float_step(ours: FloatLstm, x: Any) -> Callable[[], Any]:
    state = ours.start()

    def step() -> Any:
        nonlocal state
        state = ours.step(x, state)
        return state[0]

    return step


def _integer_step(model: Model, frame: Any) -> Contender:
    fast = FastModel(model)
    state = fast.start()

    def step() -> Any:
        nonlocal state
        state = fast.step(frame, state)
        return state.output

    want = IntegerModel(model).run([np.tile(frame, (3, 1))])[0].output
    if not all(np.array_equal(step()[0], w) for w in want):
        raise SystemExit("error: the integer step differs from the reference")
    return Contender(step, fast.bytes)


def _first_output(weights: Weights, x: Any) -> Any:
    """Output of the first step, in float64."""
    gates = weights.ih.astype(np.float64) @ x + weights.bias
    i, _, g, o = gates.reshape(4, -1)
    i, o = (0.5 + 0.5 * np.tanh(z / 2) for z in (i, o))
    h = o * np.tanh(i * np.tanh(g))
    return h if weights.hr is None else weights.hr @ h


def _measured(contenders: dict[str, Contender], rounds: int) -> dict[str, Any]:
    times = in_turns({name: c.call for name, c in contenders.items()}, rounds, BLOCK)
    yardstick = times[YARDSTICK]
    speedups = {
        name: statistics.median(y / t for y, t in zip(yardstick, of, strict=True))
        for name, of in times.items()
    }
    return {
        "us": {name: 1e6 * statistics.median(of) for name, of in times.items()},
        "least_us": {name: 1e6 * min(of) for name, of in times.items()},
        "times_as_fast_as_torch_csr_int32": speedups,
        "bytes": {name: c.bytes for name, c in contenders.items()},
    }


def _limits(
    made: dict[str, Any],
    matrices: dict[str, Csb],
    vectors: dict[str, Any],
    rounds: int,
    cached: tuple[int, int],
) -> dict[str, float]:
    """Microseconds in which a product's bytes are read, and its entries worked on."""
    calls: dict[str, Callable[[], Any]] = {}
    for name, product in made.items():
        calls[f"{name} loop"] = _loop(product, vectors[name])
        calls[f"{name} read"] = _bound(_read, np.zeros(product.bytes // 8, np.int64))
        for rows in cached:
            few = type(product)(_first_rows(matrices[name], rows))
            calls[f"{name} {rows}"] = _loop(few, vectors[name])
    times = in_turns(calls, rounds, BLOCK)
    found = {n: 1e6 * statistics.median(t) for n, t in times.items()}
    rows, (few_rows, more_rows) = next(iter(matrices.values())).geometry.rows, cached
    for name in made:
        slope = found.pop(f"{name} {more_rows}") - found.pop(f"{name} {few_rows}")
        found[f"{name} cached"] = slope * rows / (more_rows - few_rows)
    return found


def _limited_by(limits: dict[str, float]) -> dict[str, str]:
    """What takes longer alone."""
    kinds = {True: "reading the weights", False: "arithmetic"}
    return {n: kinds[limits[f"{n} read"] > limits[f"{n} cached"]] for n in OURS}


def _loop(product: Any, x: Any) -> Callable[[], Any]:
    """The compiled loop alone."""
    return _bound(product.add, x, np.zeros(product.padded_rows, x.dtype))


def _bound(call: Callable[..., Any], *given: Any) -> Callable[[], Any]:
    return lambda: call(*given)


def _first_rows(matrix: Csb, rows: int) -> Csb:
    g = matrix.geometry
    geometry = Geometry(rows, g.columns, g.banks, g.nonzeros, g.value_bits, g.bank_width)
    return Csb(geometry, matrix.values[:rows], matrix.indices[:rows])


@compiled
def _read(data: Any) -> Any:
    total = np.int64(0)
    for n in range(len(data)):
        total += data[n]
    return total


def _table(row: dict[str, Any]) -> Table:
    ratios = next(key for key in row if key.startswith("times_as_fast_as"))
    table = Table(title=f"{row['what']}, one thread")
    names = ("", "us", "least", ratios.replace("_", " "), "MB", "GB/s", "off by")
    for name in names:
        table.add_column(name, justify="right" if name else "left")
    for name, us in row["us"].items():
        size, error = row["bytes"][name], row["errors"].get(name)
        table.add_row(
            name,
            f"{us:.1f}",
            f"{row['least_us'][name]:.1f}",
            f"{row[ratios][name]:.2f}",
            f"{size / 1e6:.2f}",
            f"{size / us / 1e3:.0f}",
            "exact" if name in ("int16", "int8") else "" if error is None else f"{error:.0e}",
            style="bold" if name in OURS else None,
        )
    table.caption = _caption(row)
    return table


def _caption(row: dict[str, Any]) -> str | None:
    limits = row.get("limits_us")
    if limits is None:
        return None
    return "\n".join(
        f"{n}: loop {limits[f'{n} loop']:.1f} us, cached {limits[f'{n} cached']:.1f}, read "
        f"{limits[f'{n} read']:.1f}: limited by {row['limited_by'][n]}"
        for n in OURS
    )


if __name__ == "__main__":
    restart_on_one_core("bench.cpu.inference")
    typer.run(main)
