"""Every matrix of a model, bank by bank: its figures, and a picture of its first rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from csb_format.csb import Csb
from csb_format.model import Model

from ..figures import matrices as matrices_of

__all__ = ["ROWS", "matrices", "strip"]

ROWS = 8  # of a matrix in its picture
PLACES = 128  # columns of it, whole banks
CELL, GAP = 6.0, 4.0  # units of the picture: of a column, and between two banks


def matrices(model: Model) -> list[dict[str, Any]]:
    """Shape, banks and weights kept of every matrix, and the first rows of its masks.

    Returns
    -------
    list of dict
        ``name, rows, columns, banks, bank_width, kept`` (weights a bank), ``nonzeros, bytes``
        and ``picture``: for each of the first ``ROWS`` rows the columns kept, of as many
        whole banks as ``PLACES`` columns hold, at least one.
    """
    return [_figures(name, matrix) for name, matrix in matrices_of(model).items()]


def _figures(name: str, matrix: Csb) -> dict[str, Any]:
    shape = matrix.geometry
    end = min(shape.columns, max(1, PLACES // shape.bank_width) * shape.bank_width)
    mask = matrix.to_mask()[:ROWS, :end]
    return {
        "name": name,
        "rows": shape.rows,
        "columns": shape.columns,
        "banks": shape.banks,
        "bank_width": shape.bank_width,
        "kept": shape.kept_text,
        "nonzeros": matrix.real_nonzeros,
        "bytes": -(-shape.packed_bits // 8),
        "shown": end,
        "picture": [row.nonzero()[0].tolist() for row in mask],
    }


def strip(matrix: Mapping[str, Any]) -> str:
    """An ``<svg>`` element: rows below each other, banks apart, kept weights filled.

    There is no text in it, so that it may be as small as its place is.
    """
    width, shown, rows = int(matrix["bank_width"]), int(matrix["shown"]), matrix["picture"]
    wide = _left(shown - 1, width) + CELL
    high = len(rows) * (CELL + 1) - 1
    said = f"Weights kept in the first {len(rows)} rows and {shown} columns of {matrix['name']}"
    return (
        f'<svg class="strip" role="img" aria-label="{escape(said)}" '
        f'viewBox="0 0 {wide:g} {high:g}" style="width:{1.5 * wide:g}px">'
        f"{''.join(_cells(rows, shown, width))}</svg>"
    )


def _left(column: int, width: int) -> float:
    return column * CELL + column // width * GAP


def _cells(rows: Sequence[Sequence[int]], shown: int, width: int) -> Iterator[str]:
    """A bar behind every bank of a row, and one on it for every run of kept columns."""
    for n, kept in enumerate(rows):
        top = n * (CELL + 1)
        for first in range(0, shown, width):
            end = min(first + width, shown)
            yield _bar("bank", _left(first, width), top, (end - first) * CELL)
        for column in kept:
            yield _bar("kept", _left(column, width) + 0.5, top, CELL - 1)


def _bar(kind: str, left: float, top: float, width: float) -> str:
    return f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{width:g}" height="{CELL:g}"/>'
