"""Counts of ECP5 cells, held against what the devices of the family have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from ..families.ecp5 import PARTS

__all__ = ["DEVICES", "KINDS", "CellReport", "Device", "ModuleCells", "lut_sites"]

KINDS = {
    "LUT4": "logic",
    "PFUMX": "joins two LUT4",
    "L6MUX21": "joins two PFUMX",
    "CCU2C": "two bits of carry chain",
    "TRELLIS_FF": "register",
    "MULT18X18D": "multiplier",
    "DP16KD": "block RAM, 18 kbit",
    "TRELLIS_DPR16X4": "distributed RAM, 16 words of 4 bits",
}
# LUT4 sites that a cell takes, as nextpnr-ecp5 counts them: a distributed RAM has four for
# its words and takes two more from the slice that drives its write port.
LUT_SITES = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}


def lut_sites(cells: Mapping[str, int]) -> int:
    """Sites of look-up tables that cells of ECP5 take, by kind: carries and small memories too."""
    return sum(sites * cells.get(kind, 0) for kind, sites in LUT_SITES.items())


@dataclass(frozen=True)
class Device:
    """An FPGA of the ECP5 family. Figures are those that nextpnr-ecp5 0.11 reports.

    Parameters
    ----------
    name : str
    luts : int
        LUT4 sites; each has a register.
    multipliers : int
        MULT18X18D.
    block_rams : int
        DP16KD.
    """

    name: str
    luts: int
    multipliers: int
    block_rams: int

    @property
    def capacity(self) -> dict[str, int]:
        """What the device has of every resource of :attr:`CellReport.usage`."""
        return {
            "LUT4 sites": self.luts,
            "registers": self.luts,
            "multipliers": self.multipliers,
            "block RAMs": self.block_rams,
            # one of the four slices (eight LUT4) can drive a write port
            "distributed RAMs": self.luts // 8,
        }


DEVICES = tuple(
    Device(name, PARTS[name].luts, PARTS[name].multipliers, PARTS[name].block_rams)
    for name in ("LFE5U-25F", "LFE5U-45F", "LFE5U-85F")
)


@dataclass(frozen=True)
class ModuleCells:
    """Cells of one module, without those of the modules inside it.

    Parameters
    ----------
    module : str
    instances : int
        How often it occurs in the whole design.
    cells : dict
        Cell kind to its count in all instances together.
    """

    module: str
    instances: int
    cells: dict[str, int]


@dataclass(frozen=True)
class CellReport:
    """What synthesis made of a design.

    Parameters
    ----------
    modules : tuple of ModuleCells
        The top module first; the only one if the design was flattened.
    flattened : bool
        Flattened designs share equal registers of different blocks, as placement gets them.
    yosys : str
        Version.
    seconds : float
        Wall time of synthesis; not part of :meth:`to_dict`, which is reproducible.
    """

    modules: tuple[ModuleCells, ...]
    flattened: bool
    yosys: str
    seconds: float

    @property
    def cells(self) -> dict[str, int]:
        """Cell kind to count in the whole design: those of ``KINDS``, then all others."""
        total: Counter[str] = Counter()
        for module in self.modules:
            total.update(module.cells)
        others = sorted(set(total) - set(KINDS))
        return {kind: total[kind] for kind in (*KINDS, *others)}

    @property
    def usage(self) -> dict[str, int]:
        """What the design takes of the resources that a device has."""
        cells = self.cells
        return {
            "LUT4 sites": lut_sites(cells),
            "registers": cells["TRELLIS_FF"],
            "multipliers": cells["MULT18X18D"],
            "block RAMs": cells["DP16KD"],
            "distributed RAMs": cells["TRELLIS_DPR16X4"],
        }

    def shortages(self, device: Device) -> tuple[str, ...]:
        """What a device lacks, such as ``"72 multipliers, it has 28"``; empty if it fits.

        Counts are necessary, not sufficient: placement and routing decide.
        """
        capacity = device.capacity
        return tuple(
            f"{used} {name}, it has {capacity[name]}"
            for name, used in self.usage.items()
            if used > capacity[name]
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the time, for JSON; the same design gives the same."""
        return {
            "family": "ecp5",
            "yosys": self.yosys,
            "flattened": self.flattened,
            "cells": self.cells,
            "usage": self.usage,
            "modules": [
                {"module": m.module, "instances": m.instances, "cells": m.cells}
                for m in self.modules
            ],
            "devices": {
                device.name: {
                    "capacity": device.capacity,
                    "fits": not self.shortages(device),
                    "shortages": list(self.shortages(device)),
                }
                for device in DEVICES
            },
        }

    def usage_table(self) -> Table:
        """Resources against devices, and what fits."""
        table = Table(title="ECP5 resources", caption=f"Yosys {self.yosys}, {self.seconds:.0f} s")
        table.add_column("resource")
        table.add_column("used", justify="right")
        for device in DEVICES:
            table.add_column(device.name, justify="right")
        for name, used in self.usage.items():
            shares = [f"{100 * used / device.capacity[name]:.0f} %" for device in DEVICES]
            table.add_row(name, str(used), *shares)
        verdicts = ["no" if self.shortages(device) else "yes" for device in DEVICES]
        table.add_section()
        table.add_row("fits, before routing", "", *verdicts)
        return table

    def cell_table(self) -> Table:
        """Cells by module; one line if the design was flattened."""
        table = Table(title="ECP5 cells")
        table.add_column("module")
        table.add_column("instances", justify="right")
        kinds = [kind for kind, count in self.cells.items() if count]
        for kind in kinds:
            table.add_column(kind.removeprefix("TRELLIS_"), justify="right")
        for module in self.modules:
            counts = [str(module.cells.get(kind, 0)) for kind in kinds]
            table.add_row(module.module, str(module.instances), *counts)
        if len(self.modules) > 1:
            table.add_section()
            table.add_row("total", "", *[str(self.cells[kind]) for kind in kinds])
        return table
