"""Puts a bitstream into a board with openFPGALoader, and says in our words what it says in its."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

from csb_format.files.folders import temporary_folder
from sim.run.errors import Timeout, ToolFailed
from sim.run.processes import watched

from ..board import Adapter, Board, BoardError
from .made import Made, read_made

__all__ = ["PROGRAM", "LoadError", "load_bitstream"]

PROGRAM = "openFPGALoader"
TIMEOUT = 600.0  # seconds; the flash of an iCEBreaker takes ten
INSTALL = (
    "sudo apt-get install -y openfpgaloader (Debian, Ubuntu), sudo pacman -S openfpgaloader, "
    "brew install openfpgaloader"
)
RIGHTS = (
    "this user may not use the adapter: copy 99-openfpgaloader.rules of openFPGALoader to "
    "/etc/udev/rules.d (Debian's package brings it), sudo udevadm control --reload-rules, sudo "
    "usermod -aG plugdev,dialout $USER, log in again, plug the board in again"
)
# What it prints, to what is wrong and what to do; the first that matches. libftdi's numbers:
# -3 not there, -4 and -8 not allowed, -5 in use.
CAUSES = (
    (
        r"ftdi device: -(?:4|8)\b|inappropriate permissions|LIBUSB_ERROR_ACCESS|[Pp]ermission den",
        RIGHTS,
    ),
    (
        r"ftdi device: -5\b|unable to claim|LIBUSB_ERROR_BUSY",
        "another program uses the adapter: close it (a terminal, a driver that is open, another "
        "loader), plug the board in again",
    ),
    (
        r"ftdi device: -3\b|device not found|No cable found|LIBUSB_ERROR_NO_DEVICE",
        "no adapter of this board is there: plug it in by its programming socket, with a cable "
        "that carries data{others}",
    ),
    (
        r"mismatch between target's idcode|Unknown device with IDCODE|more than one FPGA",
        "the device on the adapter is not that of {title}, {part}: is another board plugged in, or "
        "one with another device of its family? Then build for that one",
    ),
    (
        r"no device found|TDO is stuck",
        "the adapter is there, and no FPGA answers behind it: switch the board's power on, see to "
        "its jumpers",
    ),
    (r"cannot find board", "this release of openFPGALoader does not know the board{others}"),
)
FAILED = re.compile(r"^.*\bfail(?:ed|ure)?\b.*$|^\s*error\b.*$", re.IGNORECASE | re.MULTILINE)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MOST = 300  # characters of what it printed, in a message


class LoadError(RuntimeError):
    """A bitstream that is not in the board; the message says what to do."""

    exit_status = 1


def load_bitstream(
    board: Board,
    folder: Path,
    loader: str | None = None,
    *,
    note: Callable[[str], None] = lambda text: None,
) -> Made:
    """Load what was built for a board into it.

    Parameters
    ----------
    board : Board
    folder : Path
        Of its build.
    loader : str, optional
        What openFPGALoader calls this revision of the board; by default its first.
    note : callable
        Told what the tool prints.

    Returns
    -------
    Made

    Raises
    ------
    BoardError
        If this command does not load that board, or the folder holds no bitstream for it.
    LoadError
        If openFPGALoader is not installed, or the bitstream is not in the board.
    """
    adapter = _adapter(board, folder)
    made = read_made(board, folder)
    chosen = adapter.loader[0] if loader is None else loader
    if chosen not in adapter.loader:
        raise BoardError(
            f"loader {loader!r}: openFPGALoader calls {board.title} "
            f"{' or '.join(adapter.loader)}: give one of these, or none"
        )
    arguments = ["--board", chosen, str(made.path.resolve())]
    program = shutil.which(PROGRAM)
    if program is None:
        line = shlex.join([PROGRAM, *arguments[:2], str(made.path)])
        raise LoadError(f"{PROGRAM} is not installed: {INSTALL}; then again, or: {line}")
    with temporary_folder("load") as work:
        _run(board, adapter, chosen, [program, *arguments], work / "log", note)
    return made


def _adapter(board: Board, folder: Path) -> Adapter:
    """What loads a board, if this command does."""
    if board.family.tools is None:
        load = f", then `{board.load}`" if board.load else ", then the vendor's programmer"
        raise BoardError(
            f"{board.name} is not loaded by this command, its bitstream is made by the vendor's "
            f"tool: type in {folder} `{board.family.start}`{load}"
        )
    if board.adapter is None:
        raise BoardError(
            f"board {board.name}: its file does not say what openFPGALoader calls it: add "
            'adapter = { loader = ["NAME"] }, a name of openFPGALoader --list-boards'
        )
    return board.adapter


def _run(
    board: Board,
    adapter: Adapter,
    chosen: str,
    command: list[str],
    log: Path,
    note: Callable[[str], None],
) -> None:
    def look() -> None:
        note(_last(_text(log)))

    ending = ""
    try:
        watched(PROGRAM, command, log, TIMEOUT, look=look)
    except Timeout:
        raise LoadError(
            f"{PROGRAM} killed after {TIMEOUT:g} s: plug the board in again and repeat it"
        ) from None
    except ToolFailed as error:
        ending = f"signal {-error.status}" if error.status < 0 else f"status {error.status}"
    text = _text(log)
    # for some devices it ends with status 0 after it has said that it failed
    if ending or FAILED.search(text):
        raise LoadError(_why(board, adapter, chosen, text, ending))


def _text(log: Path) -> str:
    if not log.exists():
        return ""
    return COLOURS.sub("", log.read_text("utf-8", "replace")).replace("\r", "\n")


def _last(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")[:60]


def _why(board: Board, adapter: Adapter, chosen: str, text: str, ending: str) -> str:
    """What it said, and what to do about it."""
    lines = [" ".join(found.split()) for found in FAILED.findall(text)] or [_last(text)]
    others = [name for name in adapter.loader if name != chosen]
    revision = f"; another revision of the board: --loader {others[0]}" if others else ""
    filling = {"title": board.title, "part": board.part, "others": revision}
    for pattern, mend in CAUSES:
        if found := re.search(pattern, text):
            line = next(part for part in text.splitlines() if found[0] in part)
            return f"{mend.format(**filling)} ({PROGRAM}: {line.strip()[:_MOST]})"
    ended = f", ended with {ending}" if ending else ""
    said = lines[-1][:_MOST] or "it said nothing"
    return f"{PROGRAM} did not load it{ended}: {said}: plug the board in again and repeat it"
