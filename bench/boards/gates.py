"""What slots of one gate cost: cells of a PE and of a lane, with and without them.

``python -m bench.boards.gates [--case NAME ...] [--json FILE]`` synthesises both modules for ECP5,
of arrays for networks whose gates keep different numbers of weights. Everything else is the same
but for the controller. A case takes two minutes on an idle core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.tools.limits import TIMEOUT
from boards.tools.synth import synthesise_ecp5
from compiler.array.needs import design_for
from csb_format import Model
from csb_format.files.folders import temporary_folder
from csb_format.random_models import random_network
from hdl.core.array.elements import PE_MODULE
from hdl.core.array.takers import LANE_MODULE
from hdl.verilog import emit_verilog

from ..array.utilisation import ptb_gates
from ..record import Rows, Smallest, check_named, with_others, write_record

__all__ = ["CASES", "main"]

SEED = 0


def _timit(rng: np.random.Generator) -> Model:
    return random_network(rng, 153, 1024, 16, ((2, 1, 4, 1), (6, 3, 13, 10), 1))


def _tiny(rng: np.random.Generator) -> Model:
    return random_network(rng, 4, 8, 1, ((1, 1, 2, 1), (1, 1, 2, 1), 1), value_bits=4, act_bits=6)


@dataclass(frozen=True)
class Case:
    """An array for a network.

    Parameters
    ----------
    model : callable
        Makes it from a generator.
    pes, lanes : int
        M, N.
    """

    model: Callable[[np.random.Generator], Model]
    pes: int
    lanes: int


CASES = {"16x8": Case(ptb_gates, 16, 8), "64x16": Case(_timit, 64, 16)}


def main(
    case: Annotated[list[str] | None, typer.Option(help="Arrays by name; may repeat.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Synthesise, print a table, write JSON."""
    check_named(case, CASES)
    chosen = {name: CASES[name] for name in case or CASES}
    if smallest:
        chosen = {"4x1": Case(_tiny, 4, 1)}
    rows = [_row(name, given, by_gate) for name, given in chosen.items() for by_gate in (0, 1)]
    Console(width=120).print(_table(rows))
    if json:
        kept = rows if smallest else with_others(json, rows, CASES)
        write_record(json, "bench.boards.gates", SEED, kept)


def _row(name: str, given: Case, by_gate: int) -> dict[str, Any]:
    """Cells of the modules, and of all of them that an array has."""
    model = given.model(np.random.default_rng(SEED))
    design = design_for(model, given.pes, given.lanes, by_gate=bool(by_gate))
    found: dict[str, dict[str, int]] = {}
    with temporary_folder("gates") as folder:
        files = emit_verilog(design, folder / "verilog")
        for part, module in (("pe", PE_MODULE), ("lane", LANE_MODULE)):
            cells = synthesise_ecp5(files, top=module, timeout=TIMEOUT).to_dict()["cells"]
            found[part] = {"lut": cells["LUT4"], "ff": cells["TRELLIS_FF"]}
    pes, lanes = design.pes, design.units
    whole = {n: pes * found["pe"][n] + lanes * found["lane"][n] for n in ("lut", "ff")}
    return {
        "case": name,
        "by_gate": design.by_gate,
        "M": pes,
        "N": design.lanes,
        "E": lanes,
        "acc_bits": design.acc_bits,
        **found,
        "all": whole,
    }


def _table(rows: Rows) -> Table:
    table = Table(title="ECP5 cells of a PE, of a lane, of all PEs and lanes")
    names = ("array", "by gate", "E", "PE LUT", "PE FF", "lane LUT", "lane FF", "all LUT", "all FF")
    for column in names:
        table.add_column(column, justify="left" if column == "array" else "right")
    for row in rows:
        counts = (f"{row[part][n]:,}" for part in ("pe", "lane", "all") for n in ("lut", "ff"))
        table.add_row(row["case"], "yes" if row["by_gate"] else "no", str(row["E"]), *counts)
    return table


if __name__ == "__main__":
    typer.run(main)
