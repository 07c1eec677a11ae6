"""What a screen unit takes: cells beside those of the array before it, and one placed design.

``python -m bench.screening.area [--case NAME ...] [--json FILE]``. Cells are those of a random head
behind two layers, every module synthesised once: memories are left out on both sides, as such a
head fits on no ECP5. What is placed is a whole bitstream of a small one. A case takes some minutes
of an idle core.
"""

from __future__ import annotations

import json as json_text
import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.board import board
from boards.build.bitstream import BitstreamError, build_bitstream
from boards.tools.cells import lut_sites
from boards.tools.limits import TIMEOUT
from boards.tools.synth import synthesise_ecp5
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.array.screen.bus import ScreenBus
from compiler.array.screen.design import ScreenDesign
from compiler.lower.compile import compile_model
from csb_format import DenseLayer, Fixed, Model
from csb_format.files.folders import temporary_folder
from csb_format.random_models import random_model
from csb_format.screening.layer import ScreenedLayer
from hdl.core.hierarchy import RAM_MODULE
from hdl.prefix import OURS, named
from hdl.verilog import emit_verilog
from sim.dram.screen_verilog import TOP, emit_screen

from ..record import Rows, Smallest, check_named, with_others, write_record
from .cycles import pruned

__all__ = ["main"]

SEED, LARGEST = 0, 5
#: M and N of an array; words of the head, and units of a layer before it.
CELLS = {
    "cells 8 x 4": ((8, 4), (2_000, 64)),
    "cells 16 x 8": ((16, 8), (10_000, 200)),
}
#: The unit that stands alone with its bus: one of the cells above, bits, and ``screen_digits`` and
#: ``screen_lanes``: 0, all columns in a cycle, other planes in six; or as fast as the bus is.
FETCHED = {
    "fetched 16 x 8, 128 bits": ("cells 16 x 8", 128, 0, 0),
    "fetched 16 x 8, 128 bits, 64 and 26 lanes": ("cells 16 x 8", 128, 64, 26),
}
BOARD, PLACER = "ecpix5", 1
#: X, units, banks, k and layers; words; M and N.
PLACED, WORDS, PLACED_ARRAY = (12, 32, 4, 1, 1), 60, (4, 1)
CASES = (*CELLS, *FETCHED, "placed")
FIGURES = ("lut", "ff", "ram", "dsp", "fmax_mhz", "clock_mhz", "blocks")
_UNIT = "screen"  # in the path of its modules
BOXES = (named(OURS, RAM_MODULE),)


def main(
    case: Annotated[list[str] | None, typer.Option(help="By name; may repeat.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Synthesise, build, print a table, write JSON."""
    check_named(case, CASES)
    rows: Rows = []
    for name in CASES[:1] if smallest else case or CASES:
        rows.append({"case": name} | _row(name, smallest))
        if json:  # after each, as they take minutes
            kept = rows if smallest else with_others(json, rows, CASES)
            write_record(json, "bench.screening.area", SEED, kept)
    Console(width=120).print(_table(rows))


def _row(name: str, smallest: bool) -> dict[str, Any]:
    if name == "placed":
        return _placed()
    cells, bits, *lanes = FETCHED.get(name, (name, 0))
    array, size = ((4, 1), (20, 8)) if smallest else CELLS[cells]
    return _fetched(*array, size, bits, *lanes) if bits else _cells(*array, size)


def _screened(model: Model, words: int) -> Model:
    """It with a random head in planes, whose rows are as unlike as those of trained ones."""
    rng, columns = np.random.default_rng(SEED), model.shape.layers[-1].hidden_size
    sizes = rng.uniform(1000, 8000, (words, 1))
    weight = np.clip(rng.normal(0, 1, (words, columns)) * sizes, -32768, 32767).astype(np.int64)
    bias = rng.integers(-(1 << 24), 1 << 24, words)
    head = DenseLayer(weight, Fixed(16, 13), model.layers[-1].output, bias)
    return replace(model, head=ScreenedLayer.of(head))


def _cells(pes: int, lanes: int, size: tuple[int, int]) -> dict[str, Any]:
    """Of the unit and of all else, every module synthesised once."""
    design, screen = _designs(pes, lanes, size)
    with temporary_folder("screen_area") as folder:
        files = emit_verilog(design, folder / "verilog")
        found = synthesise_ecp5(files, flatten=False, boxes=BOXES, timeout=TIMEOUT)
    sides: dict[str, Counter[str]] = {"unit": Counter(), "array": Counter()}
    for module in found.modules:
        sides["unit" if _UNIT in module.module.split(".") else "array"].update(module.cells)
    told = {side: _told(cells) for side, cells in sides.items()}
    about = _about(pes, lanes, screen)
    unit, array = told["unit"], told["array"]
    return about | told | {f"share_{kind}": unit[kind] / array[kind] for kind in ("lut", "sites")}


def _fetched(
    pes: int, lanes: int, size: tuple[int, int], bits: int, digits: int, others: int
) -> dict[str, Any]:
    """Of the same unit with its planes in a memory outside, its bus and buffers included."""
    _, screen = _designs(pes, lanes, size)
    screen = replace(screen, digits=digits or screen.digits, lanes=others or screen.lanes)
    with temporary_folder("screen_area") as folder:
        files = emit_screen(screen, ScreenBus(bits), folder / "verilog")
        found = synthesise_ecp5(files, top=TOP, flatten=False, boxes=BOXES, timeout=TIMEOUT)
    cells, parts = Counter[str](), defaultdict[str, Counter[str]](Counter)
    for module in found.modules:
        cells.update(module.cells)
        parts[_part(module.module)].update(module.cells)
    told: Rows = [{"part": part} | _told(some) for part, some in parts.items()]
    told = [part for part in told if any(part[of] for of in ("lut", "sites", "ff", "dsp"))]
    told.sort(key=lambda part: -part["sites"])
    return _about(pes, lanes, screen) | {"bus_bits": bits, "fetched": _told(cells), "parts": told}


def _part(module: str) -> str:
    """Its path in the unit; alike ones, such as the memory of each lane, are one part."""
    path = re.sub(r"\$\d+", "", module.removeprefix(f"{TOP}."))
    return path.rstrip("0123456789")


def _designs(pes: int, lanes: int, size: tuple[int, int]) -> tuple[Design, ScreenDesign]:
    """An array, and the unit behind it."""
    words, columns = size
    model = _screened(pruned(columns, lanes), words)
    design = design_for(model, pes, lanes, largest=min(LARGEST, words))
    assert design.screen is not None
    return design, design.screen


def _about(pes: int, lanes: int, screen: ScreenDesign) -> dict[str, int]:
    names = {"rows": "rows", "columns": "columns", "k": "top", "digits": "digits"}
    found = {"pes": pes, "lanes": lanes, "multipliers": screen.lanes}
    return found | {name: getattr(screen, of) for name, of in names.items()}


def _told(cells: Counter[str]) -> dict[str, int]:
    """Look-up tables alone, and all sites of them: carries and small memories take some too."""
    return {
        "lut": cells["LUT4"],
        "sites": lut_sites(cells),
        "ff": cells["TRELLIS_FF"],
        "dsp": cells["MULT18X18D"],
    }


def _placed() -> dict[str, Any]:
    """Of a bitstream, the line and the registers included."""
    chosen = board(BOARD)
    model = _screened(random_model(np.random.default_rng(SEED), *PLACED), WORDS)
    design = design_for(model, *PLACED_ARRAY, largest=LARGEST, **chosen.options)
    image = compile_model(model, design)
    with temporary_folder("screen_area") as folder:
        out = folder / "bitstream"
        try:
            build_bitstream(chosen, design, image, out, seed=PLACER, timeout=TIMEOUT)
        except BitstreamError:  # a clock that is missed is a figure too
            if not (out / "summary.json").exists():
                raise
        found = json_text.loads((out / "summary.json").read_text("utf-8"))
    about = {"board": BOARD, "pes": PLACED_ARRAY[0], "lanes": PLACED_ARRAY[1], "rows": WORDS}
    about |= {"columns": PLACED[1], "k": LARGEST}
    return about | {figure: found[figure] for figure in FIGURES}


def _table(rows: Rows) -> Table:
    table = Table(title="A screen unit beside its array")
    for name in ("case", "of", "LUT4", "LUT4 sites", "FF", "DSP", "share of sites", "MHz"):
        table.add_column(name, justify="right")
    for row in rows:
        for side in ("array", "unit", "fetched"):
            if side in row:
                counts = (str(row[side][name]) for name in ("lut", "sites", "ff", "dsp"))
                share = f"{100 * row['share_sites']:.1f} %" if side == "unit" else ""
                table.add_row(row["case"], side, *counts, share, "")
        if "board" in row:
            counts = (str(row[name]) for name in ("lut", "ff", "dsp"))
            table.add_row(row["case"], row["board"], "", *counts, "", str(row["fmax_mhz"]))
    return table


if __name__ == "__main__":
    typer.run(main)
