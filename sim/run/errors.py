"""What can go wrong with a simulation, told apart by class and data, never by text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from compiler.abi.states import WireError

__all__ = ["Hang", "Mismatched", "SimulationError", "Timeout", "ToolFailed", "note_hang", "noted"]

_NOTE = "hang.json"


class SimulationError(WireError):
    """A simulation that could not be run, or that went wrong; its kinds derive from it."""

    #: Of a red case of a regression.
    kind: ClassVar[str] = "crash"


class Hang(SimulationError):
    """Nothing moved on any stream for as long as the job allows."""

    kind: ClassVar[str] = "hang"


class Timeout(SimulationError):
    """A program was killed as its time was over.

    Parameters
    ----------
    text : str
    seconds : float
        That it had.
    """

    kind: ClassVar[str] = "timeout"

    def __init__(self, text: str, seconds: float):
        super().__init__(text)
        self.seconds = seconds


class ToolFailed(SimulationError):
    """A program ended with an error, or by a signal.

    Parameters
    ----------
    text : str
    status : int
        Its exit status; below 0 the signal that ended it.
    """

    def __init__(self, text: str, status: int):
        super().__init__(text)
        self.status = status


class Mismatched(SimulationError):
    """What came out breaks a rule of a bus, so that it cannot be compared."""

    kind: ClassVar[str] = "mismatch"


def note_hang(run: Path, error: Hang) -> None:
    """Leave a hang for the process that waits for this one."""
    (run / _NOTE).write_text(json.dumps({"hang": str(error)}, allow_nan=False))


def noted(run: Path) -> str | None:
    """The story of a hang that a process has left in its folder; None if it left none."""
    note = run / _NOTE
    return str(json.loads(note.read_text())["hang"]) if note.exists() else None
