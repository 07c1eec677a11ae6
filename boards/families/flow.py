"""Open tools by family: what Yosys, nextpnr and the packers are told, all from PyPI."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compiler.array.design import Design
from hdl.verilog import VerilogFiles

from ..board import BOARD_MODULE, Board
from ..tools.run import USED, Note, has_room, run_tool, watch
from ..tools.synth import reading, run_yosys
from .ecp5_block_registers import absorb_registers
from .ecp5_copies import copy_cells
from .ecp5_operands import align_operands

__all__ = [
    "OpenFlow",
    "count_cells",
    "open_flow",
    "pack",
    "pack_cells",
    "place",
    "synthesis",
    "synthesise",
]


@dataclass(frozen=True)
class OpenFlow:
    """The tools of a family.

    Parameters
    ----------
    nextpnr : str
        Name of its program, without ``nextpnr-``.
    cells : dict
        What a row of results counts, to the kinds of cells in nextpnr's reports; a number
        is how many of them are one.
    bitstream : str
        Name of the file.
    """

    nextpnr: str
    cells: dict[str, dict[str, int]]
    bitstream: str

    @property
    def packages(self) -> tuple[str, ...]:
        """On PyPI, those whose releases a result depends on."""
        packer = ("apycula",) if self.nextpnr == "himbaechel-gowin" else ()
        return ("amaranth", "pyosys", f"yowasp-nextpnr-{self.nextpnr}", *packer)


OPEN_FLOWS = {
    "ecp5": OpenFlow(
        "ecp5",
        {
            "lut": {"TRELLIS_COMB": 1},
            "ff": {"TRELLIS_FF": 1},
            "ram": {"DP16KD": 1},
            "dsp": {"MULT18X18D": 1},
        },
        "sparseflow.bit",
    ),
    "ice40": OpenFlow(
        "ice40",
        {
            "lut": {"ICESTORM_LC": 1},
            "ram": {"ICESTORM_RAM": 1},
            "dsp": {"ICESTORM_DSP": 1},
            "spram": {"ICESTORM_SPRAM": 1},
        },
        "sparseflow.bin",
    ),
    "gowin": OpenFlow(
        "himbaechel-gowin",
        {
            "lut": {"LUT4": 1},
            "ff": {"DFF": 1},
            "ram": {"BSRAM": 1},
            "dsp": {"MULT18X18": 1, "MULT9X9": 2},
            "distributed": {"RAM16SDP4": 1},
        },
        "sparseflow.fs",
    ),
}
GOWIN_FAMILIES = {"GW2A-LV18PG256C8/I7": "GW2A-18C"}
DEVICES = {
    "LFE5U-85F": ["--85k"],
    "LFE5UM5G-45F": ["--um5g-45k"],
    "iCE40UP5K": ["--up5k"],
} | {
    part: ["--device", part, "--vopt", f"family={family}"]
    for part, family in GOWIN_FAMILIES.items()
}


def open_flow(board: Board) -> OpenFlow | None:
    """The open tools that make bitstreams for a board, if there are any."""
    return OPEN_FLOWS.get(board.flow)


def _flow(board: Board) -> OpenFlow:
    return OPEN_FLOWS[board.flow]


def count_cells(board: Board, used: dict[str, int]) -> dict[str, int]:
    """Cells as results name them, from counts by nextpnr's names."""
    return {
        name: sum(-(-used.get(kind, 0) // share) for kind, share in kinds.items())
        for name, kinds in _flow(board).cells.items()
    }


def synthesis(
    board: Board, design: Design, sources: tuple[str, ...], top: str = BOARD_MODULE
) -> list[str]:
    """Yosys commands; blocks are synthesised once, and keep their own copies of registers."""
    reads = reading(sources, top)
    if board.flow == "ecp5":
        return [*reads, f"synth_ecp5 -top {top} -noflatten"]
    if board.flow == "gowin":  # unless it is flat, blocks get pads for their ports
        return [*reads, f"synth_gowin -top {top} -family gw2a"]
    return [*reads, *_ice40(board, design, top)]


def _ice40(board: Board, design: Design, top: str) -> list[str]:
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


def synthesise(
    board: Board, design: Design, files: VerilogFiles, work: Path, timeout: float, note: Note
) -> None:
    """Make ``netlist.json`` of a board's Verilog, as place and route takes it.

    Parameters
    ----------
    board : Board
    design : Design
    files : VerilogFiles
        As :func:`boards.build.top_verilog.emit_board` returns them.
    work : Path
        Folder to work in.
    timeout : float
        Seconds.
    note : callable
        Told what Yosys is about.

    Raises
    ------
    SynthesisError
        If Yosys fails.
    """
    for name in (*files.images, *files.sources):
        shutil.copy(files.folder / name, work / name)
    done = [*synthesis(board, design, files.sources), "flatten -noscopeinfo", "opt_clean -purge"]
    commands = [*done, "stat", "write_json netlist.json"]
    run_yosys(work, commands, timeout, watch(work / "yosys.log", note))
    for name in (*files.images, *files.sources):
        (work / name).unlink()
    if board.flow == "ecp5":
        path = work / "netlist.json"
        netlist = json.loads(path.read_text("utf-8"))
        align_operands(netlist, BOARD_MODULE)
        absorb_registers(netlist, BOARD_MODULE)
        copy_cells(netlist, BOARD_MODULE)
        path.write_text(json.dumps(netlist), "utf-8")


def place(board: Board, work: Path, seed: int, timeout: float, note: Note) -> None:
    """Place and route ``netlist.json``; leaves ``report.json``.

    Parameters
    ----------
    board : Board
    work : Path
    seed : int
        Of the placer.
    timeout : float
        Seconds.
    note : callable
        Told how far it is.

    Raises
    ------
    BitstreamError
        If there is no place for the design; not if it misses its clock.
    """
    megahertz = board.clock_hz / 1e6
    own = ["--report", "report.json", "--seed", str(seed), "--freq", f"{megahertz:g}"]
    own += ["--timing-allow-fail", *_outputs(board)]
    if board.flow == "ecp5":
        # the default placer needs half as much wire again, and router2 does not end on that
        own += ["--speed", str(board.speed), "--placer", "static"]
    if board.flow != "ice40":
        own += ["--router", "router1"]
    _nextpnr(board, own, work, timeout, note, has_room(board))


def pack_cells(board: Board, work: Path, timeout: float) -> dict[str, int]:
    """Cells that ``netlist.json`` takes, whether the device has as many or not.

    Returns
    -------
    dict
        As :func:`count_cells`.

    Raises
    ------
    BitstreamError
        If nextpnr fails.
    """
    _nextpnr(board, ["--pack-only"], work, timeout)
    log = (work / f"nextpnr-{_flow(board).nextpnr}.log").read_text("utf-8")
    return count_cells(board, {kind: int(cells) for kind, cells, _ in USED.findall(log)})


def _nextpnr(
    board: Board,
    own: list[str],
    work: Path,
    timeout: float,
    note: Note = lambda text: None,
    check: Callable[[Path], None] = lambda log: None,
) -> None:
    arguments = ["--json", "netlist.json", *DEVICES[board.part], *_pins(board, work), *own]
    name = f"nextpnr-{_flow(board).nextpnr}"
    run_tool(board, name, arguments, work, timeout, note, check=check)


def _outputs(board: Board) -> list[str]:
    names = {"ecp5": "--textcfg routed.config", "ice40": "--asc routed.asc"}
    return names.get(board.flow, "--write routed.json").split()


def _pins(board: Board, work: Path) -> list[str]:
    """Write the constraints; arguments of nextpnr that name them."""
    pins = board.located()
    if board.flow == "ecp5":
        lines = [f'LOCATE COMP "{s}" SITE "{pin.name}";' for s, pin in pins.items()]
        lines += [f'IOBUF PORT "{s}" IO_TYPE={pin.standard};' for s, pin in pins.items()]
        lines += [f'FREQUENCY PORT "clk" {board.oscillator_hz / 1e6:g} MHZ;']
        arguments, file = ["--package", board.package, "--lpf", "pins.lpf"], "pins.lpf"
    elif board.flow == "gowin":
        lines = [f'IO_LOC "{s}" {pin.name};' for s, pin in pins.items()]
        lines += [f'IO_PORT "{s}" IO_TYPE={pin.standard};' for s, pin in pins.items()]
        arguments, file = ["--vopt", "cst=pins.cst"], "pins.cst"
    else:
        lines = [f"set_io {s} {pin.name}" for s, pin in pins.items()]
        arguments, file = ["--package", board.package, "--pcf", "pins.pcf"], "pins.pcf"
    (work / file).write_text("\n".join(lines) + "\n", "utf-8")
    return arguments


def pack(board: Board, work: Path, timeout: float) -> Path:
    """Make the bitstream of what was routed; returns its file.

    Raises
    ------
    BitstreamError
        If the packer fails.
    """
    bits = _flow(board).bitstream
    if board.flow == "ecp5":
        run_tool(board, "ecppack", ["--compress", "routed.config", bits], work, timeout)
    elif board.flow == "gowin":
        arguments = ["-d", GOWIN_FAMILIES[board.part], "-o", bits, "routed.json"]
        run_tool(board, "gowin_pack", arguments, work, timeout, program="gowin_pack")
    else:
        run_tool(board, "icepack", ["routed.asc", bits], work, timeout)
    return work / bits
