"""A plan as JSON and as a table."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # torch is loaded only where it is used
    from pruning.doctor.plan import Plan, PlanRow

__all__ = ["print_plan", "to_json"]

_HEADINGS = ("pattern", "energy\nkept", "sparsity", "array", "cycles", "bytes", "k")


def to_json(plan: Plan) -> str:
    """The text of the JSON file: the fields of :class:`pruning.doctor.plan.Plan`."""
    return json.dumps(asdict(plan), indent=2, sort_keys=True, allow_nan=False) + "\n"


def print_plan(plan: Plan, console: Console | None = None) -> None:
    """Print the table, the matrices that its columns of k belong to, and what to take.

    Parameters
    ----------
    plan : Plan
    console : rich.console.Console, optional
        Where to; standard output by default.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    for heading in _HEADINGS:
        side = "left" if heading in ("pattern", "k") else "right"
        table.add_column(heading, justify=side, overflow="fold")  # type: ignore[arg-type]
    for row in plan.rows:
        style = "bold green" if row is plan.taken else None if row.budget else "dim"
        table.add_row(*_cells(row), style=style)
    taken = plan.taken
    names = ", ".join(taken.keep)
    lines = (
        f"{plan.asked:.2%} asked of all matrices together",
        f"k, weights a bank, of {names}; what has none is a yardstick, no array runs it well",
        f"take: {taken.pattern} ({plan.reason})",
    )
    (console or Console()).print(Group(Text(lines[0]), table, *map(Text, lines[1:])))


def _cells(row: PlanRow) -> list[str]:
    return [
        row.pattern,
        f"{row.energy:.1%}",
        f"{row.sparsity:.2%}",
        f"{row.pes} x {row.lanes}",
        f"{row.cycles:,}",
        f"{row.bytes:,}",
        " ".join(map(str, row.keep.values())),
    ]
