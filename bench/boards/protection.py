"""What parity and the walk cost: cells and clock of an accelerator with and without them.

``python -m bench.boards.protection [--case NAME ...] [--json FILE]`` synthesises the core of the
demo's layer for ECP5 and, as a stand-in for Vivado, for Xilinx 7, and builds bitstreams of a
smaller array for an ECP5 board. Cycles are the same in all of them. A case takes two minutes on an
idle core.
"""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.board import board
from boards.build.bitstream import BitstreamError, build_bitstream
from boards.tools.limits import TIMEOUT
from boards.tools.stand_in import stand_in_counts
from boards.tools.synth import synthesise_ecp5
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.walk import walk_cycles
from csb_format.files.folders import temporary_folder
from csb_format.random_models import random_model
from hdl.verilog import emit_verilog

from ..record import Rows, Smallest, check_named, with_others, write_record

__all__ = ["main"]

SEED = 0
PLACER = 1  # seed of place and route
BOARD = "ecpix5"
LAYER, ARRAY = (12, 128, 8, 1, 2), (8, 4)  # the demo's
PLACED_LAYER, PLACED = (12, 32, 4, 1, 1), (4, 1)
OPTIONS: dict[str, dict[str, bool]] = {
    "": {},
    " --checked": {"checked": True},
    " --checked --walk": {"checked": True, "walk": True},
}
CASES = tuple(f"{part}{option}" for part in ("cells", "placed") for option in OPTIONS)
STAND_IN = "synth_xilinx xc7"
FIGURES = ("lut", "ff", "ram", "dsp", "fmax_mhz", "clock_mhz")


def main(
    case: Annotated[list[str] | None, typer.Option(help="By name; may repeat.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Synthesise, build, print a table, write JSON."""
    check_named(case, CASES)
    layer, array = ((2, 4, 1, 1, 1), (4, 1)) if smallest else (LAYER, ARRAY)
    rows = list[dict[str, Any]]()
    for name in ("cells",) if smallest else case or CASES:
        part, _, option = name.partition(" ")
        options = OPTIONS[f" {option}" if option else ""]
        found = _cells(layer, array, options) if part == "cells" else _placed(options)
        rows.append({"case": name, "option": option, **found})
    Console(width=120).print(_table(rows))
    if json:
        kept = rows if smallest else with_others(json, rows, CASES)
        write_record(json, "bench.boards.protection", SEED, kept)


def _image(layer: tuple[int, ...], array: tuple[int, int], options: dict[str, bool]) -> Image:
    model = random_model(np.random.default_rng(SEED), *layer)
    return compile_model(model, design_for(model, *array, **options))


def _cells(
    layer: tuple[int, ...], array: tuple[int, int], options: dict[str, bool]
) -> dict[str, Any]:
    """Of the core, by two families; and cycles of a whole walk."""
    image = _image(layer, array, options)
    with temporary_folder("protection") as folder:
        files = emit_verilog(image.design, folder / "verilog", image)
        ecp5 = synthesise_ecp5(files, timeout=TIMEOUT).to_dict()["cells"]
        xc7 = stand_in_counts(files, STAND_IN)
    rows = len(image.memories["matrix_000"])
    return {
        "M": array[0],
        "N": array[1],
        "ecp5": {
            "lut": ecp5["LUT4"],
            "carry": ecp5["CCU2C"],
            "ff": ecp5["TRELLIS_FF"],
            "block_ram": ecp5["DP16KD"],
            "lut_ram": ecp5.get("TRELLIS_DPR16X4", 0),
        },
        "xc7": {
            "lut": sum(n for kind, n in xc7.items() if kind[:3] == "LUT"),
            "carry": xc7.get("CARRY4", 0),
            "ff": sum(n for kind, n in xc7.items() if kind[:2] == "FD"),
            "block_ram": xc7.get("RAMB36E1", 0) + xc7.get("RAMB18E1", 0) / 2,
            "lut_ram": sum(n for kind, n in xc7.items() if kind[:3] == "RAM" and "B" not in kind),
        },
        "walk_cycles": walk_cycles(image.design, rows) if image.design.walk else None,
    }


def _placed(options: dict[str, bool]) -> dict[str, Any]:
    """Of a bitstream, the line and the registers included."""
    chosen = board(BOARD)
    image = _image(PLACED_LAYER, PLACED, chosen.options | options)
    with temporary_folder("protection") as folder:
        out = folder / "bitstream"
        try:
            build_bitstream(chosen, image.design, image, out, seed=PLACER, timeout=36000)
        except BitstreamError:  # a clock that is missed is a figure too
            if not (out / "summary.json").exists():
                raise
        found = json_text.loads((out / "summary.json").read_text("utf-8"))
    about = {"board": BOARD, "M": PLACED[0], "N": PLACED[1]}
    return about | {figure: found[figure] for figure in FIGURES}


def _table(rows: Rows) -> Table:
    table = Table(title="Cells of the core, and of a bitstream")
    for name in ("case", "of", "LUT", "FF", "block RAM", "LUT RAM", "MHz"):
        table.add_column(name, justify="right")
    for row in rows:
        for family in ("ecp5", "xc7"):
            if family in row:
                names = ("lut", "ff", "block_ram", "lut_ram")
                table.add_row(row["case"], family, *(str(row[family][n]) for n in names), "")
        if "board" in row:
            counts = (str(row[name]) for name in ("lut", "ff", "ram"))
            table.add_row(row["case"], row["board"], *counts, "", str(row["fmax_mhz"]))
    return table


if __name__ == "__main__":
    typer.run(main)
