"""CPU time of what is asked before any simulation: a compile, and which arrays fit a board.

``python -m bench.array.lowering --json bench/results/lowering.json`` takes the TIMIT layer of the
paper on 64 x 16 multipliers, and every array of the ULX3S for a layer 153 -> 512, as a model and
as a shape without weights. Each has its first run thrown away, and the median of the others.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.board import board
from boards.resources import choices
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.schedule import schedule
from csb_format.random_models import random_network
from csb_format.shape import uniform_shape

from ..record import write_record

SEED = 0
BOARD = "ulx3s"
FIT: dict[str, Any] = {"input_size": 153, "hidden_size": 512, "k": (1, 2, 2), "banks": 32}
TIMIT: dict[str, Any] = {"input_size": 153, "hidden_size": 1024, "k": (1, 4, 8), "banks": 16}
PROJECTION, ARRAY = 512, (64, 16)


def main(
    runs: Annotated[int, typer.Option(min=1, help="Repetitions; the median counts.")] = 9,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
) -> None:
    """Measure, print a table, write JSON."""
    rows = [*_fit(runs), *_compile(runs)]
    table = Table("what", "of", "CPU s", title=f"Median of {runs} runs")
    for row in rows:
        table.add_row(row["what"], row["of"], f"{row['cpu_seconds']:.4f}")
    Console(width=110).print(table)
    if json:
        write_record(json, "bench.array.lowering", SEED, rows, clock="CPU time of the process")


def _fit(runs: int) -> list[dict[str, Any]]:
    model, given = random_network(np.random.default_rng(SEED), **FIT), board(BOARD)
    sizes = {**FIT, "banks": (FIT["banks"],) * 2, "nonzeros": FIT["k"]}
    shape = uniform_shape(**{name: size for name, size in sizes.items() if name != "k"})
    count = len(choices(model, given))
    what = f"{count} arrays of the {given.title} for 153 -> 512"
    return [
        _row(what, "a model", runs, lambda: choices(model, given)),
        _row(what, "its shape alone", runs, lambda: choices(shape, given)),
    ]


def _compile(runs: int) -> list[dict[str, Any]]:
    model = random_network(np.random.default_rng(SEED), **TIMIT, projection=PROJECTION)
    design = design_for(model, *ARRAY)
    what = f"TIMIT layer on {ARRAY[0]} x {ARRAY[1]}"
    return [
        _row(what, "program and memories", runs, lambda: compile_model(model, design)),
        _row(what, "program alone", runs, lambda: schedule(model.shape, design)),
    ]


def _row(what: str, of: str, runs: int, run: Callable[[], object]) -> dict[str, Any]:
    run()
    seconds = []
    for _ in range(runs):
        started = time.process_time()
        run()
        seconds.append(time.process_time() - started)
    return {"what": what, "of": of, "cpu_seconds": statistics.median(seconds)}


if __name__ == "__main__":
    typer.run(main)
