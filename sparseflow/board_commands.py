"""The commands that know boards: what fits, bitstreams, projects of vendor tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

__all__ = ["boards", "build", "fit"]

ModelFile = Annotated[Path, typer.Argument(help="Model that `pack` wrote.")]
BoardName = Annotated[str, typer.Option("--board", help="See `sparseflow boards`.")]


def boards() -> None:
    """List the boards: device, how it is built for, link, default array.

    **Next:** `sparseflow fit MODEL --board BOARD`
    """
    from boards.board import FLOWS, board, board_names

    table = Table()
    for column in ("board", "device", "made with", "clock", "link", "multipliers", "array"):
        table.add_column(column)
    for name in board_names():
        b = board(name)
        link = f"UART {b.baud}" if b.baud else "AXI"
        array = f"{b.array['pes']} x {b.array['lanes']}"
        clock = f"{b.clock_hz / 1e6:g} MHz"
        has = str(b.has.multipliers)
        table.add_row(f"{name}: {b.title}", b.part, FLOWS[b.flow], clock, link, has, array)
    Console().print(table)


def fit(model: ModelFile, board: BoardName) -> None:
    """Say before any synthesis which arrays fit a board, what limits, and the fastest.

    **In:** a packed model. **Out:** a table; multipliers, block RAM and LUT are estimates.

    **Next:** `sparseflow build MODEL --board BOARD --out FOLDER`
    """
    from boards.board import board as named
    from boards.fit import choices, fastest
    from csb_format import load_model

    given, found = load_model(model), named(board)
    best = fastest(given, found)
    table = Table(title=f"{found.title}: {best.design.pes} x {best.design.lanes} is the fastest")
    for column in ("M x N", "fits", "multipliers", "block RAM", "LUT", "limit"):
        table.add_column(column)
    for column in ("cycles a step", "clock, MHz", "us a step"):
        table.add_column(column, justify="right")
    for c in choices(given, found):
        use = c.usage
        cells = (str(use.multipliers), str(use.block_rams), str(use.luts))
        speed = (str(c.cycles), f"{c.megahertz:g}", f"{c.microseconds:.2f}")
        array = f"{c.design.pes} x {c.design.lanes}"
        table.add_row(array, "yes" if c.fits else "no", *cells, c.limit, *speed)
    Console().print(table)


def build(
    model: ModelFile,
    board: BoardName,
    out: Annotated[Path, typer.Option(help="Folder, replaced as a whole.")],
    pes: Annotated[int | None, typer.Option(min=4, help="Default: the fastest that fits.")] = None,
    lanes: Annotated[int | None, typer.Option(min=1, help="With --pes.")] = None,
    clock: Annotated[float | None, typer.Option(min=1, help="MHz instead of the board's.")] = None,
    seed: Annotated[int, typer.Option(help="Of place and route.")] = 1,
) -> None:
    """Make a bitstream with open tools, or the project of a vendor's tool.

    **In:** a packed model. **Out:** a folder with the bitstream and reports, or with a
    project that needs nothing of ours.
    """
    from boards.build import build as run
    from csb_format import load_model

    from .progress import say

    if (pes is None) != (lanes is None):
        raise ValueError("--pes and --lanes go together: give both or neither")
    array = (pes, lanes) if pes and lanes else None
    for line in run(load_model(model), board, out, array, clock, seed, tell=say):
        say(line)
