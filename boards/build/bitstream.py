"""Bitstreams with open tools: Yosys, nextpnr and the packers, all from PyPI."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compiler.abi.design_file import DESIGN_FILE
from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.files.folders import plain_place, replaced_folder

from ..board import Board
from ..tools.limits import TIMEOUT
from ..tools.run import BitstreamError, Note
from .attempts import Attempt, best_of, seeds_from
from .blocks import Block, blocks
from .clocks import check_met, settle
from .critical import CriticalPath, critical_paths
from .evidence import evidence
from .open_tools import REPORT, ROUTED, count_cells, nextpnr_log, pack, synthesise, tools_of
from .record import SUMMARY_DATA, record
from .top_verilog import emit_board

__all__ = ["BitstreamError", "Built", "build_bitstream"]

DESIGN = DESIGN_FILE  # what the driver has to know of a bitstream
KIND = "build"  # of the folder, for its marker
SUMMARY = "summary.md"  # what people have to know
Tell = Callable[[str], None]
Pages = Callable[["Built"], Mapping[str, str]]


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
    placer : str
        That found the places.
    attempts : tuple of Attempt
        All runs of place and route, the one that was taken among them.
    paths : tuple of CriticalPath
        Of each clock, the longest first.
    blocks : tuple of Block
        Where the cells are, the largest first.
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
    placer: str = ""
    attempts: tuple[Attempt, ...] = ()
    paths: tuple[CriticalPath, ...] = ()
    blocks: tuple[Block, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As ``summary.json`` has it."""
        return asdict(self)


def build_bitstream(
    board: Board,
    design: Design,
    image: Image,
    out: Path,
    *,
    seed: int,
    seeds: int = 1,
    slower: bool = False,
    timeout: float = TIMEOUT,
    keep: bool = False,
    tell: Tell = lambda text: None,
    note: Note = lambda text: None,
    pages: Pages | None = None,
) -> Built:
    """Synthesise, place, route and pack. The same seeds give the same bitstream.

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
    seeds : int
        How many from this one on are tried; the result with the fastest clock is taken.
    slower : bool
        Where the board's clock is missed, build again at one that was reached.
    timeout : float
        Seconds for each run of a tool.
    keep : bool
        Keep all files of a build that fails or is ended, not only the logs of one that fails, in
        the folder :func:`.evidence.failed_folder`.
    tell : callable
        Told of every stage.
    note : callable
        Told what the tool of a stage is about, as its log says.
    pages : callable, optional
        Makes more files of text, by their names.

    Returns
    -------
    Built

    Raises
    ------
    BitstreamError
        If a tool fails, or the design does not fit or misses the board's clock.
    """
    tools_of(board)
    chosen = seeds_from(seed, seeds)
    with replaced_folder(out, KIND) as new:
        new.mkdir()
        with plain_place(new) as work, evidence(work, out, keep=keep, tell=tell):
            earlier: list[Attempt] = []

            def routed(board: Board) -> tuple[Attempt, tuple[Attempt, ...]]:
                tell("writing Verilog")
                files = emit_board(board, design, image, work / "verilog")
                tell("synthesis")
                synthesise(board, design, files, work, timeout, note)
                best, done = best_of(board, work, chosen, timeout, tell, note, earlier)
                earlier.extend(done)
                return best, done

            board, best, attempts = settle(board, work, routed, tell if slower else None)
            tell("packing")
            built = _built(board, design, work, best, attempts, pack(board, work, timeout))
        _write(new, board, design, built, pages)
    check_met(board, built.fmax_mhz)
    return built


def _write(folder: Path, board: Board, design: Design, built: Built, pages: Pages | None) -> None:
    """What is not written by a tool."""
    texts = {
        DESIGN: json.dumps(asdict(design), indent=2, allow_nan=False) + "\n",
        SUMMARY_DATA: json.dumps(record(board, design) | built.to_dict(), indent=2, allow_nan=False)
        + "\n",
    }
    for name, text in (texts | dict(pages(built) if pages else {})).items():
        (folder / name).write_text(text, "utf-8")


def _built(
    board: Board,
    design: Design,
    work: Path,
    best: Attempt,
    attempts: tuple[Attempt, ...],
    bits: Path,
) -> Built:
    report = json.loads((work / REPORT).read_text("utf-8"))
    found = blocks(board, work / ROUTED)
    if ROUTED not in tools_of(board).routed:  # large, and of no use to the packer
        (work / ROUTED).unlink()
    used = {kind: entry["used"] for kind, entry in report["utilization"].items()}
    return Built(
        board=board.name,
        M=design.pes,
        N=design.lanes,
        multipliers=design.multipliers,
        fmax_mhz=best.fmax_mhz or 0.0,
        clock_mhz=board.clock_hz / 1e6,
        seed=best.seed,
        placer=best.placer,
        attempts=attempts,
        paths=critical_paths(report),
        blocks=found,
        bitstream=bits.name,
        bitstream_sha256=hashlib.sha256(bits.read_bytes()).hexdigest(),
        tools={name: version(name) for name in tools_of(board).packages},
        baud=board.baud,
        **count_cells(board, used, nextpnr_log(board, work)),
    )
