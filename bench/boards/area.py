"""What a multiplier costs in logic, and what of it is its copy of the vector.

``python -m bench.boards.area [--case NAME ...] [--json FILE]`` synthesises a PE and a lane, for
153 -> 1,024 units (87.5 % pruned, 16 banks), for ECP5 and, as a stand-in for Vivado, for
UltraScale+. The memories of a PE's vector are of the depth that the network needs, and of others
beside it: the difference is what the copies cost. Beside them are banks in parts (UltraScale+) and
unguarded ones (ECP5), as `compiler.array.design.Design` has them. A row takes half a minute on an
idle core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from boards.tools.limits import TIMEOUT
from boards.tools.stand_in import stand_in_counts
from boards.tools.synth import synthesise_ecp5
from compiler.array.design import Design
from compiler.array.needs import design_for
from csb_format.files.folders import temporary_folder
from csb_format.random_models import random_network
from hdl.core.array.elements import PE_MODULE
from hdl.core.array.takers import LANE_MODULE
from hdl.verilog import VerilogFiles, emit_verilog

from ..record import Rows, Smallest, check_named, with_others, write_record

__all__ = ["CASES", "main"]

SEED = 0
INPUTS, UNITS, KEPT = 153, 1024, (2, 8, 1)  # weights of a bank in W_ih and W_hh; layers
STAND_IN = "synth_xilinx xcup"
FAMILIES = ("ecp5", "xcup")
BANKS = {
    "": FAMILIES,
    "parts": ("xcup",),
    "unguarded": ("ecp5",),
    "block_banks": FAMILIES,
    "block_banks unguarded": FAMILIES,
}  # flags of a design, where each is of use
BLOCKS = ("block_banks", "block_banks unguarded")
# Look-up tables of six inputs that a distributed memory takes: one for each of its read ports of a
# bit (two bits of 32 words), one for the write address.
XCUP_SITES = {"RAM32X1D": 2, "RAM64X1D": 2, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8}
XCUP_KINDS = {"ff": ("FDRE", "FDSE", "FDCE", "FDPE"), "ram": ("RAMB18E2", "RAMB36E2")}


@dataclass(frozen=True)
class Case:
    """An array.

    Parameters
    ----------
    pes, lanes, bits : int
        M, N, of weights and activations.
    depth : int
        Places of a bank, in the place of what the network needs; 0: these.
    banks : str
        What vector banks are, of ``BANKS``: flags of a design.
    streams : int
        Of a streamed matrix that so many streams share; 0: one on chip.
    """

    pes: int
    lanes: int
    bits: int
    depth: int = 0
    banks: str = ""
    streams: int = 0

    @property
    def name(self) -> str:
        """As ``--case`` takes it."""
        depth = f", {self.depth} places" if self.depth else ""
        shared = {0: "", 1: ", streamed"}.get(self.streams, f", {self.streams} streams")
        banks = f", {self.banks}" if self.banks else ""
        return f"{self.pes}x{self.lanes} {self.bits} bits{depth}{banks}{shared}"

    def design(self, inputs: int, units: int, kept: tuple[int, int, int]) -> Design:
        """For a network."""
        rng, bits = np.random.default_rng(SEED), self.bits
        model = random_network(rng, inputs, units, self.lanes, kept, value_bits=bits, act_bits=bits)
        shared: dict[str, Any] = {}
        if self.streams:
            shared = {"streamed": True, "contexts": self.streams, "batched": self.streams > 1}
        design = design_for(model, self.pes, self.lanes, **shared)
        options: dict[str, Any] = dict.fromkeys(self.banks.split(), True)
        if self.depth:
            options["vector_depth"] = self.depth
        return replace(design, **options)


CASES = {
    case.name: case
    for case in (
        *(Case(64, 16, bits, depth) for bits in (16, 8) for depth in (0, 64, 96, 128, 192)),
        *(Case(64, 16, bits, depth, "parts") for bits in (16, 8) for depth in (0, 96)),
        *(Case(64, 16, bits, banks=banks) for bits in (16, 8) for banks in BLOCKS),
        *(Case(16, 8, bits) for bits in (16, 8)),
        *(Case(16, 8, bits, banks=banks) for bits in (16, 8) for banks in ("parts", "unguarded")),
        *(Case(64, 16, 16, streams=streams) for streams in (1, 8)),
    )
}


def main(
    case: Annotated[list[str] | None, typer.Option(help="Arrays by name; may repeat.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Synthesise, print a table, write JSON."""
    check_named(case, CASES)
    chosen = [CASES[name] for name in case or CASES]
    network = (INPUTS, UNITS, KEPT)
    if smallest:
        chosen = [Case(4, 2, 8), Case(4, 2, 8, 0, "parts")]
        network = (4, 8, (1, 1, 1))
    rows = [row for given in chosen for row in _rows(given, given.design(*network))]
    Console(width=120).print(_table(rows))
    if json:
        names = [f"{name} {family}" for name, c in CASES.items() for family in BANKS[c.banks]]
        write_record(
            json, "bench.boards.area", SEED, rows if smallest else with_others(json, rows, names)
        )


def _rows(case: Case, design: Design) -> list[dict[str, Any]]:
    """A row a family."""
    with temporary_folder("area") as folder:
        files = emit_verilog(design, folder / "verilog")
        return [_row(case, design, family, files) for family in BANKS[case.banks]]


def _row(case: Case, design: Design, family: str, files: VerilogFiles) -> dict[str, Any]:
    pe, lane = (_cells(files, family, module) for module in (PE_MODULE, LANE_MODULE))
    whole = {kind: design.pes * pe[kind] + design.units * lane[kind] for kind in pe}
    each = design.multipliers
    return {
        "case": f"{case.name} {family}",
        "family": family,
        "M": design.pes,
        "N": design.lanes,
        "E": design.units,
        "value_bits": design.value_bits,
        "vector_depth": design.vector_depth,
        "banks": case.banks or "whole",
        "lut_per_multiplier": pe["lut"] / design.lanes,
        "ff_per_multiplier": pe["ff"] / design.lanes,
        "with_lanes": whole["lut"] / each,
        "block_ram": whole["ram"],
        "dsp": whole["dsp"],
        "pe": pe,
        "lane": lane,
    }


def _cells(files: VerilogFiles, family: str, module: str) -> dict[str, int]:
    """Of a module: look-up tables with those in memories, registers, block RAMs, multipliers."""
    if family == "xcup":
        return _xcup(stand_in_counts(files, STAND_IN, TIMEOUT, module=module))
    used = synthesise_ecp5(files, top=module, timeout=TIMEOUT).usage
    return {
        "lut": used["LUT4 sites"],
        "ff": used["registers"],
        "ram": used["block RAMs"],
        "dsp": used["multipliers"],
    }


def _xcup(cells: Mapping[str, int]) -> dict[str, int]:
    sites = {f"LUT{n}": 1 for n in range(1, 7)} | XCUP_SITES
    ram36, ram18 = (cells.get(kind, 0) for kind in reversed(XCUP_KINDS["ram"]))
    return {
        "lut": sum(count * cells.get(kind, 0) for kind, count in sites.items()),
        "ff": sum(cells.get(kind, 0) for kind in XCUP_KINDS["ff"]),
        "ram": 2 * ram36 + ram18,
        "dsp": cells.get("DSP48E2", 0),
    }


def _table(rows: Rows) -> Table:
    table = Table(title="Cells of PEs, a multiplier; ECP5: LUT4 sites, UltraScale+: LUT6 (a PE's)")
    columns = ("array", "places", "LUT", "FF", "LUT with lanes", "block RAM of 18 kbit", "DSP")
    for column in columns:
        table.add_column(column, justify="left" if column == "array" else "right")
    for row in rows:
        each = (
            f"{row[name]:.1f}" for name in ("lut_per_multiplier", "ff_per_multiplier", "with_lanes")
        )
        whole = (f"{row[name]:,}" for name in ("block_ram", "dsp"))
        table.add_row(row["case"], str(row["vector_depth"]), *each, *whole)
    return table


if __name__ == "__main__":
    typer.run(main)
