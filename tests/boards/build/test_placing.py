"""Real place and route of a handful of cells with the tools of each family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boards.board import board
from boards.build.attempts import best_of
from boards.build.blocks import blocks
from boards.build.critical import critical_paths
from boards.build.open_tools import REPORT, ROUTED, tools_of
from boards.tools.synth import run_yosys

SMALL = """
module counter(input clk, input rx, output reg [7:0] value);
  always @(posedge clk) value <= value + {7'd0, rx};
endmodule
module sparseflow_board(input clk, input rx, output tx, output led);
  wire [7:0] value;
  counter link(.clk(clk), .rx(rx), .value(value));
  assign tx = ^value, led = value[7];
endmodule
"""
SYNTHESIS = {
    "ecpix5": "synth_ecp5",
    "icebreaker": "synth_ice40 -device u",
    "tang_primer_20k": "synth_gowin -family gw2a",
}


@pytest.mark.synth
@pytest.mark.parametrize("name", SYNTHESIS)
def test_every_family_tells_its_clock_its_path_and_its_blocks(name: str, tmp_path: Path) -> None:
    (tmp_path / "top.v").write_text(SMALL)
    synthesis = f"{SYNTHESIS[name]} -top sparseflow_board"
    commands = ["read_verilog top.v", synthesis, "write_json netlist.json"]
    run_yosys(tmp_path, commands, 300)
    given, told = board(name), list[str]()
    best, every = best_of(given, tmp_path, (3,), 300, told.append, lambda text: None)
    assert (best.seed, best.placer) == (3, tools_of(given).placers[0])
    assert every == (best,)
    assert told == ["place and route"]
    (path, *_) = critical_paths(json.loads((tmp_path / REPORT).read_text()))
    assert 1000 / (path.ns("logic") + path.ns("routing")) == pytest.approx(best.fmax_mhz, rel=0.01)
    assert any(hop.signal.startswith("link") for hop in path.hops)
    (link,) = (block for block in blocks(given, tmp_path / ROUTED) if block.name == "link")
    assert sum(link.cells.values()) >= 6  # some may have the name of a port
