"""What a run is held against: the same array with a dense network, and the boards it is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boards.board import Board, BoardError, board, board_names
from boards.resources import Choice, choice
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from csb_format.model import Model
from csb_format.scales import DesignError
from csb_format.shape import LstmShape, ModelShape

__all__ = ["dense_cycles", "on_boards", "shown"]


def dense_cycles(model: Model, design: Design) -> float | None:
    """Cycles of a step of the same network with every weight kept, on an array of this size.

    Multipliers, lanes and formats are the same; its memories hold all the weights.

    Returns
    -------
    float or None
        None where no array of this size carries the dense network, and with a screen unit, whose
        cycles depend on what the network says.
    """
    if design.screen:
        return None
    try:
        dense = _kept_whole(model.shape)
        head = design.linear > 0
        array = design_for(dense, design.pes, design.lanes, head=head)
        return step_cycles(schedule(dense, array, head=head))
    except DesignError:
        return None


def _kept_whole(shape: ModelShape) -> ModelShape:
    """The shape with nothing removed."""
    return replace(shape, layers=tuple(map(_whole, shape.layers)))


def _whole(layer: LstmShape) -> LstmShape:
    """A layer of that shape with every weight."""
    given = layer.geometries
    kept: dict[str, Any] = {
        n: replace(g, nonzeros=g.bank_width, parts=()) for n, g in given.items()
    }
    return replace(layer, **kept)


def on_boards(model: Model, design: Design, chosen: str | Path | None) -> list[dict[str, Any]]:
    """The same array on every board, estimated before any synthesis.

    Parameters
    ----------
    model : Model
    design : Design
        Of which M, N, the contexts, the screen unit and what runs of the head count.
    chosen : str or path, optional
        Board that the user means: it comes first, and an error is one.

    Returns
    -------
    list of dict
        ``board, title, part, fits, limit, cycles, megahertz, microseconds, guessed, chosen``,
        those that fit first, then by time; boards that no array of this size is made for are
        left out.

    Raises
    ------
    BoardError, DesignError
        If the chosen board is not known or holds no such array.
    """
    mine = None if chosen is None else board(chosen)
    found = [] if mine is None else [_row(mine, _like(model, design, mine), True)]
    for name in board_names():
        if mine is not None and mine.name == name:
            continue
        other = board(name)
        try:
            found.append(_row(other, _like(model, design, other), False))
        except (BoardError, DesignError):
            continue
    return sorted(found, key=lambda row: (not row["chosen"], not row["fits"], row["microseconds"]))


def _like(model: Model, design: Design, on: Board) -> Choice:
    """The board's array of the same size."""
    size = design.pes, design.lanes, design.contexts, design.screen.top if design.screen else 0
    return choice(model, on, *size, head=design.linear > 0, dense=design.indexed > 0)


def _row(board: Board, choice: Choice, chosen: bool) -> dict[str, Any]:
    return {
        "board": board.name,
        "title": board.title,
        "part": board.part,
        "fits": choice.fits,
        "limit": choice.limit,
        "cycles": choice.cycles,
        "megahertz": choice.megahertz,
        "microseconds": choice.microseconds,
        "guessed": bool(board.has.guessed),
        "chosen": chosen,
    }


def shown(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The board whose microseconds stand first: the chosen one, else the fastest that fits.

    A clock that was measured on other designs goes before one that is a guess.
    """
    fitting = [row for row in rows if row["chosen"]] or [row for row in rows if row["fits"]]
    return min(fitting, key=lambda row: (row["guessed"], row["microseconds"]), default=None)
