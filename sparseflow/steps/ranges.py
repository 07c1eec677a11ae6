"""Ranges of pre-activations and cell states, layer by layer: as asked for, and in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from csb_format.precision import Precision

from ..pages import figures

if TYPE_CHECKING:
    from csb_format import Model
    from csb_format.cells.cell import Cell

__all__ = ["cell_ranges", "in_words", "of_model", "range_lines"]

_KINDS = {"pre": "pre-activations", "cell": "cell states"}


def cell_ranges(text: str | None) -> tuple[int, ...]:
    """Ranges of ``--cell-range``: one, or one of each layer; none where nothing is given.

    Raises
    ------
    ValueError
        Naming the text and the mend.
    """
    if text is None:
        return ()
    words = [word.strip() for word in text.split(",")]
    known = {str(reach): reach for reach in Precision.reaches}
    if not set(words) <= set(known):
        raise ValueError(
            f"--cell-range {text!r}: write one of {', '.join(known)}, or one for each layer with "
            "commas between them, for example 16,64"
        )
    return tuple(known[word] for word in words)


def in_words(cells: Mapping[str, Cell]) -> str:
    """Ranges and formats of layers by their names, which are said where there are several."""
    names = dict[str, list[str]]()
    for name, cell in cells.items():
        names.setdefault(f"[-{cell.reach}, {cell.reach}) in {cell.state}", []).append(name)
    several = len(names) > 1
    return "; ".join(f"{', '.join(of)} {kind}" if several else kind for kind, of in names.items())


def range_lines(states: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line of each layer: its range, and what of its states is clipped where that was counted.

    Parameters
    ----------
    states : iterable of mapping
        As :func:`sparseflow.pages.figures.states` gives them.
    """
    return [
        f"{row['layer']}: states in [-{row['reach']}, {row['reach']}) in {row['format']}"
        + _clipped(row)
        for row in states
    ]


def _clipped(row: Mapping[str, Any]) -> str:
    found = [(what, row[kind]) for kind, what in _KINDS.items() if kind in row]
    lost = [
        f"{one['clipped']} of {one['seen']} {what} ({one['clipped'] / one['seen']:.2%})"
        for what, one in found
        if one["clipped"]
    ]
    if lost:
        return f", saturated: {', '.join(lost)}"
    return ", nothing saturated" if found else ""


def of_model(model: Model) -> list[str]:
    """Lines of a packed model, with what ``pack`` has counted and noted in it."""
    try:
        noted = json.loads(model.provenance.get("saturation", "{}"))
    except (ValueError, RecursionError):  # a note of someone else
        noted = {}
    counted = noted if isinstance(noted, dict) else {}
    return range_lines(figures.states(figures.reaches(model), counted))
