"""Yosys, nextpnr and a packer, all from PyPI, as a family's tools are told."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from compiler.array.design import Design
from hdl.verilog import VerilogFiles

from ..board import BOARD_MODULE, Board, BoardError
from ..families.family import OpenTools
from ..families.pins import INPUTS
from ..tools.errors import Refused
from ..tools.frozen import frozen
from ..tools.run import USED, BitstreamError, Note, has_room, run_tool, watch
from ..tools.synth import reading, run_yosys

__all__ = [
    "REPORT",
    "ROUTED",
    "check_pins",
    "count_cells",
    "log_of",
    "make_netlist",
    "nextpnr_log",
    "pack",
    "pack_cells",
    "packed_cells",
    "place",
    "reported_cells",
    "synthesis",
    "synthesise",
    "tools_of",
]

REPORT, ROUTED = "report.json", "routed.json"  # of nextpnr: clocks and paths, cells with names


def tools_of(board: Board) -> OpenTools:
    """The open tools of a board's family.

    Raises
    ------
    BoardError
        If it has none.
    """
    if board.family.tools is None:
        raise BoardError(f"board {board.name}: no open tools for {board.part}; write its project")
    return board.family.tools


def count_cells(board: Board, used: Mapping[str, int], log: str = "") -> dict[str, int]:
    """Cells as results name them, of every kind that the device has.

    Parameters
    ----------
    board : Board
    used : dict
        Counts by nextpnr's names, as its report has them.
    log : str
        Of nextpnr: what its report leaves out stands there alone.

    Raises
    ------
    BitstreamError
        If the log does not say it; a 0 would be read as a count.
    """
    logged = tools_of(board).logged
    found = {name: _logged(name, log, every) for name, every in logged.items()}
    return reported_cells(board, used) | found


def reported_cells(board: Board, used: Mapping[str, int]) -> dict[str, int]:
    """The same of those kinds alone that nextpnr reports as cells: what its log adds up is not."""
    return {
        name: sum(-(-used.get(kind, 0) // share) for kind, share in kinds.items())
        for name, kinds in tools_of(board).cells.items()
    }


def _logged(name: str, log: str, patterns: tuple[str, ...]) -> int:
    numbers = [re.search(pattern, log) for pattern in patterns]
    if None in numbers:
        raise BitstreamError(
            f"the log of nextpnr does not say {name}: its release is not one that is known here"
        )
    return sum(int(found[1]) for found in numbers if found)


def nextpnr_log(board: Board, work: Path) -> str:
    """What nextpnr has said in a folder."""
    return (work / log_of(board)).read_text("utf-8", "replace")


def synthesis(
    board: Board, design: Design, sources: tuple[str, ...], top: str = BOARD_MODULE
) -> list[str]:
    """Yosys commands; blocks are synthesised once, and keep their own copies of registers."""
    return [*reading(sources, top), *tools_of(board).synthesis(board, design, top)]


def synthesise(
    board: Board, design: Design, files: VerilogFiles, work: Path, timeout: float, note: Note
) -> None:
    """Make ``netlist.json`` of a board's Verilog, as place and route takes it.

    Before that nextpnr sees the pins alone: a ball that is not there should not cost hours.

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
    BoardError
        If nextpnr takes no such package, speed or pin.
    SynthesisError
        If Yosys fails.
    """
    check_pins(board, work, timeout)
    make_netlist(board, design, files, work, timeout, note)


def make_netlist(
    board: Board,
    design: Design,
    files: VerilogFiles,
    work: Path,
    timeout: float,
    note: Note = lambda text: None,
) -> None:
    """The same without a look at the pins: cells do not hang on them."""
    for name in (*files.images, *files.sources):
        shutil.copy(files.folder / name, work / name)
    done = [*synthesis(board, design, files.sources), "flatten -noscopeinfo", "opt_clean -purge"]
    commands = [*done, "stat", "write_json netlist.json"]
    run_yosys(work, commands, timeout, watch(work / "yosys.log", note))
    for name in (*files.images, *files.sources):
        (work / name).unlink()
    if improve := tools_of(board).improve:
        path = work / "netlist.json"
        netlist = json.loads(path.read_text("utf-8"))
        improve(netlist, BOARD_MODULE)
        path.write_text(json.dumps(netlist, allow_nan=False), "utf-8")


def check_pins(board: Board, work: Path, timeout: float) -> None:
    """Have nextpnr look at package, speed and pins of a design that has nothing else.

    Raises
    ------
    BoardError
        Naming what nextpnr does not take.
    """
    ports: dict[str, dict[str, Any]] = {
        signal: {"direction": "input" if signal in INPUTS else "output", "bits": [bit]}
        for bit, signal in enumerate(board.signals, 2)  # 0 and 1 are levels
    }
    nets = {signal: {"bits": port["bits"], "attributes": {}} for signal, port in ports.items()}
    top = {"attributes": {"top": "1"}, "ports": ports, "cells": {}, "netnames": nets}
    found = {"creator": "sparseflow", "modules": {BOARD_MODULE: top}}
    (work / "netlist.json").write_text(json.dumps(found, allow_nan=False), "utf-8")
    try:
        _nextpnr(board, ["--pack-only", *tools_of(board).place(board)], work, timeout)
    except Refused as error:
        said = str(error).replace("ERROR: ", "").rstrip(".")
        raise BoardError(
            f"board {board.name}: {said}: mend package, speed or pins in its file"
        ) from None
    (work / log_of(board)).unlink()  # not to be taken for that of the design


def place(
    board: Board, work: Path, placer: str, seed: int, timeout: float, note: Note
) -> tuple[str, ...]:
    """Place and route ``netlist.json``.

    Parameters
    ----------
    board : Board
    work : Path
    placer : str
        One of the family's.
    seed : int
        Of the placer.
    timeout : float
        Seconds.
    note : callable
        Told how far it is.

    Returns
    -------
    tuple of str
        What it has written: ``report.json``, ``routed.json`` and what the packer takes.

    Raises
    ------
    Unplaced
        If this placer finds no places for the design.
    BitstreamError
        If it fails otherwise; not if the design misses its clock.
    """
    megahertz, tools = board.clock_hz / 1e6, tools_of(board)
    routed = dict.fromkeys(("--write", ROUTED, *tools.routed))  # the packer may take the same
    own = ["--report", REPORT, "--seed", str(seed), "--freq", f"{megahertz:g}"]
    own += ["--timing-allow-fail", *routed, *tools.place(board), "--placer", placer]
    room, stuck = has_room(board), frozen()

    def check(log: Path) -> None:
        room(log)
        stuck(log)

    _nextpnr(board, own, work, timeout, note, check)
    return tuple({REPORT, ROUTED, tools.routed[-1]})


def log_of(board: Board) -> str:
    """Name of the log of place and route."""
    return f"nextpnr-{tools_of(board).nextpnr}.log"


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
    return packed_cells(board, nextpnr_log(board, work))


def packed_cells(board: Board, log: str) -> dict[str, int]:
    """Cells that a log of nextpnr says are packed; as :func:`count_cells` of its report."""
    used = {kind: int(cells) for kind, cells, _ in USED.findall(log)}
    for kind, takers in tools_of(board).reserved.items():
        used[kind] -= sum(places * used.get(taker, 0) for taker, places in takers.items())
    return count_cells(board, used, log)


def _nextpnr(
    board: Board,
    own: list[str],
    work: Path,
    timeout: float,
    note: Note = lambda text: None,
    check: Callable[[Path], None] = lambda log: None,
) -> None:
    tools = tools_of(board)
    constraints = tools.constraints(board)
    (work / constraints.file).write_text("\n".join(constraints.lines) + "\n", "utf-8")
    given = [*tools.device(board), *constraints.arguments, *own]
    arguments = ["--json", "netlist.json", *given]
    run_tool(board, f"nextpnr-{tools.nextpnr}", arguments, work, timeout, note, check=check)


def pack(board: Board, work: Path, timeout: float) -> Path:
    """Make the bitstream of what was routed; returns its file.

    Raises
    ------
    BitstreamError
        If the packer fails.
    """
    tools = tools_of(board)
    name, arguments, program = tools.pack(board)
    run_tool(board, name, arguments, work, timeout, program=program)
    return work / tools.bitstream
