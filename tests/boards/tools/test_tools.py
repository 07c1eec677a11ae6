"""Tools of bitstreams: their news, their limits, and designs that are too large for a device."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.board import board
from boards.build.open_tools import place
from boards.tools import run as tools
from boards.tools.run import BitstreamError, how_far, run_tool, watch
from boards.tools.synth import run_yosys

# the device has 8 multipliers
TWENTY = """
module product(input clk, input [15:0] a, input [15:0] b, output reg [31:0] p);
  always @(posedge clk) p <= a * b;
endmodule
module sparseflow_board(input clk, input rx, output tx, output led);
  reg [15:0] a;
  wire [19:0] odd;
  always @(posedge clk) a <= {a[14:0], rx};
  genvar i;
  generate for (i = 0; i < 20; i = i + 1) begin : g
    wire [31:0] p;
    product of(.clk(clk), .a(a), .b({a[7:0], a[15:8]} ^ 16'd977 * i), .p(p));
    assign odd[i] = ^p;
  end endgenerate
  assign tx = ^odd, led = a[0];
endmodule
"""


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("", ""),
        ("2.25. Executing ABC pass (technology mapping using ABC).\n", "ABC"),
        ("Info:     at iteration #7, type ALL: wirelen solved = 1, spread", "placing, iteration 7"),
        (
            "Info:   at iteration #15: temp = 0.000000, timing cost = 156, wirelen = 34853",
            "refining the placement, iteration 15",
        ),
        (
            "Info:     iter=3 wires=23127 overused=151 overuse=155 archfail=0",
            "routing, iteration 3, 151 overused",
        ),
        (
            "Info:       1000 |       61        938 |   61   938 |      7013|       0.30   0.30|\n"
            "something else",
            "routing, 7013 arcs left",
        ),
        (
            "Info: overlap: COMB=99.4%, FF=99.5%, RAM=9%, MUL=9%\nInfo:",
            "placing, overlap COMB=99.4%, FF=99.5%, RAM=9%, MUL=9%",
        ),
        ("Info: iter=693 steplen=1.67 a=348.9 penalty=[1, 1]\n", "placing, iteration 693"),
        ("Info:     'a_LUT4_F[0]' is routed using segments.\n", "routing long wires"),
    ],
)
def test_news_of_a_log(log: str, told: str) -> None:
    assert how_far(log) == told


def test_only_the_end_of_a_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "EVERY", 0.0)
    log, told = tmp_path / "log", list[str]()
    look = watch(log, told.append)
    look()
    log.write_text("Running router2...\n" + " " * 2 * tools.TAIL)
    look()
    log.write_text(" " * 2 * tools.TAIL + "Running router2...\n")
    look()
    assert told == ["", "routing"]


TABLE = (
    "Info: Device utilisation:\nInfo: \t  DP16KD:   {n}/    208   9%\nInfo: \t MUL:  1/  1 100%\n"
)


def test_what_takes_more_than_the_device_has_is_refused_while_it_is_placed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    check = tools.has_room(board("ulx3s"))
    check(log)
    log.write_text("Info: Packing\n")
    check(log)
    log.write_text(TABLE.format(n=243))
    with pytest.raises(BitstreamError, match=r"not fit ULX3S-85F: it takes 243 DP16KD, it has 208"):
        check(log)
    log.write_text(TABLE.format(n=208) + "Info: Running Static placer...\n")
    check(log)
    log.write_text(TABLE.format(n=243))  # never looked at again: logs get long
    check(log)


def test_a_tool_is_ended_by_what_its_check_raises(tmp_path: Path) -> None:
    def check(log: Path) -> None:
        raise BitstreamError("enough")

    with pytest.raises(BitstreamError, match="enough"):
        run_tool(board("icebreaker"), "nextpnr-ice40", ["--help"], tmp_path, 300, check=check)


def test_a_tool_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        BitstreamError,
        match=r"yowasp-none is not installed: it comes with the extra",
    ):
        run_tool(board("ulx3s"), "none", [], tmp_path, 1.0)


@pytest.mark.synth
def test_a_design_that_is_too_large_says_what_to_change(tmp_path: Path) -> None:
    (tmp_path / "top.v").write_text(TWENTY)
    commands = ["read_verilog -sv top.v", "hierarchy -top sparseflow_board", "proc"]
    commands += ["synth_ice40 -device u -dsp -top sparseflow_board"]
    run_yosys(tmp_path, [*commands, "write_json netlist.json"], 120)
    with pytest.raises(
        BitstreamError,
        match=r"not fit iCEBreaker: it takes 20 ICESTORM_DSP, it has 8\. Choose fewer --pes or",
    ):
        place(board("icebreaker"), tmp_path, "heap", 1, 300, lambda text: None)


def test_a_tool_that_takes_too_long(tmp_path: Path) -> None:
    with pytest.raises(BitstreamError, match=r"icepack killed after 0 s: allow it more"):
        run_tool(board("icebreaker"), "icepack", ["-h"], tmp_path, 0.0)
