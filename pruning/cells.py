"""Which modules of torch have integers for the accelerator, and of which cell."""

from __future__ import annotations

from torch import nn

from csb_format.cells import cell_named
from csb_format.cells.cell import Cell

from .reset_first import ResetFirstGRU

__all__ = ["CELL_OF", "RECURRENT", "Recurrent", "cell_of", "module_of_cell"]

Recurrent = nn.LSTM | nn.GRU
#: Modules, and the names of their cells; one before those that it is made of.
CELL_OF: dict[type[nn.LSTM] | type[nn.GRU], str] = {
    nn.LSTM: "lstm",
    ResetFirstGRU: "gru0",
    nn.GRU: "gru",
}
RECURRENT = (nn.LSTM, nn.GRU)


def cell_of(recurrent: nn.Module) -> type[Cell]:
    """The cell in integers of a module of torch."""
    return cell_named(next(n for kind, n in CELL_OF.items() if isinstance(recurrent, kind)))


def module_of_cell(name: str) -> type[nn.LSTM] | type[nn.GRU]:
    """The module that computes a cell of this name in real numbers."""
    return next(kind for kind, cell in CELL_OF.items() if cell == name)
