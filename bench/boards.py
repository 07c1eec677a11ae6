"""Bitstreams with open tools: cells, clock and speed of arrays on boards.

``python -m bench.boards [--board NAME ...] [--json FILE]`` builds a bitstream for each board
from a random model of the demo's size, and counts cells for families whose vendor tools are
absent. Place and route of the largest takes more than an hour on two cores; without
``--board`` all are built.
"""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.bitstream import BitstreamError, build_bitstream
from boards.board import Board, board
from boards.fit import estimate
from boards.stand_in import FAMILIES, stand_in_counts
from csb_format import Model
from csb_format.design import Design
from hdl.compiler import compile_model
from hdl.verilog import emit_verilog
from sim.cycle_model import CycleModel
from sim.random_models import random_model

from .record import write_record

SEED = 0
# board: hidden units, M, N
CASES = {"ulx3s": (128, 16, 8), "ecpix5": (32, 4, 2)}
STAND_IN = (128, 8, 4)  # hidden units, M, N
# from the authors' papers; GOPS of theirs are effective, with temporal sparsity
PUBLISHED = [
    {"name": "EdgeDRNN", "device": "Zynq-7007S", "multipliers": 8, "clock_mhz": 125,
     "gops": 20.2, "peak_gops": 2.0},
    {"name": "Eciton", "device": "iCE40UP5K", "power_w": 0.017},
]  # fmt: skip


def main(
    boards: Annotated[
        list[str] | None, typer.Option("--board", help="Only these; all by default.")
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for the bitstreams.")] = Path("build/boards"),
    seed: Annotated[int, typer.Option(help="Of place and route.")] = 1,
    stand_ins: Annotated[bool, typer.Option(help="Count cells for vendors' families.")] = True,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
) -> None:
    """Build, print a table, write JSON."""
    rows = [_build(board(name), work, seed) for name in boards or CASES]
    counts = _stand_ins(work) if stand_ins else []
    console = Console(width=140)
    console.print(_table(rows))
    for row in counts:
        console.print(f"stand-in {row['family']}: {row['cells']}", highlight=False)
    if json:
        write_record(json, "bench.boards", seed, rows, stand_ins=counts, published=PUBLISHED)


def _model(hidden: int) -> Model:
    """The demo's geometry: 12 inputs, 8 banks, 1 of 2 and 2 of 16 kept at 128 units."""
    return random_model(np.random.default_rng(SEED), 12, hidden, banks=8, k_ih=1, k_hh=2)


def _build(b: Board, work: Path, seed: int) -> dict[str, Any]:
    hidden, pes, lanes = CASES[b.name]
    model = _model(hidden)
    design = Design.for_model(model, pes, lanes, deep=bool(b.array["deep"]))
    image = compile_model(model, design)
    out, say = work / b.name, Console(stderr=True).print
    built: dict[str, Any]
    try:
        built = build_bitstream(b, design, image, out, seed=seed, timeout=36000, tell=say).to_dict()
    except BitstreamError as error:
        if not (out / "summary.json").exists():
            raise
        say(str(error))  # a clock that is missed is a result too
        built = json_text.loads((out / "summary.json").read_text("utf-8"))
    cycles = int(CycleModel(image).run(6).steps[-1])
    layer = model.layers[0]
    kept = sum(m.geometry.real_nonzeros for m in (layer.weight_ih, layer.weight_hh))
    dense = sum(m.geometry.rows * m.geometry.columns for m in (layer.weight_ih, layer.weight_hh))
    steps = min(built["fmax_mhz"], built["clock_mhz"]) / cycles / 1000  # 10^9 a second
    use = estimate(design, b)
    return built | {
        "cycles": cycles,
        "gops": round(2 * kept * steps, 3),
        "dense_equivalent_gops": round(2 * dense * steps, 3),
        "estimated": {"lut": use.luts, "ram": use.block_rams, "dsp": use.multipliers},
    }


def _stand_ins(work: Path) -> list[dict[str, Any]]:
    hidden, pes, lanes = STAND_IN
    model = _model(hidden)
    design = Design.for_model(model, pes, lanes)
    files = emit_verilog(design, work / "stand_in", compile_model(model, design))
    array = {"M": pes, "N": lanes}
    return [{"family": f, "cells": stand_in_counts(files, f)} | array for f in FAMILIES]


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Bitstreams with open tools")
    names = ["board", "M", "N", "lut", "ff", "ram", "dsp", "fmax_mhz", "clock_mhz", "cycles"]
    names += ["gops", "dense_equivalent_gops"]
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    return table


if __name__ == "__main__":
    typer.run(main)
