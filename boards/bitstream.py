"""Bitstreams with open tools: Yosys, nextpnr and the packers, all from PyPI."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from csb_format.design import Design
from hdl.compiler import Image
from hdl.verilog import VerilogFiles

from .board import Board, BoardError
from .copies import copy_cells
from .operands import align_operands
from .pll import clock_verilog
from .registers import absorb_registers
from .synth import run_yosys
from .tools import BitstreamError, Note, run_tool, watch
from .top_verilog import BOARD_MODULE, emit_board
from .uart import clocks_per_bit

__all__ = ["BitstreamError", "Built", "build_bitstream", "open_flow"]

DEVICE_FLAGS = {
    "LFE5U-85F": "--85k",
    "LFE5UM5G-45F": "--um5g-45k",
    "iCE40UP5K": "--up5k",
}
CELLS = {
    "ecp5": {"lut": "TRELLIS_COMB", "ff": "TRELLIS_FF", "ram": "DP16KD", "dsp": "MULT18X18D"},
    "ice40": {
        "lut": "ICESTORM_LC",
        "ram": "ICESTORM_RAM",
        "dsp": "ICESTORM_DSP",
        "spram": "ICESTORM_SPRAM",
    },
}
DESIGN = "design.json"  # what the driver has to know of a bitstream
SUMMARY = "summary.md"  # what people have to know
Tell = Callable[[str], None]
Page = Callable[["Built"], str]


@dataclass(frozen=True)
class Built:
    """A bitstream and how it came to be.

    Parameters
    ----------
    board : str
    M, N, multipliers : int
        The array's.
    fmax_mhz, clock_mhz : float
        What place and route reached, and what the board's loop gives.
    lut, ff, ram, dsp : int
        Cells; ``ff`` is 0 for iCE40, whose cells hold both.
    seed : int
    bitstream_sha256 : str
    tools : dict
        Versions.
    bitstream : str
        Name of the file.
    spram : int
        Large memories with one port, of iCE40.
    """

    board: str
    M: int
    N: int
    multipliers: int
    fmax_mhz: float
    clock_mhz: float
    lut: int
    ff: int
    ram: int
    dsp: int
    seed: int
    bitstream_sha256: str
    tools: dict[str, str]
    bitstream: str = ""
    spram: int = 0

    def to_dict(self) -> dict[str, Any]:
        """A row of ``bench/results/boards.json``."""
        return asdict(self)


def open_flow(board: Board) -> bool:
    """Whether open tools make bitstreams for it."""
    return board.flow in CELLS


def build_bitstream(
    board: Board,
    design: Design,
    image: Image,
    out: Path,
    *,
    seed: int = 1,
    timeout: float = 7200.0,
    tell: Tell = lambda text: None,
    note: Note = lambda text: None,
    page: Page | None = None,
) -> Built:
    """Synthesise, place, route and pack. The same seed gives the same bitstream.

    Parameters
    ----------
    board : Board
        Of a flow with open tools.
    design : Design
    image : Image
        The model whose weights the bitstream holds at start.
    out : Path
        Folder, replaced as a whole: Verilog, constraints, reports, bitstream, and the design's
        fields in ``design.json``.
    seed : int
        Of the placer.
    timeout : float
        Seconds for each tool.
    tell : callable
        Told of every stage.
    note : callable
        Told what the tool of a stage is about, as its log says.
    page : callable, optional
        Makes the text of ``summary.md``.

    Returns
    -------
    Built

    Raises
    ------
    BitstreamError
        If a tool fails, or the design does not fit or misses the board's clock.
    """
    if not open_flow(board):
        raise BoardError(f"board {board.name}: no open tools for {board.part}; write its project")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        tell("writing Verilog")
        files = emit_board(board, design, image, work / "verilog")
        tell("synthesis")
        _synthesise(board, design, files, work, timeout, note)
        tell("place and route")
        _place(board, work, seed, timeout, note)
        tell("packing")
        built = _built(board, design, work, seed, _pack(board, work, timeout))
        (work / DESIGN).write_text(json.dumps(asdict(design), indent=2) + "\n", "utf-8")
        (work / "summary.json").write_text(json.dumps(built.to_dict(), indent=2) + "\n", "utf-8")
        if page:
            (work / SUMMARY).write_text(page(built), "utf-8")
        work.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _check_clock(board, built)
    return built


def synthesis(board: Board, design: Design, sources: tuple[str, ...]) -> list[str]:
    """Yosys commands; blocks are synthesised once, and keep their own copies of registers."""
    reads = [f"read_verilog -sv {name}" for name in sources]
    # hidden names: Yosys 0.70 crashes on wires called like an element of an array
    reads += [f"hierarchy -top {BOARD_MODULE}", "rename -hide w:*"]
    if board.flow == "ecp5":
        return [*reads, f"synth_ecp5 -top {BOARD_MODULE} -noflatten"]
    return [*reads, *ice40_commands(board, design)]


def ice40_commands(board: Board, design: Design, top: str = BOARD_MODULE) -> list[str]:
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


def _synthesise(
    board: Board, design: Design, files: VerilogFiles, work: Path, timeout: float, note: Note
) -> None:
    for name in files.images:
        shutil.copy(files.folder / name, work / name)
    for name in files.sources:
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


def _place(board: Board, work: Path, seed: int, timeout: float, note: Note) -> None:
    pins = board.located()
    megahertz = board.clock_hz / 1e6
    common = ["--json", "netlist.json", "--report", "report.json", "--seed", str(seed)]
    common += ["--timing-allow-fail", "--freq", f"{megahertz:g}", DEVICE_FLAGS[board.part]]
    if board.flow == "ecp5":
        lines = [f'LOCATE COMP "{s}" SITE "{pin.name}";' for s, pin in pins.items()]
        lines += [f'IOBUF PORT "{s}" IO_TYPE={pin.standard};' for s, pin in pins.items()]
        lines += [f'FREQUENCY PORT "clk" {board.oscillator_hz / 1e6:g} MHZ;']
        (work / "pins.lpf").write_text("\n".join(lines) + "\n", "utf-8")
        own = ["--lpf", "pins.lpf", "--textcfg", "routed.config", "--package", board.package]
        # the default placer needs half as much wire again, and router2 does not end on that
        own += ["--speed", str(board.speed), "--placer", "static", "--router", "router1"]
    else:
        text = "".join(f"set_io {s} {pin.name}\n" for s, pin in pins.items())
        (work / "pins.pcf").write_text(text, "utf-8")
        own = ["--pcf", "pins.pcf", "--asc", "routed.asc", "--package", board.package]
    run_tool(board, f"nextpnr-{board.flow}", [*common, *own], work, timeout, note)


def _pack(board: Board, work: Path, timeout: float) -> Path:
    if board.flow == "ecp5":
        run_tool(board, "ecppack", ["--compress", "routed.config", "sparseflow.bit"], work, timeout)
        return work / "sparseflow.bit"
    run_tool(board, "icepack", ["routed.asc", "sparseflow.bin"], work, timeout)
    return work / "sparseflow.bin"


def _built(board: Board, design: Design, work: Path, seed: int, bits: Path) -> Built:
    report = json.loads((work / "report.json").read_text("utf-8"))
    used = {kind: entry["used"] for kind, entry in report["utilization"].items()}
    cells = {name: used.get(kind, 0) for name, kind in CELLS[board.flow].items()}
    return Built(
        board=board.name,
        M=design.pes,
        N=design.lanes,
        multipliers=design.multipliers,
        fmax_mhz=round(min(clock["achieved"] for clock in report["fmax"].values()), 2),
        clock_mhz=board.clock_hz / 1e6,
        seed=seed,
        bitstream=bits.name,
        bitstream_sha256=hashlib.sha256(bits.read_bytes()).hexdigest(),
        tools={n: version(n) for n in ("amaranth", "pyosys", f"yowasp-nextpnr-{board.flow}")},
        **({"ff": 0} | cells),
    )


def _check_clock(board: Board, built: Built) -> None:
    if built.fmax_mhz < built.clock_mhz:
        slower = _reachable(board, built.fmax_mhz)
        raise BitstreamError(
            f"the design misses its clock: {built.fmax_mhz:g} MHz reached, {built.clock_mhz:g} "
            f"MHz asked for. Take {f'--clock {slower:g}' if slower else 'a lower --clock'}, "
            "another --seed, or fewer --pes or --lanes"
        )


def _reachable(board: Board, megahertz: float) -> float | None:
    """The fastest whole clock up to this that the board's loop makes."""
    for whole in range(int(megahertz), 0, -1):
        slower = replace(board, clock_hz=whole * 1_000_000)
        with suppress(ValueError):
            clock_verilog(slower)
            clocks_per_bit(slower.clock_hz, slower.baud)
            return whole
    return None
