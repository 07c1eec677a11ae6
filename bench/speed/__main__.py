"""Seconds that people wait, by parts: ``python -m bench.speed simulation --json FILE``.

Without a part all of them are measured. Parts that are not measured stay as the file has them.
Contenders take turns in one run, so that ratios hold on a busy machine too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..record import Rows, Smallest, check_named
from . import exact_model, simulation, toolchain
from .rows import Row, write_rows

SEED = 0
PARTS: dict[str, Callable[[bool, list[str]], Iterable[Row]]] = {
    "simulation": simulation.rows,
    "toolchain": toolchain.rows,
    "exact-model": exact_model.rows,
}


def main(
    parts: Annotated[list[str] | None, typer.Argument(help="Which; all by default.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Rows whose name has this.")] = None,
    before: Annotated[
        Path | None,
        typer.Option(
            help="Worktree of an earlier commit, run beside ours by toolchain, exact-model."
        ),
    ] = None,
    smallest: Smallest = False,
) -> None:
    """Measure, print a table, write JSON."""
    check_named(parts, PARTS, "part")
    found: Rows = []
    timed = PARTS | {
        "toolchain": partial(toolchain.rows, before=before),
        "exact-model": partial(exact_model.rows, before=before),
    }
    for part in parts or PARTS:
        found += [row.plain(part) for row in timed[part](smallest, only or [""])]
    Console(width=140).print(_table(found))
    if json and not only:
        write_rows(json, SEED, found, list(PARTS))


def _table(rows: Rows) -> Table:
    table = Table("part", "what", "before s", "after s", "limit s")
    for row in rows:
        seconds = (row[name] for name in ("before_s", "after_s", "limit_s"))
        texts = ("" if value is None else f"{value:,.3f}" for value in seconds)
        table.add_row(row["part"], row["what"], *texts)
    return table


if __name__ == "__main__":
    typer.run(main)
