"""How well `boards.resources` estimates: its cells beside those that Yosys and nextpnr count.

``python -m bench.boards.fit [--case NAME ...] [--json FILE]`` synthesises boards' tops, link
included, of random models of the shapes named below, and lets nextpnr pack them: cells as they
would be placed, whether there is a place for all of them or not. ``--add`` keeps the rows of other
cases that the file has. On an idle core those for iCE40 take half a minute each.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from boards.board import board
from boards.build.open_tools import pack_cells, synthesise, tools_of
from boards.build.top_verilog import emit_board
from boards.resources import RESOURCES, Usage, estimate
from boards.tools.limits import TIMEOUT
from compiler.lower.compile import compile_model
from csb_format.files.folders import temporary_folder

from ..record import Rows, with_others, write_record
from .bitstreams import CASES as BITSTREAMS
from .bitstreams import SEED, SHAKESPEARE, Case, Shipped

__all__ = ["CASES", "count", "main"]

CASES: dict[str, Case | Shipped] = {
    c.title: c
    for c in (
        BITSTREAMS["icebreaker"],
        Case("ulx3s", 4, 2, 12, 32, 8, (1, 2)),
        Case("ulx3s", 8, 4, 12, 64, 8, (1, 2)),
        Case("ulx3s", 8, 8, 12, 64, 8, (1, 2), 8, 8),
        Case("tang_primer_20k", 4, 1, 12, 32, 8, (1, 1), 8, 8),
        Case("tang_primer_20k", 4, 4, 12, 128, 8, (1, 2), 8, 8),
        Case("tang_primer_20k", 8, 4, 12, 32, 8, (1, 1)),
        Case("icebreaker", 4, 2, 12, 64, 8, (1, 2), 8, 8),
        Case("icebreaker", 4, 2, 12, 64, 8, (1, 2), 4, 8),
        Case("icebreaker", 4, 2, 12, 32, 8, (1, 2), 8, 16),
        Case("icebreaker", 4, 2, 12, 256, 8, (1, 8), 8, 12),  # two large memories each
        Case("icebreaker", 4, 1, 12, 64, 8, (1, 2), 8, 12),
        Case("icebreaker", 4, 1, 12, 32, 8, (1, 2), 12, 12),
        Case("icebreaker", 4, 1, 12, 32, 8, (1, 2), 8, 16),
        # the fastest arrays of a shipped network
        Shipped("ecpix5", 8, 8, SHAKESPEARE),
        Shipped("ulx3s", 16, 8, SHAKESPEARE),
    )
}
# how `Usage` calls the kinds of cells of `boards.build.open_tools`
NAMES = {kind.field: kind.count for kind in RESOURCES}


def count(case: Case | Shipped, work: Path, timeout: float = TIMEOUT) -> Usage:
    """Cells of a board's top after packing, whether they have room on its device or not.

    Parameters
    ----------
    case : Case
    work : Path
        An empty folder.
    timeout : float
        Seconds for each tool.

    Raises
    ------
    SynthesisError, BitstreamError
        If a tool fails.
    """
    b, model = board(case.board), case.model()
    design = case.design(model)
    files = emit_board(b, design, compile_model(model, design), work / "verilog")
    synthesise(b, design, files, work, timeout, lambda text: None)
    cells = pack_cells(b, work, timeout)
    return Usage(**{name: cells.get(ours, 0) for name, ours in NAMES.items()})


def main(
    cases: Annotated[
        list[str] | None, typer.Option("--case", help="Only these; all by default.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Keep what the file has of others.")] = False,
) -> None:
    """Synthesise, pack, print a table, write JSON."""
    unknown = [name for name in cases or () if name not in CASES]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r}: choose from {', '.join(map(repr, CASES))}")
    rows = [_row(name) for name in cases or CASES]
    if json and add:
        rows = with_others(json, rows, CASES)
    Console(width=120).print(_table(rows))
    if json:
        write_record(json, "bench.boards.fit", SEED, rows)


def _row(name: str) -> dict[str, Any]:
    case, begin = CASES[name], time.monotonic()
    say = Console(stderr=True).print
    say(f"{name} ...")
    with temporary_folder("bench") as folder:
        counted = count(case, Path(folder))
    say(f"{name}: {time.monotonic() - begin:.0f} s")
    b = board(case.board)
    tools = {name: version(name) for name in tools_of(b).packages}
    command = f'python -m bench.boards.fit --case "{name}"'
    return {"case": name, "command": command, "counted": asdict(counted), "tools": tools}


def _table(rows: Rows) -> Table:
    """Counts, and by how much the estimates of this checkout differ."""
    table = Table(title="Cells after packing, and by how much estimates differ")
    table.add_column("case")
    for name in NAMES:
        table.add_column(name, justify="right")
    for row in rows:
        case = CASES[row["case"]]
        b = board(case.board)
        use = estimate(case.design(case.model()), b)
        cells = (_difference(row["counted"].get(name, 0), getattr(use, name)) for name in NAMES)
        table.add_row(row["case"], *cells)
    return table


def _difference(counted: int, estimated: int) -> str:
    return f"{counted} {estimated / counted - 1:+.1%}" if counted else str(estimated)


if __name__ == "__main__":
    typer.run(main)
