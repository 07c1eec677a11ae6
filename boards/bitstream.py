"""Bitstreams with open tools: Yosys, nextpnr and the packers, all from PyPI."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from csb_format.design import Design
from hdl.compiler import Image
from hdl.verilog import VerilogFiles

from .board import Board, BoardError
from .registers import absorb_registers
from .synth import run_yosys
from .top_verilog import BOARD_MODULE, emit_board

__all__ = ["BitstreamError", "Built", "build_bitstream", "open_flow"]

DEVICE_FLAGS = {
    "LFE5U-85F": "--85k",
    "LFE5UM5G-45F": "--um5g-45k",
    "iCE40UP5K": "--up5k",
}
CELLS = {
    "ecp5": {"lut": "TRELLIS_COMB", "ff": "TRELLIS_FF", "ram": "DP16KD", "dsp": "MULT18X18D"},
    "ice40": {"lut": "ICESTORM_LC", "ram": "ICESTORM_RAM", "dsp": "ICESTORM_DSP"},
}
Tell = Callable[[str], None]


class BitstreamError(RuntimeError):
    """A design that does not become a bitstream; the message says what to change."""

    exit_status = 1


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
        Folder, replaced as a whole: Verilog, constraints, reports, bitstream.
    seed : int
        Of the placer.
    timeout : float
        Seconds for each tool.
    tell : callable
        Told of every stage.

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
        _synthesise(board, design, files, work, timeout)
        tell("place and route")
        _place(board, work, seed, timeout)
        tell("packing")
        built = _built(board, design, work, seed, _pack(board, work, timeout))
        (work / "summary.json").write_text(json.dumps(built.to_dict(), indent=2) + "\n", "utf-8")
        work.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _check_clock(built)
    return built


def synthesis(board: Board, design: Design, sources: tuple[str, ...]) -> list[str]:
    """Yosys commands; blocks are synthesised once, and keep their own copies of registers."""
    reads = [f"read_verilog -sv {name}" for name in sources]
    # hidden names: Yosys 0.70 crashes on wires called like an element of an array
    reads += [f"hierarchy -top {BOARD_MODULE}", "rename -hide w:*"]
    if board.flow == "ecp5":
        return [*reads, f"synth_ecp5 -top {BOARD_MODULE} -noflatten"]
    spare = board.has.multipliers - design.multipliers
    if design.elementwise_multipliers > spare:
        # the array's products come first; the lanes' become adders
        reads += ["proc", "flatten sparseflow_lane", "opt", "alumacc sparseflow_lane"]
    return [*reads, f"synth_ice40 -device u -dsp -noflatten -top {BOARD_MODULE}"]


def _synthesise(
    board: Board, design: Design, files: VerilogFiles, work: Path, timeout: float
) -> None:
    for name in files.images:
        shutil.copy(files.folder / name, work / name)
    for name in files.sources:
        shutil.copy(files.folder / name, work / name)
    done = [*synthesis(board, design, files.sources), "flatten -noscopeinfo", "opt_clean -purge"]
    run_yosys(work, [*done, "stat", "write_json netlist.json"], timeout)
    for name in (*files.images, *files.sources):
        (work / name).unlink()
    if board.flow == "ecp5":
        path = work / "netlist.json"
        netlist = json.loads(path.read_text("utf-8"))
        absorb_registers(netlist, BOARD_MODULE)
        path.write_text(json.dumps(netlist), "utf-8")


def _place(board: Board, work: Path, seed: int, timeout: float) -> None:
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
        own += ["--speed", str(board.speed), "--router", "router2"]
    else:
        text = "".join(f"set_io {s} {pin.name}\n" for s, pin in pins.items())
        (work / "pins.pcf").write_text(text, "utf-8")
        own = ["--pcf", "pins.pcf", "--asc", "routed.asc", "--package", board.package]
    _tool(board, f"nextpnr-{board.flow}", [*common, *own], work, timeout)


def _pack(board: Board, work: Path, timeout: float) -> Path:
    if board.flow == "ecp5":
        _tool(board, "ecppack", ["--compress", "routed.config", "sparseflow.bit"], work, timeout)
        return work / "sparseflow.bit"
    _tool(board, "icepack", ["routed.asc", "sparseflow.bin"], work, timeout)
    return work / "sparseflow.bin"


def _tool(board: Board, name: str, arguments: list[str], work: Path, timeout: float) -> None:
    """Run a YoWASP tool in the folder; it does not outlive this call."""
    program = Path(sysconfig.get_path("scripts")) / f"yowasp-{name}"
    if not program.exists():
        raise BitstreamError(
            f"{program.name} is not installed: pip install yowasp-nextpnr-{board.flow}"
        )
    with (work / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(program), *arguments],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise BitstreamError(f"{name} killed after {timeout:g} s: allow it more") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode:
        raise BitstreamError(_why(board, name, (work / f"{name}.log").read_text("utf-8")))


def _why(board: Board, name: str, log: str) -> str:
    """What a tool said, and what to do about it."""
    errors = [line for line in log.splitlines() if "ERROR" in line] or log.splitlines()[-3:]
    said = " ".join(errors[-1:])
    if re.search(r"Unable to place|no BELs remaining|failed to place|Unable to find legal", log):
        return (
            f"the design does not fit {board.title}: {said} Choose fewer --pes or --lanes, "
            f"see `sparseflow fit MODEL --board {board.name}`"
        )
    return f"{name} failed: {said}"


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
        bitstream_sha256=hashlib.sha256(bits.read_bytes()).hexdigest(),
        tools={n: version(n) for n in ("amaranth", "pyosys", f"yowasp-nextpnr-{board.flow}")},
        **({"ff": 0} | cells),
    )


def _check_clock(built: Built) -> None:
    if built.fmax_mhz < built.clock_mhz:
        raise BitstreamError(
            f"the design misses its clock: {built.fmax_mhz:g} MHz reached, {built.clock_mhz:g} "
            "MHz asked for. Take a lower --clock, another --seed, or fewer --pes or --lanes"
        )
