"""The tools that make bitstreams: run with a limit, their logs read."""

from __future__ import annotations

import re
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from csb_format.extras import brought_by
from sim.run.errors import Timeout, ToolFailed
from sim.run.processes import watched

from ..board import Board
from .errors import BitstreamError, Refused, TooLong, Unplaced

__all__ = ["USED", "BitstreamError", "Note", "has_room", "how_far", "run_tool", "watch"]

Note = Callable[[str], None]
TAIL = 4096  # bytes of a log in which its last news are
EVERY = 1.0  # seconds between two looks
LONG = 100_000  # characters of a log that does not say what the design takes
# nextpnr on what a design takes, and what the device has
USED = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", re.MULTILINE)
TOO_LARGE = re.compile(r"Unable to place|no BELs remaining")
NO_PLACE = re.compile(r"failed to place|Unable to find legal")
# what a line of a log tells, the first that matches; groups fill the text
NEWS = (
    (re.compile(r"Executing (\w+) pass"), "{}"),
    (re.compile(r"Creating initial|Running Static placer"), "placing"),
    (re.compile(r"overlap: (.+%)"), "placing, overlap {}"),
    (re.compile(r"^Info: iter=(\d+) steplen"), "placing, iteration {}"),
    (re.compile(r"Running simulated annealing"), "refining the placement"),
    (re.compile(r"at iteration #(\d+), type"), "placing, iteration {}"),
    (re.compile(r"at iteration #(\d+): temp"), "refining the placement, iteration {}"),
    (re.compile(r"iter=(\d+) wires=\d+ overused=(\d+)"), "routing, iteration {}, {} overused"),
    (re.compile(r"Running router|Routing\.\."), "routing"),
    (re.compile(r"is routed using segments"), "routing long wires"),
    (re.compile(r"\|\s+(\d+)\|\s+[\d.]+\s+[\d.]+\|"), "routing, {} arcs left"),
)


def run_tool(
    board: Board,
    name: str,
    arguments: list[str],
    work: Path,
    timeout: float,
    note: Note = lambda text: None,
    *,
    program: str | None = None,
    check: Callable[[Path], None] = lambda log: None,
) -> None:
    """Run a tool from PyPI in a folder; it does not outlive this call.

    Parameters
    ----------
    board : Board
        For messages.
    name : str
        Of the tool; its log is ``NAME.log``.
    arguments : list of str
    work : Path
    timeout : float
        Seconds.
    note : callable
        Told how far it is, as its log says.
    program : str, optional
        Its file beside Python's; by default that of YoWASP.
    check : callable
        Told the log's name again and again, and once after the end; what it raises ends the tool.

    Raises
    ------
    Unplaced
        If it finds no place for the design, which has enough by number.
    TooLong
        If it is ended at its limit.
    BitstreamError
        If it is not installed, or fails otherwise.
    """
    script = Path(sysconfig.get_path("scripts")) / (program or f"yowasp-{name}")
    if not script.exists():
        raise BitstreamError(f"{script.name} is not installed: {brought_by('bitstream')}")
    log = work / f"{name}.log"
    command = [sys.executable, str(script), *arguments]
    news = watch(log, note)

    def look() -> None:
        news()
        check(log)

    try:
        watched(name, command, log, timeout, folder=work, look=look)
    except Timeout:
        raise TooLong(
            f"{name} killed after {timeout:g} s: allow it more by --timeout, or choose fewer --pes "
            "or --lanes"
        ) from None
    except ToolFailed:
        check(log)  # it may have ended before the last look
        raise why(board, name, log.read_text("utf-8", "replace")) from None
    check(log)


def watch(log: Path, note: Note) -> Callable[[], None]:
    """To be called while a tool runs; tells now and then what its log says."""
    last = [0.0]

    def look() -> None:
        if time.monotonic() - last[0] < EVERY or not log.exists():
            return
        last[0] = time.monotonic()
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            note(how_far(file.read().decode("utf-8", "replace")))

    return look


def has_room(board: Board) -> Callable[[Path], None]:
    """To be called while nextpnr places; refuses what takes more than the device has.

    The static placer would look for places for ever.
    """
    seen = False

    def check(log: Path) -> None:
        nonlocal seen
        if seen or not log.exists():
            return
        found = USED.findall(text := log.read_text("utf-8", "replace"))
        # the table is there as a whole once something comes after it
        seen = (bool(found) and "\nInfo: Running" in text) or len(text) > LONG
        over = [f"{n} {kind}, it has {of}" for kind, n, of in found if int(n) > int(of)]
        if over:
            raise BitstreamError(too_large(board, f"it takes {'; '.join(over)}."))

    return check


def too_large(board: Board, said: str) -> str:
    """That a design does not fit, and what to do about it."""
    return (
        f"the design does not fit {board.title}: {said} Choose fewer --pes or --lanes, "
        f"see `sparseflow fit MODEL --board {board.option}`"
    )


def how_far(text: str) -> str:
    """What the end of a log of Yosys or nextpnr tells; empty if nothing."""
    for line in reversed(text.splitlines()):
        for pattern, told in NEWS:
            if found := pattern.search(line):
                return told.format(*found.groups())
    return ""


def why(board: Board, name: str, log: str) -> BitstreamError:
    """What a tool said, and what to do about it."""
    errors = [line for line in log.splitlines() if "ERROR" in line] or log.splitlines()[-1:]
    said = " ".join(errors[:1])  # what follows is only that it ends
    if NO_PLACE.search(log):
        return Unplaced(f"{name}: {said}")
    if TOO_LARGE.search(log):
        return BitstreamError(too_large(board, said))
    return Refused(f"{name} failed: {said}")
