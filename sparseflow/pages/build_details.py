"""Where a build's cells and its time are: the tables behind its summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from boards.build.attempts import Attempt
from boards.build.bitstream import Built
from boards.build.blocks import Block
from boards.build.critical import CriticalPath

from .build_picture import PICTURE, pictures, stretches

__all__ = ["details", "table"]

HEADS = {"lut": "LUT", "ff": "FF", "ram": "RAM", "dsp": "DSP", "spram": "SPRAM"}
HEADS |= {"distributed": "LUTRAM"}


def details(built: Built) -> list[str]:
    """Lines of Markdown: all runs of place and route if several, cells by block, critical paths."""
    lines = [] if len(built.attempts) < 2 else list(_attempts(built.attempts, built))
    if built.blocks:
        lines += ["## Cells by block", "", *_blocks(built.blocks), ""]
    for path in built.paths:
        lines += list(_path(path))
    if pictures(built):
        lines += [f"![Cells by block, and the critical path]({PICTURE})", ""]
    return lines


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal length as Markdown, the head first, columns as wide as what is in them."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    ruled = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]
    return [f"| {' | '.join(_padded(row, widths))} |" for row in (rows[0], ruled, *rows[1:])]


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        row[0].ljust(widths[0]),
        *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
    ]


def _attempts(attempts: Sequence[Attempt], built: Built) -> Iterator[str]:
    yield from ("## Runs of place and route", "")
    several = len({attempt.clock_mhz for attempt in attempts}) > 1
    for attempt in attempts:
        mine = (attempt.seed, attempt.placer, attempt.clock_mhz or built.clock_mhz)
        taken = mine == (built.seed, built.placer, built.clock_mhz)
        asked = f", asked for {attempt.clock_mhz:g} MHz" if several else ""
        yield f"- {attempt}{asked}{', taken' if taken else ''}"
    yield ""


def _blocks(blocks: Sequence[Block]) -> list[str]:
    kinds = [kind for kind in HEADS if any(block.cells.get(kind) for block in blocks)]
    rows = [["block", "number", *(HEADS[kind] for kind in kinds)]]
    for block in blocks:
        counts = (str(block.cells.get(kind, 0) or "") for kind in kinds)
        rows.append([block.name, str(block.instances), *counts])
    return table(rows)


def _path(path: CriticalPath) -> Iterator[str]:
    """Its stretches, signal by signal; ``summary.json`` has every cell."""
    logic, routing = path.ns("logic"), path.ns("routing")
    yield from (f"## Critical path of {path.clock}", "")
    yield f"- {logic + routing:.2f} ns: {logic:.2f} logic, {routing:.2f} routing"
    yield f"- from `{path.begin}`"
    yield from (f"- to `{path.end}`", "")
    rows = [["signal", "cells", "logic ns", "routing ns"]]
    for signal, hops in stretches(path):
        spent = (sum(hop.ns for hop in hops if hop.kind == kind) for kind in ("logic", "routing"))
        cells = len({hop.cell for hop in hops})
        rows.append([signal, str(cells), *(f"{ns:.2f}" for ns in spent)])
    yield from (*table(rows), "")
