"""Bitstreams with open tools: Yosys, nextpnr and the packers, all from PyPI."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compiler.abi.design_file import DESIGN_FILE
from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.files.folders import plain_place, replaced_folder

from ..board import Board, clock_verilog
from ..link.rates import clocks_per_bit
from ..tools.run import BitstreamError, Note
from .open_tools import count_cells, nextpnr_log, pack, place, synthesise, tools_of
from .record import SUMMARY_DATA, record
from .top_verilog import emit_board

__all__ = ["BitstreamError", "Built", "build_bitstream"]

DESIGN = DESIGN_FILE  # what the driver has to know of a bitstream
KIND = "build"  # of the folder, for its marker
SUMMARY = "summary.md"  # what people have to know
TIMEOUT = 7200.0  # seconds that one tool may take: large arrays are placed for an hour
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
        Cells, as nextpnr counts them; a logic cell of iCE40 is one ``lut``, whether its
        flip-flop, its table or both are in use.
    seed : int
    bitstream_sha256 : str
    tools : dict
        Versions.
    bitstream : str
        Name of the file.
    spram : int
        Large memories with one port, of iCE40.
    distributed : int
        Small memories of Gowin, each in the place of 8 look-up tables and 6 registers.
    baud : int
        Of the board's serial line.
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
    distributed: int = 0
    baud: int = 0

    def to_dict(self) -> dict[str, Any]:
        """A row of ``bench/results/boards.json``."""
        return asdict(self)


def build_bitstream(
    board: Board,
    design: Design,
    image: Image,
    out: Path,
    *,
    seed: int,
    timeout: float = TIMEOUT,
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
        Folder, replaced as a whole if it is ours: Verilog, constraints, reports, bitstream, and
        the design's fields in ``design.json``.
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
    tools_of(board)
    with replaced_folder(out, KIND) as new:
        new.mkdir()
        with plain_place(new) as work:
            tell("writing Verilog")
            files = emit_board(board, design, image, work / "verilog")
            tell("synthesis")
            synthesise(board, design, files, work, timeout, note)
            tell("place and route")
            place(board, work, seed, timeout, note)
            tell("packing")
            built = _built(board, design, work, seed, pack(board, work, timeout))
        (new / DESIGN).write_text(
            json.dumps(asdict(design), indent=2, allow_nan=False) + "\n", "utf-8"
        )
        (new / SUMMARY_DATA).write_text(
            json.dumps(record(board, design) | built.to_dict(), indent=2, allow_nan=False) + "\n",
            "utf-8",
        )
        if page:
            (new / SUMMARY).write_text(page(built), "utf-8")
    _check_clock(board, built)
    return built


def _built(board: Board, design: Design, work: Path, seed: int, bits: Path) -> Built:
    report = json.loads((work / "report.json").read_text("utf-8"))
    used = {kind: entry["used"] for kind, entry in report["utilization"].items()}
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
        tools={name: version(name) for name in tools_of(board).packages},
        baud=board.baud,
        **count_cells(board, used, nextpnr_log(board, work)),
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
