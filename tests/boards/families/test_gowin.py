"""Gowin: what synthesis makes of the array computes what the model says; the board's bitstream."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyosys
import pytest

from boards.board import Board, board
from boards.build.bitstream import build_bitstream
from boards.resources import estimate
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format.random_models import random_model

TANG = board("tang_primer_20k")
INIT = range(64)  # parameters of a block memory, 32 words of 9 bits each
MULTIPLIER = """
module MULT{n}X{n} (
    input [{n}-1:0] A, B, SIA, SIB, input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
    output [2*{n}-1:0] DOUT, output [{n}-1:0] SOA, SOB
);
    wire signed [{n}:0] a = {{ASIGN & A[{n}-1], A}}, b = {{BSIGN & B[{n}-1], B}};
    wire signed [2*{n}+1:0] product = a * b;
    assign DOUT = product;
endmodule
"""
# what all block memories share: 2048 words of 9 bits, written in groups of up to four
MEMORY = """
module {name} ({ports});
    parameter READ_MODE = 0, RESET_MODE = "SYNC", {widths}, {blocks};
    parameter [287:0] {inits};
    reg [8:0] words [0:2047];
    wire [64*288-1:0] first = {{{order}}};
    integer i, lane;
    initial begin
        #0 for (i = 0; i < 2048; i = i + 1) words[i] = first[9*i +: 9];
        if (READ_MODE != 0) $fatal(1, "{name}: no model of its output register");
    end
{body}
endmodule
"""


def write(side: str, enable: str, width: str, data: str) -> str:
    return f"""    always @(posedge CLK{side}) if ({enable})
        for (lane = 0; lane < {width} / 9; lane = lane + 1)
            if ({width} == 9 || AD{side}[lane])
                words[{first_word(side, width)} + lane] <= {data}[9*lane +: 9];
"""


def read(side: str, width: str, out: str) -> str:
    return f"""    always @(posedge CLK{side}) if (RESET{side}) {out} <= 0; else if (CE{side})
        for (lane = 0; lane < {width} / 9; lane = lane + 1)
            {out}[9*lane +: 9] <= words[{first_word(side, width)} + lane];
"""


def first_word(side: str, width: str) -> str:
    return f"(AD{side} >> 3) - (AD{side} >> 3) % ({width} / 9)"


def memory(name: str, ports: str, parameters: str, selects: str, body: list[str]) -> str:
    inits = [f"INIT_RAM_{i:02X}" for i in INIT]
    return MEMORY.format(
        name=name,
        ports=ports,
        widths=parameters,
        blocks=selects,
        inits=", ".join(f"{init} = 0" for init in inits),
        order=", ".join(reversed(inits)),
        body="\n".join(body),
    )


def block_memories() -> str:
    """SDPX9B writes with port A and reads with B; SPX9 has one port, DPX9B two of these."""
    dual = memory(
        "SDPX9B",
        "input CLKA, CEA, CLKB, CEB, OCE, RESETA, RESETB, input [13:0] ADA, ADB, "
        "input [2:0] BLKSELA, BLKSELB, input [35:0] DI, output reg [35:0] DO",
        "BIT_WIDTH_0 = 36, BIT_WIDTH_1 = 36",
        "BLK_SEL_0 = 0, BLK_SEL_1 = 0",
        [write("A", "CEA", "BIT_WIDTH_0", "DI"), read("B", "BIT_WIDTH_1", "DO")],
    )
    single = memory(
        "SPX9",
        "input [35:0] DI, input [2:0] BLKSEL, input [13:0] AD, input WRE, CLK, CE, OCE, RESET, "
        "output reg [35:0] DO",
        "BIT_WIDTH = 36, WRITE_MODE = 0",
        "BLK_SEL = 0",
        [write("", "CE & WRE", "BIT_WIDTH", "DI"), read("", "BIT_WIDTH", "DO")],
    )
    both = memory(
        "DPX9B",
        "input CLKA, CEA, CLKB, CEB, OCEA, OCEB, RESETA, RESETB, WREA, WREB, "
        "input [13:0] ADA, ADB, input [17:0] DIA, DIB, input [2:0] BLKSELA, BLKSELB, "
        "output reg [17:0] DOA, DOB",
        "BIT_WIDTH_0 = 18, BIT_WIDTH_1 = 18, WRITE_MODE0 = 0, WRITE_MODE1 = 0, "
        "READ_MODE0 = 0, READ_MODE1 = 0",
        "BLK_SEL_0 = 0, BLK_SEL_1 = 0",
        [
            text
            for width, x in (("BIT_WIDTH_0", "A"), ("BIT_WIDTH_1", "B"))
            for text in (write(x, f"CE{x} & WRE{x}", width, f"DI{x}"), read(x, width, f"DO{x}"))
        ],
    )
    return dual + single + both


def cells() -> str:
    """Yosys' models of cells, and ours of those that it only declares."""
    known = (Path(pyosys.__file__).parent / "share" / "gowin" / "cells_sim.v").read_text("utf-8")
    begin = known.index("module SPX9 ")
    end = known.index("endmodule", begin) + len("endmodule")
    multipliers = "".join(MULTIPLIER.format(n=n) for n in (9, 18))
    return known[:begin] + known[end:] + multipliers + block_memories()


def image(hidden: int, value_bits: int, act_bits: int) -> Image:
    rng = np.random.default_rng(0)
    model = random_model(rng, 12, hidden, 8, 1, 2, value_bits=value_bits, act_bits=act_bits)
    array = TANG.array
    design = design_for(model, array["pes"], array["lanes"], **TANG.options)
    return compile_model(model, design)


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize(("value_bits", "act_bits"), [(8, 8), (8, 12)])
def test_cells_compute_what_the_model_says(
    cells_of: Callable[[Board, Image, str], dict[str, int]], value_bits: int, act_bits: int
) -> None:
    given = image(32, value_bits, act_bits)
    found = cells_of(TANG, given, cells())
    narrow, wide = found.get("MULT9X9", 0), found.get("MULT18X18", 0)
    # half as many blocks where they are halves
    assert -(-narrow // 2) + wide == pytest.approx(
        estimate(given.design, TANG, link=False).multipliers, rel=0.1, abs=1
    )
    assert any(kind in found for kind in ("SDPX9B", "DPX9B"))


@pytest.mark.slow
@pytest.mark.synth
def test_smallest_bitstream_of_the_tang_primer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, 4, 8, 1, 1, 1, value_bits=8, act_bits=8)
    design = design_for(model, 4, 1, **TANG.options)
    given = compile_model(model, design)
    built = build_bitstream(TANG, design, given, tmp_path / "a", seed=1)
    assert built.fmax_mhz >= TANG.clock_hz / 1e6
    bits = (tmp_path / "a" / built.bitstream).read_text("ascii").split("\n")
    assert {c for line in bits if not line.startswith("//") for c in line.strip()} == {"0", "1"}
    use = estimate(design, TANG)
    assert use.multipliers == pytest.approx(built.dsp, abs=1)
    assert use.block_rams == pytest.approx(built.ram, rel=0.1)
    assert use.luts == pytest.approx(built.lut, rel=0.2)
    assert Design(**json.loads((tmp_path / "a" / "design.json").read_text())) == design
