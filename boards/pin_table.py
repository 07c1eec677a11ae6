"""The page ``docs/pins.md``, made of the board files: ``python -m boards.pin_table`` prints it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import groupby

from .board import Board, Pin, board, board_names

__all__ = ["main", "markdown"]

TOP = """# Pins of the boards

Made of the files in `boards/data` by `python -m boards.pin_table > docs/pins.md`. Each was held
against the files named below it, one by one: pins, electrical standards, resistors, directions
(`rx` is what the device receives), polarity and oscillator. `tests/boards/test_pins.py` holds them
against amaranth-boards.

No reset pin is in use: the accelerator is reset for 16 cycles once the clock's loop has locked.
"""
HEAD = ["| signal | pin | standard | resistor | current | |", "|---|---|---|---|---|---|"]
MEANS = {"clk": "oscillator, {:g} MHz", "rx": "UART, to the device", "tx": "UART, from the device"}


def markdown() -> str:
    """The page; boards and variants with the same pins and sources are one section."""
    every = sorted((board(name) for name in board_names()), key=_alike)
    return "\n".join([TOP, *("\n".join(_section(list(one))) for _, one in groupby(every, _alike))])


def _alike(one: Board) -> tuple[str, str]:
    return one.name.partition("_")[0], repr((one.pins, one.source, one.note, one.oscillator_hz))


def _section(alike: list[Board]) -> list[str]:
    first = alike[0]
    names = ", ".join(f"`{one.name}`" for one in alike)
    lines = [f"## {' / '.join(one.title for one in alike)}", "", f"{names}. {_sentence(first)}", ""]
    if first.pins:
        lines += [*HEAD, *(_row(first, name, pin) for name, pin in first.pins.items()), ""]
    lines += [f"- {one}" for one in first.source] or ["Not held against any file: do so first."]
    return [*lines, ""]


def _sentence(one: Board) -> str:
    return f"{one.note[:1].upper()}{one.note[1:]}." if one.note else ""


def _row(one: Board, name: str, pin: Pin) -> str:
    pull = {"up": "pull-up", "down": "pull-down", "none": "none"}.get(pin.pull, "")
    drive = f"{pin.drive} mA" if pin.drive else ""
    told = [f"`{name}`", pin.pin, pin.standard, pull, drive, _meaning(one, name, pin)]
    return f"| {' | '.join(told)} |"


def _meaning(one: Board, name: str, pin: Pin) -> str:
    if pin.level is not None:
        return f"held at {pin.level}"
    if name == "led":
        return "lit by 0" if pin.active_low else "lit by 1"
    return MEANS[name].format(one.oscillator_hz / 1e6)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the page."""
    argparse.ArgumentParser(description="Print the page docs/pins.md.").parse_args(argv)
    sys.stdout.write(markdown())


if __name__ == "__main__":
    main()
