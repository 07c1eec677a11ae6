"""Which modules of torch have integers for the accelerator, and of which cell."""

from __future__ import annotations

from torch import nn

from csb_format.cells import cell_named
from csb_format.cells.cell import Cell

__all__ = ["CELL_OF", "RECURRENT", "Recurrent", "cell_of"]

Recurrent = nn.LSTM | nn.GRU
#: Torch's modules, and the names of their cells.
CELL_OF: dict[type[nn.LSTM] | type[nn.GRU], str] = {nn.LSTM: "lstm", nn.GRU: "gru"}
RECURRENT = (nn.LSTM, nn.GRU)


def cell_of(recurrent: nn.Module) -> type[Cell]:
    """The cell in integers of a module of torch."""
    return cell_named(next(n for kind, n in CELL_OF.items() if isinstance(recurrent, kind)))
