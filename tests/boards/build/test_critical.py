"""Where time and cells are, from what nextpnr writes."""

from __future__ import annotations

from typing import Any

import pytest

from boards.board import board
from boards.build.blocks import Block, block_of, counted, signal_of
from boards.build.critical import critical_paths

CORE = "link.accelerator.core"


@pytest.mark.parametrize(
    ("cell", "block", "path"),
    [
        (f"{CORE}.pe12.result_TRELLIS_FF_Q_1", "core.pe", f"{CORE}.pe12"),
        (f"{CORE}.pe0.parked.0.0_DIA0_TRELLIS_FF_Q", "core.pe", f"{CORE}.pe0"),
        (f"{CORE}.lane0.activation_g.x_LUT4_Z", "core.lane", f"{CORE}.lane0"),
        (f"{CORE}.matrix0.cells.0.12_DOB0_LUT4_Z", "core.matrix", f"{CORE}.matrix0"),
        (f"{CORE}.program_.read_data_LUT4_Z", "core.program", f"{CORE}.program_"),
        (f"{CORE}.pe0_write_10_TRELLIS_FF_Q", "core", CORE),
        ("link.accelerator.counters$171.values_TRELLIS_FF_Q_1", "accelerator.counters",
         "link.accelerator.counters$171"),
        ("link.accelerator.irq_LUT4_Z", "accelerator", "link.accelerator"),
        ("link.master.receiver.crc.crc_LUT4_Z", "link.master", "link.master"),
        ("boot_TRELLIS_FF_Q_2", "board", ""),
        ("rx$tr_io", "board", ""),
        ("$nextpnr_CCU2C_222$CCU2_COMB1", "nextpnr", "$nextpnr"),
    ],
)  # fmt: skip
def test_a_cell_tells_its_block(cell: str, block: str, path: str) -> None:
    assert block_of(cell) == (block, path)


def test_a_cell_tells_the_signal_that_it_feeds() -> None:
    names = {
        f"{CORE}.output_.buffer.w_level_CCU2C_S1_2$CCU2_COMB0": "core.output.buffer.w_level",
        f"{CORE}.output_.room_TRELLIS_FF_Q_9": "core.output.room",
        f"{CORE}.pe3.word_SB_DFFE_Q_D_SB_LUT4_O": "core.pe.word",
        f"{CORE}.pe3.parked.0.0": "core.pe.parked.0.0",
        "rx$tr_io": "board.rx",
    }
    assert {cell: signal_of(cell) for cell in names} == names


def test_cells_are_counted_by_block_the_largest_first() -> None:
    cells = [(f"{CORE}.pe{n}.a_LUT4_Z", "TRELLIS_COMB") for n in range(4)]
    cells += [(f"{CORE}.pe{n}.m", "MULT18X18D") for n in range(4)]
    cells += [("link.master.sender.a_LUT4_Z", "TRELLIS_COMB"), ("rx$tr_io", "TRELLIS_IO")]
    assert counted(board("ecpix5"), cells) == (
        Block("core.pe", 4, {"lut": 4, "ff": 0, "ram": 0, "dsp": 4}),
        Block("link.master", 1, {"lut": 1, "ff": 0, "ram": 0, "dsp": 0}),
    )


def hop(kind: str, delay: float, begin: str, end: str) -> dict[str, Any]:
    """As nextpnr 0.11 writes it."""
    ends = {"from": {"cell": begin, "loc": [1, 2], "port": "Q"}}
    ends["to"] = {"cell": end, "loc": [3, 4], "port": "A"}
    return {"type": kind, "delay": delay, **ends}


def test_paths_within_a_clock_the_longest_first() -> None:
    a, b = f"{CORE}.pe0.a_TRELLIS_FF_Q", f"{CORE}.controller.pc_LUT4_Z"
    short = [hop("clk-to-q", 0.3, a, a), hop("routing", 0.25, a, b)]
    long = [*short, hop("logic", 0.2249999940395355, b, b), hop("setup", 0, b, b)]
    clock = "posedge $glbnet$link.accelerator.aclk"
    given = [("posedge other", "posedge other", short), (clock, clock, long)]
    given += [("<async>", clock, long), (clock, "<async>", long), (clock, "posedge other", long)]
    paths = [{"from": start, "to": end, "path": path} for start, end, path in given]
    found = critical_paths({"critical_paths": paths})
    assert [path.clock for path in found] == ["link.accelerator.aclk", "other"]
    assert (found[0].begin, found[0].end) == (f"{a}.Q", f"{b}.A")
    assert (found[0].ns("logic"), found[0].ns("routing")) == (0.525, 0.25)
    assert [part.kind for part in found[0].hops] == ["logic", "routing", "logic", "logic"]
    assert {part.signal for part in found[0].hops[1:]} == {"core.controller.pc"}


def test_a_report_without_paths() -> None:
    assert critical_paths({"fmax": {}}) == ()
