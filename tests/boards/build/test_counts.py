"""What results say was used: the tool's own figures, each held against what synthesis made.

``reports`` has a build of every open family, kept short: cells of the netlist by kind, lines of
nextpnr's log, its report, and the design.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from boards.board import board
from boards.build.open_tools import count_cells, packed_cells
from boards.build.record import record
from boards.cells.learned import shipped
from boards.families import FAMILIES
from boards.resources import RESOURCES, estimate
from boards.tools.run import USED, BitstreamError
from compiler.array.design import Design

REPORTS = {path.stem: path for path in sorted((Path(__file__).parent / "reports").glob("*.json"))}
# kinds of cells of a netlist that a count is the sum of; halves where two are one
KINDS = {
    "ecp5": {"ff": {"TRELLIS_FF": 1}, "ram": {"DP16KD": 1}, "dsp": {"MULT18X18D": 1}},
    "ice40": {
        "ff": {"SB_DFF.*": 1},
        "ram": {"SB_RAM40_4K": 1},
        "dsp": {"SB_MAC16": 1},
        "spram": {"SB_SPRAM256KA": 1},
    },
    "gowin": {
        "ff": {"DFF.*": 1},
        "ram": {"(SP|SDP|DP|pROM)X?9?B?": 1},
        "dsp": {"MULT18X18": 1, "MULT9X9": 2},
        "distributed": {"RAM16SDP4": 1},
    },
}


@pytest.fixture(params=REPORTS)
def report(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(REPORTS[request.param].read_text("utf-8"))
    return found


def counted(report: dict[str, Any]) -> dict[str, int]:
    used = {kind: entry["used"] for kind, entry in report["utilization"].items()}
    return count_cells(board(report["board"]), used, "\n".join(report["log"]))


def test_every_open_family_has_a_report() -> None:
    families = {board(name).family.name for name in REPORTS}
    assert families == {name for name, family in FAMILIES.items() if family.tools} == set(KINDS)


def test_counts_are_those_of_the_netlist(report: dict[str, Any]) -> None:
    found = counted(report)
    for count, kinds in KINDS[board(report["board"]).family.name].items():
        cells = 0
        for kind, share in kinds.items():
            made = sum(n for name, n in report["netlist"].items() if re.fullmatch(kind, name))
            cells += -(-made // share)
        assert found[count] == cells > 0, count


def test_every_kind_that_the_device_has_is_counted(report: dict[str, Any]) -> None:
    one, found = board(report["board"]), counted(report)
    assert set(found) == {kind.count for kind in RESOURCES if kind.of(one.has)}
    assert all(
        0 < found[kind.count] <= kind.of(one.has) for kind in RESOURCES if kind.count in found
    )


def test_report_and_log_agree_where_placing_adds_nothing(report: dict[str, Any]) -> None:
    log = {kind: int(n) for kind, n, _ in USED.findall("\n".join(report["log"]))}
    for kind in ("MULT18X18D", "DP16KD", "ICESTORM_DSP", "ICESTORM_RAM", "ICESTORM_SPRAM",
                 "MULT18X18", "MULT9X9", "BSRAM", "RAM16SDP4"):  # fmt: skip
        assert log.get(kind, 0) == report["utilization"].get(kind, {"used": 0})["used"]


def test_packing_counts_no_places_that_other_cells_take(report: dict[str, Any]) -> None:
    one = board(report["board"])
    packed = packed_cells(one, "\n".join(report["log"]))
    assert packed["ff"] == pytest.approx(counted(report)["ff"], abs=2)  # placing adds some


def test_the_estimate_stands_for_every_kind(report: dict[str, Any]) -> None:
    one, design, found = board(report["board"]), Design(**report["design"]), counted(report)
    use = estimate(design, one).counts(one.has)
    assert use["dsp"] == found["dsp"]
    assert use.get("spram", 0) == found.get("spram", 0)
    near = {"ram": 0.1, "lut": 0.2, "distributed": 0.1, "ff": 0.1}
    for count in near.keys() & found.keys():
        assert use[count] == pytest.approx(found[count], rel=near[count])
    data = record(one, design)
    assert data["estimated"] == shipped().likely(design, one).counts(one.has)
    assert set(data["of"]) == set(found)


def test_a_log_that_does_not_say_it_is_no_zero() -> None:
    with pytest.raises(BitstreamError, match="the log of nextpnr does not say ff: its release"):
        count_cells(board("icebreaker"), {"ICESTORM_LC": 3}, "")
