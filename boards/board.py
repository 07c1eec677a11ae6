"""Boards as small declarative files: device, clock, link, default array."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

from .families import FAMILIES
from .families.family import BOARD_MODULE, SIGNALS, Adapter, Board, BoardError, Part, Pin

__all__ = [
    "BOARD_MODULE",
    "SIGNALS",
    "Adapter",
    "Board",
    "BoardError",
    "Part",
    "Pin",
    "board",
    "board_names",
    "clock_verilog",
    "parse",
]


def board_names() -> tuple[str, ...]:
    """All boards, in alphabetical order."""
    files = resources.files(__package__).joinpath("data").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def board(name: str) -> Board:
    """A board by its name.

    Raises
    ------
    BoardError
        If there is none, or its file is wrong.
    """
    if name not in board_names():
        raise BoardError(f"board {name!r} is not known: choose one of {', '.join(board_names())}")
    text = resources.files(__package__).joinpath("data", f"{name}.toml").read_text("utf-8")
    return parse(name, text)


def _fields(where: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise BoardError(f"{where}: it is nested too deeply: write flat tables") from None
    except ValueError:
        raise BoardError(f"{where}: it holds a number of thousands of digits") from None


def parse(name: str, text: str) -> Board:
    """A board from the text of its file.

    Raises
    ------
    BoardError
        If a field is missing, unknown or impossible, or its family or part is not known.
    """
    where = f"board file {name}.toml"
    try:
        fields = _fields(where, text)
        flow = fields.pop("flow", None)
        if flow is None:
            raise BoardError(f"{where}: flow is missing: choose one of {', '.join(FAMILIES)}")
        if flow not in FAMILIES:
            raise BoardError(
                f"{where}: flow {flow!r} is not known: choose one of {', '.join(FAMILIES)}"
            )
        if "adapter" in fields:
            fields["adapter"] = Adapter.of(where, fields["adapter"])
        found = Board(name=name, family=FAMILIES[flow], **fields)
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise BoardError(f"{where}: {error}") from None
    parts = found.family.parts
    if found.part not in parts:
        raise BoardError(
            f"{where}: part {found.part!r} is not one that {flow} knows ({', '.join(parts)}): "
            "choose one of these, or add it as docs/boards.md says"
        )
    return found


def clock_verilog(board: Board) -> str:
    """Verilog that makes ``clock`` and ``locked`` of the port ``clk``.

    Raises
    ------
    BoardError
        If no setting of the loop gives exactly this clock.
    """
    if board.clock_hz == board.oscillator_hz:
        return "    wire clock = clk;\n    wire locked = 1'b1;\n"
    if board.family.clock is None:
        raise BoardError(
            f"board {board.name}: clock {board.clock_hz / 1e6:.9g} MHz: its flow has no loop "
            f"here, take the oscillator's {board.oscillator_hz / 1e6:.9g} MHz"
        )
    return board.family.clock(board)
