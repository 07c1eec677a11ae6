"""Recurrent cells in integers."""

from __future__ import annotations

from .cell import Cell
from .gru import GruCell, ResetFirstGruCell
from .lstm import CellArithmetic

__all__ = ["CELLS", "LSTM", "cell_named"]

LSTM = CellArithmetic.name
#: All cells by their names.
CELLS: dict[str, type[Cell]] = {
    cell.name: cell for cell in (CellArithmetic, GruCell, ResetFirstGruCell)
}


def cell_named(name: str) -> type[Cell]:
    """A cell by its name.

    Raises
    ------
    ValueError
        For another name.
    """
    if name not in CELLS:
        raise ValueError(f"cell {name!r}: choose among {', '.join(map(repr, CELLS))}")
    return CELLS[name]
