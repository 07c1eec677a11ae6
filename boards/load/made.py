"""What a folder of a build says of the bitstream in it: read as a stranger's, then checked."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csb_format.files.claims import check_regular
from csb_format.files.ownership import Marker

from ..board import Board, BoardError
from ..link.protocol import BAUD

__all__ = ["Made", "baud_of", "read_made"]

SUMMARY_FILE = "summary.json"
KIND = "build"
_MOST_BYTES = 1 << 20
_MOST_BAUD = (1 << 32) - 1
_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class Made:
    """A bitstream, as its folder tells.

    Parameters
    ----------
    board : str
        It was built for.
    path : Path
    fmax_mhz, clock_mhz : float
        What place and route reached, and what the board's loop gives.
    """

    board: str
    path: Path
    fmax_mhz: float
    clock_mhz: float

    @property
    def late(self) -> bool:
        """Whether it misses its clock."""
        return self.fmax_mhz < self.clock_mhz


def read_made(board: Board, folder: Path) -> Made:
    """The bitstream of a folder that was built for this board, unchanged since.

    Parameters
    ----------
    board : Board
        Of a family with open tools.
    folder : Path

    Raises
    ------
    BoardError
        If no build has made the folder, it was made for another board, or the bitstream is not
        the one that was built.
    OSError
        If it cannot be read.
    """
    mend = f"sparseflow build MODEL --board {board.option} --out FOLDER makes one"
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "there is no such folder"
        raise BoardError(f"{folder}: {what}: {mend}")
    marker = Marker.of(folder)
    if marker is None or marker.kind != KIND:
        raise BoardError(f"{folder} is no folder of a build: {mend}")
    told = _summary(folder)
    if told.get("board") != board.name:
        raise BoardError(
            f"{folder} was built for {str(told.get('board', 'no board'))[:40]!r}, not for "
            f"{board.name!r}: {mend}"
        )
    if (part := told.get("part", board.part)) != board.part:  # its file may have changed since
        raise BoardError(
            f"{folder} was built for {str(part)[:40]!r}, {board.name!r} has {board.part!r}: {mend}"
        )
    name = str(told.get("bitstream", ""))
    if not _NAME.fullmatch(name) or name not in marker.files:
        raise BoardError(f"{folder} holds no bitstream that a build has made: {mend}")
    check_regular(folder / name)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    if digest != told.get("bitstream_sha256"):
        raise BoardError(
            f"{folder / name} is not the bitstream that was built (sha256 {digest[:16]}...): {mend}"
        )
    speeds = [told.get(name) for name in ("fmax_mhz", "clock_mhz")]
    fmax, clock = (float(s) if isinstance(s, int | float) else 0.0 for s in speeds)
    return Made(board.name, folder / name, fmax, clock)


def baud_of(place: Path) -> int:
    """Rate of the serial line of a build; that of all boards where its folder tells none.

    Parameters
    ----------
    place : Path
        The folder, or a file in it.
    """
    folder = place if place.is_dir() else place.parent
    told = _summary(folder).get("baud") if (folder / SUMMARY_FILE).exists() else None
    return told if type(told) is int and 1 <= told <= _MOST_BAUD else BAUD


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / SUMMARY_FILE
    if not path.exists():
        return {}
    check_regular(path)
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    try:
        found = json.loads(data.decode("utf-8")) if len(data) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BoardError(f"{path} is no summary of a build: build again")
    return found
