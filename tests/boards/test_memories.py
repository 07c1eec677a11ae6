"""Which memories become block RAM: held against Yosys, at the border of its costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hdl
from bench.boards.bitstreams import SHAKESPEARE, Shipped
from boards.board import board
from boards.memories import Memory, memories
from boards.tools.synth import run_yosys

# As Amaranth writes memories whose words may be read in the cycle that writes them.
GUARDED = """
module m_{w}_{d} (
    input clk, we, input [{a}-1:0] to, from, input [{w}-1:0] in, output reg [{w}-1:0] out
);
    reg [{w}-1:0] words [0:{d}-1];
    always @(posedge clk) begin if (we) words[to] <= in; out <= words[from]; end
endmodule
"""
LOADED = """
module m_{w}_{d} (
    input clk, we, input [{a}-1:0] to, from, input [{w}-1:0] in, output [{w}-1:0] out
);
    sparseflow_ram #(.WIDTH({w}), .DEPTH({d}), .ADDR({a})) ram (
        .clk(clk), .write_en(we), .write_addr(to), .write_data(in), .read_addr(from),
        .read_data(out)
    );
endmodule
"""
PORTS = ".clk(clk), .we(we), .to(to), .from(from), .in(in[{w}-1:0]), .out(out[{n}*64 +: {w}])"
SYNTHESIS = {"ulx3s": "synth_ecp5", "tang_primer_20k": "synth_gowin -family gw2a"}
DEPTHS, WIDTHS = (32, 48, 64, 80, 128), range(4, 64)


def border(name: str, guarded: bool) -> list[tuple[int, int]]:
    """Widths beside which the choice changes, by depth."""
    part = board(name).has
    return [
        (w + more, depth)
        for depth in DEPTHS
        for w in WIDTHS
        if bool(Memory(w, depth, 1, guarded).blocks(part))
        != bool(Memory(w + 1, depth, 1, guarded).blocks(part))
        for more in (0, 1)
    ]


@pytest.mark.synth
@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("name", SYNTHESIS)
def test_memories_are_of_what_synthesis_chooses(name: str, guarded: bool, tmp_path: Path) -> None:
    sizes, part, template = border(name, guarded), board(name).has, GUARDED if guarded else LOADED
    assert len(sizes) >= 12
    made = "".join(template.format(w=w, d=d, a=(d - 1).bit_length()) for w, d in sizes)
    inside = "".join(
        f"m_{w}_{d} i{n} ({PORTS.format(w=w, n=n)});\n" for n, (w, d) in enumerate(sizes)
    )
    ports = (
        f"input clk, we, input [6:0] to, from, input [63:0] in, output [{64 * len(sizes)}:0] out"
    )
    ram = (Path(hdl.__path__[0]) / "sparseflow_ram.v").read_text("utf-8")
    (tmp_path / "m.v").write_text(f"{ram}{made}module top ({ports});\n{inside}endmodule\n")
    commands = ["read_verilog -sv m.v", "hierarchy -top top", "flatten m_*"]
    commands += [f"{SYNTHESIS[name]} -top top -noflatten -run begin:map_ffram"]
    run_yosys(tmp_path, [*commands, "tee -q -o cells.txt stat -json"], 300)
    text = (tmp_path / "cells.txt").read_text("utf-8")
    modules = json.loads(text[text.index("{") :])["modules"]
    for w, d in sizes:
        cells = modules[f"\\m_{w}_{d}"]["num_cells_by_type"]
        blocks = sum(n for kind, n in cells.items() if kind.endswith(("DP16KD", "X9B", "DPX9")))
        small = sum(n for kind, n in cells.items() if kind.endswith(("DPR16X4", "RAM16SDP4")))
        memory = Memory(w, d, 1, guarded)
        assert (w, d, blocks) == (w, d, memory.blocks(part))
        assert (w, d, small) == (w, d, 0 if blocks else memory.distributed)


def test_sums_of_a_fast_array_are_logic() -> None:
    # 64 words of 45 bits: two blocks would do, and cost Yosys more than logic
    case = Shipped("ulx3s", 16, 8, SHAKESPEARE)
    found = memories(case.design(case.model()), matrices=True)
    sums = Memory(45, 64, 16, guarded=True)
    assert sums in found
    assert sums.blocks(board("ulx3s").has) == 0
    assert sums._replace(guarded=False).blocks(board("ulx3s").has) == 2
