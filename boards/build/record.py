"""What is known of a build before its tools have run: the start of every ``summary.json``."""

from __future__ import annotations

from typing import Any

from compiler.array.design import Design

from ..board import Board
from ..cells.learned import shipped
from ..resources import RESOURCES

__all__ = ["SUMMARY_DATA", "record"]

SUMMARY_DATA = "summary.json"


def record(board: Board, design: Design) -> dict[str, Any]:
    """The array, and its estimated cells beside those of the device.

    Returns
    -------
    dict
        ``board``, ``part``, ``M``, ``N``, ``multipliers``, ``clock_mhz``; ``estimated`` and ``of``
        have a count for every kind of cells that the device has. A bitstream's summary adds what
        the tools counted, by the same names.
    """
    part = board.has
    return {
        "board": board.name,
        "part": board.part,
        "M": design.pes,
        "N": design.lanes,
        "multipliers": design.multipliers,
        "clock_mhz": board.clock_hz / 1e6,
        "estimated": shipped().likely(design, board).counts(part),
        "of": {r.count: r.of(part) for r in RESOURCES if r.of(part)},
    }
