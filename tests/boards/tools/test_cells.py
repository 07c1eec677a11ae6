from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.table import Table

from boards.tools.cells import DEVICES, CellReport, Device, ModuleCells

SMALL, MIDDLE, LARGE = DEVICES


def report(**cells: int) -> CellReport:
    return CellReport((ModuleCells("sparseflow", 1, cells),), True, "0.70", 1.5)


def printed(table: Table) -> str:
    console = Console(width=120, file=io.StringIO())
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_cells_are_the_sum_of_modules() -> None:
    modules = (
        ModuleCells("sparseflow", 1, {"LUT4": 5, "ODD": 1}),
        ModuleCells("sparseflow_pe", 4, {"LUT4": 40, "MULT18X18D": 8}),
    )
    cells = CellReport(modules, False, "0.70", 1.0).cells
    assert {kind: count for kind, count in cells.items() if count} == {
        "LUT4": 45,
        "MULT18X18D": 8,
        "ODD": 1,
    }
    assert cells["DP16KD"] == 0


def test_lut_sites_count_carries_twice_and_distributed_rams_six_times() -> None:
    used = report(LUT4=100, CCU2C=10, TRELLIS_DPR16X4=3, TRELLIS_FF=9).usage
    assert used["LUT4 sites"] == 100 + 20 + 18
    assert used["registers"] == 9
    assert used["distributed RAMs"] == 3


@pytest.mark.parametrize(
    ("kind", "resource", "available"),
    [
        ("LUT4", "LUT4 sites", 24288),
        ("TRELLIS_FF", "registers", 24288),
        ("MULT18X18D", "multipliers", 28),
        ("DP16KD", "block RAMs", 56),
        ("TRELLIS_DPR16X4", "distributed RAMs", 3036),
    ],
)
def test_a_device_fits_up_to_its_capacity(kind: str, resource: str, available: int) -> None:
    assert SMALL.capacity[resource] == available
    assert report(**{kind: available}).shortages(SMALL) == ()
    shortage = f"{available + 1} {resource}, it has {available}"
    assert report(**{kind: available + 1}).shortages(SMALL) == (shortage,)


@pytest.mark.parametrize(
    ("device", "multipliers", "block_rams", "distributed"),
    [(SMALL, 28, 56, 3036), (MIDDLE, 72, 108, 5481), (LARGE, 156, 208, 10455)],
)
def test_devices(device: Device, multipliers: int, block_rams: int, distributed: int) -> None:
    capacity = device.capacity
    assert capacity["multipliers"] == multipliers
    assert capacity["block RAMs"] == block_rams
    assert capacity["distributed RAMs"] == distributed


def test_dict_is_json_without_the_time() -> None:
    fields = report(MULT18X18D=73).to_dict()
    assert json.loads(json.dumps(fields)) == fields
    assert "seconds" not in fields
    assert {name: entry["fits"] for name, entry in fields["devices"].items()} == {
        "LFE5U-25F": False,
        "LFE5U-45F": False,
        "LFE5U-85F": True,
    }


def test_tables_name_shares_and_verdicts() -> None:
    text = printed(report(MULT18X18D=36).usage_table())
    line = next(line for line in text.splitlines() if "multipliers" in line)
    assert line.replace("│", " ").split() == ["multipliers", "36", "129", "%", "50", "%", "23", "%"]
    verdict = next(line for line in text.splitlines() if "fits" in line)
    assert verdict.replace("│", " ").split()[-3:] == ["no", "yes", "yes"]


def test_cell_table_has_a_total_only_for_several_modules() -> None:
    assert "total" not in printed(report(LUT4=3).cell_table())
    several = (ModuleCells("a", 1, {"LUT4": 3}), ModuleCells("b", 2, {"LUT4": 4}))
    lines = printed(CellReport(several, False, "0.70", 1.0).cell_table()).splitlines()
    rows = [line.replace("│", " ").split() for line in lines if line.startswith("│")]
    assert rows == [["a", "1", "3"], ["b", "2", "4"], ["total", "7"]]
