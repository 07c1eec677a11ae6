"""Recurrent cells in integers."""

from __future__ import annotations

from .cell import Cell
from .gru import GruCell, ResetFirstGruCell
from .lstm import CellArithmetic

__all__ = ["ARRAY_CELLS", "CELLS", "LSTM", "cell_named", "why_not_run"]

LSTM = CellArithmetic.name
#: All cells by their names.
CELLS: dict[str, type[Cell]] = {
    cell.name: cell for cell in (CellArithmetic, GruCell, ResetFirstGruCell)
}
#: Names of those that arrays and the compiled loops run.
ARRAY_CELLS = tuple(name for name, cell in CELLS.items() if cell.runs)


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


def why_not_run(name: str, who: str) -> str | None:
    """Why somebody (``"arrays"``) does not run a cell that the reference alone runs, or None."""
    cell = cell_named(name)
    if cell.runs:
        return None
    return (
        f"{who} do not run {cell.title} (cell {name!r}): only the integer model does; train with "
        "linear_before_reset of 1, as torch.nn.GRU computes"
    )
