"""What ranges of their own for the layers cost an array: cells of a lane and of a small core.

``python -m bench.boards.reaches [--case NAME ...] [--json FILE]`` synthesises the lane of a cell
for ECP5 and, as a stand-in for Vivado, for Xilinx 7, and the core of 4 x 4 that it is in for ECP5.
All designs of a cell differ in the ranges of their states alone. A case takes 30 processor seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.tools.limits import TIMEOUT
from boards.tools.stand_in import stand_in_counts
from boards.tools.synth import synthesise_ecp5
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.timing.cycle_model import CycleModel
from csb_format.cells import CELLS
from csb_format.files.folders import temporary_folder
from csb_format.random_models import random_network
from hdl.core.array.takers import LANE_MODULE
from hdl.verilog import emit_verilog

from ..record import Rows, Smallest, check_named, with_others, write_record

__all__ = ["REACHES", "SEED", "SIZES", "main"]

SEED = 0
SIZES: dict[str, Any] = {
    "input_size": 12,
    "hidden_size": 32,
    "banks": 4,
    "k": (1, 2, 0),
    "layers": 3,
}
ARRAY = (4, 4)
REACHES = {"16": (16, 16, 16), "16, 64": (16, 64, 16), "8, 16, 64": (8, 16, 64)}
CASES = tuple(f"{cell}: {several}" for cell in CELLS for several in REACHES)
STAND_IN = "synth_xilinx xc7"


def main(
    case: Annotated[list[str] | None, typer.Option(help="By name; may repeat.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Synthesise, print a table, write JSON."""
    check_named(case, CASES)
    rows = list[dict[str, Any]]()
    for name in CASES[:1] if smallest else case or CASES:
        cell, _, several = name.partition(": ")
        sizes = SIZES | ({"hidden_size": 4, "input_size": 4} if smallest else {})
        rows.append({"case": name, "cell": cell, "reaches": several} | _row(cell, several, sizes))
    Console(width=120).print(_table(rows))
    if json:
        kept = rows if smallest else with_others(json, rows, CASES)
        write_record(json, "bench.boards.reaches", SEED, kept)


def _row(cell: str, several: str, sizes: dict[str, Any]) -> dict[str, Any]:
    """Cells of lane and core, and cycles of a step."""
    rng = np.random.default_rng(SEED)
    model = random_network(rng, **sizes, cell=cell, reach=REACHES[several])
    image = compile_model(model, design_for(model, *ARRAY, units=1))
    with temporary_folder("reaches") as folder:
        files = emit_verilog(image.design, folder / "verilog", image)
        lane = synthesise_ecp5(files, top=LANE_MODULE, timeout=TIMEOUT).to_dict()["cells"]
        core = synthesise_ecp5(files, timeout=TIMEOUT).to_dict()["cells"]
        xc7 = stand_in_counts(files, STAND_IN, module=LANE_MODULE)
    return {
        "M": ARRAY[0],
        "N": ARRAY[1],
        "lane": {"ecp5": _ecp5(lane), "xc7": _xc7(xc7)},
        "core": {"ecp5": _ecp5(core)},
        "cycles": int(CycleModel(image).run(8, [True] + [False] * 7).frame_done[-1]),
    }


def _ecp5(cells: dict[str, int]) -> dict[str, int]:
    """Of Yosys' kinds of cells those that count."""
    kinds = {"lut": "LUT4", "carry": "CCU2C", "ff": "TRELLIS_FF", "dsp": "MULT18X18D"}
    return {name: cells.get(kind, 0) for name, kind in kinds.items()}


def _xc7(cells: dict[str, int]) -> dict[str, int]:
    return {
        "lut": sum(n for kind, n in cells.items() if kind[:3] == "LUT"),
        "carry": cells.get("CARRY4", 0),
        "ff": sum(n for kind, n in cells.items() if kind[:2] == "FD"),
        "dsp": cells.get("DSP48E1", 0),
    }


def _table(rows: Rows) -> Table:
    table = Table(title="Cells of a lane, and of a core of 4 x 4 with one")
    for name in ("case", "of", "LUT", "carry", "FF", "DSP", "cycles of 8 frames"):
        table.add_column(name, justify="right")
    for row in rows:
        for part, family in (("lane", "ecp5"), ("lane", "xc7"), ("core", "ecp5")):
            counts = map(str, row[part][family].values())
            table.add_row(row["case"], f"{part}, {family}", *counts, str(row["cycles"]))
    return table


if __name__ == "__main__":
    typer.run(main)
