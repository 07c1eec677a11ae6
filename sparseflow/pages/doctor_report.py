"""A diagnosis as JSON, as tables, as a picture and as a page; a plan as JSON and as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # torch, and what draws, are loaded only where they are used
    from pruning.doctor.diagnose import Diagnosis, LaneFigures, MatrixFigures
    from pruning.doctor.plan import Plan, PlanRow

    from . import doctor_plots

__all__ = ["page", "picture", "plain", "plan_json", "print_diagnosis", "print_plan", "to_json"]

Loads = Mapping[str, npt.NDArray[np.int64]]
"""By matrix: nonzeros (rows, banks) at its suggested banks."""

_HEADINGS = (
    "lanes", "busy 1 PE", "busy {pes} PEs", "busy after", "faster", "k", "weights",
    "L1 kept", "L2 kept", "index bits", "CSB bytes",
)  # fmt: skip


def plain(diagnosis: Diagnosis) -> dict[str, Any]:
    """Numbers, text, lists and dictionaries: what the JSON file holds.

    Beside the fields of :class:`pruning.doctor.diagnose.Diagnosis`, every matrix has its
    ``sparsity`` and every number of lanes the share ``retained`` of the present energy.
    """
    found = asdict(diagnosis)
    for matrix, content in zip(diagnosis.matrices, found["matrices"], strict=True):
        content |= {"sparsity": matrix.sparsity, "dense": matrix.dense}
        for figures, lane in zip(matrix.lanes, content["lanes"], strict=True):
            lane["retained"] = asdict(matrix.retained(figures))
    return found


def to_json(diagnosis: Diagnosis, states: Sequence[Mapping[str, Any]] | str = ()) -> str:
    """The text of the JSON file; equal diagnoses give equal text.

    Parameters
    ----------
    diagnosis : Diagnosis
    states : sequence of mapping, or str
        Range of each layer and what saturates, of a network that was looked at with data.
    """
    found = plain(diagnosis)
    if states and not isinstance(states, str):
        found["states"] = list(states)
    return json.dumps(found, indent=2, sort_keys=True, allow_nan=False) + "\n"


def print_diagnosis(
    diagnosis: Diagnosis, console: Console | None = None, read: Sequence[str] = ()
) -> None:
    """Print what the file was taken for, one table a matrix, and what was left out.

    Parameters
    ----------
    diagnosis : Diagnosis
    read : sequence of str
        The network that it was taken for, and how good it is, a line each.
    console : rich.console.Console, optional
        Where to; standard output by default.
    """
    notes = [Text(f"note: {note}", style="yellow") for note in diagnosis.notes]
    tables = [_table(matrix, diagnosis.pes) for matrix in diagnosis.matrices]
    lines = [Text(f"read as {': '.join([diagnosis.source, *read[:1]])}"), *map(Text, read[1:])]
    (console or Console()).print(Group(*lines, *notes, *tables))


def _table(matrix: MatrixFigures, pes: int) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, title=Text(_title(matrix), style="bold"), title_justify="left",
        caption=Text(_advice(matrix)), caption_justify="left", padding=0,
    )  # fmt: skip
    for heading in _HEADINGS:
        first, _, second = heading.format(pes=pes).partition(" ")
        table.add_column(f"{first}\n{second}" if second else first, justify="right", no_wrap=True)
    for figures in matrix.lanes:
        style = "bold green" if figures.lanes == matrix.suggested else None
        table.add_row(*_cells(matrix, figures), style=style)
    return table


def _title(matrix: MatrixFigures) -> str:
    return (
        f"{matrix.name}: {matrix.rows:,} x {matrix.columns:,}, {matrix.nonzeros:,} nonzeros, "
        + ("dense" if matrix.dense else f"{matrix.sparsity:.2%} sparse")
    )


def _advice(matrix: MatrixFigures) -> str:
    if matrix.dense:
        state = "it is dense, prune it first"
    elif matrix.at(matrix.suggested).balanced:
        state = "its masks are balanced over them already"
    else:
        kind = "present weights" if matrix.present is None else "all weights"
        state = f"rebalanced from {kind}"
    return f"suggested: {matrix.suggested} banks ({matrix.reason}); {state}"


def _cells(matrix: MatrixFigures, figures: LaneFigures) -> list[str]:
    retained = matrix.retained(figures)
    return [
        str(figures.lanes),
        f"{figures.utilisation:.1%}",
        f"{figures.pes_utilisation:.1%}",
        f"{figures.rebalanced_utilisation:.1%}",
        f"{figures.speedup:.2f}x",
        str(figures.nonzeros),
        f"{figures.kept / matrix.nonzeros - 1:+.0%}",
        f"{retained.l1:.1%}",
        f"{retained.l2:.1%}",
        str(figures.index_bits),
        f"{figures.csb_bytes:,}",
    ]


def picture(diagnosis: Diagnosis, loads: Loads) -> str:
    """An SVG file of the matrix that keeps an array of its suggested banks busy least.

    Parameters
    ----------
    diagnosis : Diagnosis
        With at least one matrix.
    loads : mapping
        Of at least that matrix.
    """
    from . import doctor_plots

    return doctor_plots.standalone(_picture(diagnosis, loads))


def _picture(diagnosis: Diagnosis, loads: Loads) -> str:
    from . import doctor_plots

    worst = _worst(diagnosis)
    curves = _curves(worst)
    return doctor_plots.picture(
        worst.name, curves, diagnosis.pes, worst.suggested, loads[worst.name]
    )


def _worst(diagnosis: Diagnosis) -> MatrixFigures:
    """The matrix with the lowest utilisation at its suggested banks; the first among equals."""
    return min(diagnosis.matrices, key=lambda matrix: matrix.at(matrix.suggested).utilisation)


def _curves(matrix: MatrixFigures) -> doctor_plots.Curves:
    return {
        "lanes": [figures.lanes for figures in matrix.lanes],
        "one": [figures.utilisation for figures in matrix.lanes],
        "all": [figures.pes_utilisation for figures in matrix.lanes],
        "energy": [
            matrix.retained(figures).l2 if matrix.comparable(figures) else math.nan
            for figures in matrix.lanes
        ],
    }


def page(diagnosis: Diagnosis, loads: Loads, command: str = "") -> str:
    """One HTML page: pictures of all matrices together, then a table for each.

    Parameters
    ----------
    diagnosis, loads
        As in :func:`picture`.
    command : str
        That has made it, if one has.
    """
    from . import doctor_plots
    from .report_page import templates

    matrices = [
        {
            "title": _title(matrix),
            "advice": _advice(matrix),
            "rows": [(_cells(matrix, f), f.lanes == matrix.suggested) for f in matrix.lanes],
        }
        for matrix in diagnosis.matrices
    ]
    curves = {matrix.name: _curves(matrix) for matrix in diagnosis.matrices}
    suggested = {matrix.name: matrix.suggested for matrix in diagnosis.matrices}
    worst = _worst(diagnosis).name
    found = loads[worst]
    return (
        templates()
        .get_template("doctor.html.j2")
        .render(
            diagnosis=diagnosis,
            headings=[heading.format(pes=diagnosis.pes) for heading in _HEADINGS],
            busy=doctor_plots.busy(curves, suggested, diagnosis.pes),
            energy=doctor_plots.energy(curves, suggested),
            loads=doctor_plots.loads(worst, found) if found.min() < found.max() else "",
            load=int(found.max()),
            worst=worst,
            dense=any(matrix.dense for matrix in diagnosis.matrices),
            matrices=matrices,
            most_lines=doctor_plots.MOST_LINES,
            command=command,
        )
    )


_PLAN_HEADINGS = ("pattern", "energy\nkept", "sparsity", "array", "cycles", "bytes", "k")


def plan_json(plan: Plan) -> str:
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
    for heading in _PLAN_HEADINGS:
        side = "left" if heading in ("pattern", "k") else "right"
        table.add_column(heading, justify=side, overflow="fold")  # type: ignore[arg-type]
    for row in plan.rows:
        style = "bold green" if row is plan.taken else None if row.budget else "dim"
        table.add_row(*_plan_cells(row), style=style)
    taken = plan.taken
    names = ", ".join(taken.keep)
    less = f"; {plan.zeros:.2%} of the weights are zero already" if plan.zeros else ""
    lines = (
        f"{plan.asked:.2%} asked of all matrices together{less}",
        f"k: weights a bank, of {names}",
        "without k: yardsticks, which no array runs well; and k per gate, which --budget gate "
        "makes for an array with slots of one gate",
        f"take: {taken.pattern} ({plan.reason})",
    )
    (console or Console()).print(Group(Text(lines[0]), table, *map(Text, lines[1:])))


def _plan_cells(row: PlanRow) -> list[str]:
    return [
        row.pattern,
        f"{row.energy:.1%}",
        f"{row.sparsity:.2%}",
        f"{row.pes} x {row.lanes}",
        f"{row.cycles:,}",
        f"{row.bytes:,}",
        " ".join(map(str, row.keep.values())),
    ]
