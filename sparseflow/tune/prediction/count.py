"""One design counted, as a job: synthesised and packed for a board, not placed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["CALL", "LIMIT", "VERSION", "count"]

CALL = f"{__name__}:count"
LIMIT = 3600.0  # seconds of each tool
VERSION = "2"
"""Of the hardware that is counted: one more when its cells change, so that all is counted anew."""


def count(arguments: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Cells that a board's top takes after packing, the link included.

    Parameters
    ----------
    arguments : dict
        ``board``; ``network``, knobs of a :class:`~sparseflow.tune.network.Network`; ``pes`` and
        ``lanes``; ``seed`` of the weights.
    inputs : mapping
        None.
    folder : Path
        Empty.

    Returns
    -------
    dict
        Counts, by the names of :data:`boards.cells.usage.RESOURCES`.
    """
    from boards.board import board
    from boards.build.open_tools import make_netlist, pack_cells
    from boards.build.top_verilog import emit_board
    from compiler.array.needs import design_for
    from compiler.lower.compile import compile_model

    from .draw import Drawn

    b, drawn = board(arguments["board"]), Drawn.of(arguments)
    model = drawn.model
    design = design_for(model, drawn.pes, drawn.lanes, **b.options)
    files = emit_board(b, design, compile_model(model, design), folder / "verilog")
    make_netlist(b, design, files, folder, LIMIT)
    return dict(pack_cells(b, folder, LIMIT))
