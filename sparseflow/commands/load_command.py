"""``sparseflow load``: from the folder of a build into the board."""

from __future__ import annotations

import typer

from ..steps.options import LoadOptions
from .derived import derived

__all__ = ["load"]


@derived(LoadOptions)
def load(given: LoadOptions) -> None:
    """Load the bitstream of a build into its board, with openFPGALoader.

    **In:** the folder that `build` made for this board. **Out:** nothing; it says which serial
    port is the board's. The bitstream is there until power goes; an iCEBreaker keeps it.

    **Next:** `sf.open("serial:PORT", FOLDER)` in Python, or `sparseflow job MODEL FOLDER`
    """
    from boards.board import board as named
    from boards.load.loader import load_bitstream
    from boards.load.ports import ports_of, told

    from .activity import activities

    board = named(given.board)
    with activities("load") as (tell, note):
        tell("loading")
        made = load_bitstream(board, given.folder, given.loader, note=note)
    typer.echo(f"loaded {made.path} into {board.title}")
    if made.late:
        typer.echo(
            f"note: it misses its clock, {made.fmax_mhz:g} MHz reached of {made.clock_mhz:g} MHz: "
            "what it answers may be wrong; build it with a lower --clock",
            err=True,
        )
    if board.adapter is not None:
        for line in told(board.adapter, ports_of(board.adapter), given.folder):
            typer.echo(line)
