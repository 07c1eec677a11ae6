"""What is predicted of a model on an array of a board, each figure with its basis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from boards.board import Board
from boards.cells.clocks import Clocks, features, kind_of
from boards.cells.learned import TARGETS, Learned, covered
from boards.cells.structure import estimate
from boards.cells.usage import RESOURCES
from boards.resources import Choice, choice, clock_of, fastest
from compiler.array.design import Design
from csb_format.model import Model

__all__ = ["predicted"]

STRUCTURE = "structure"


def predicted(
    model: Model,
    board: Board,
    learned: Learned,
    *,
    array: tuple[int, int] | None = None,
    contexts: int = 1,
    largest: int | None = None,
    megahertz: float | None = None,
) -> dict[str, Any]:
    """Cells, clock and time of a step.

    Parameters
    ----------
    model : Model
    board : Board
    learned : Learned
    array : (int, int), optional
        M and N; by default the array that ``build`` takes.
    contexts : int
    largest : int, optional
    megahertz : float, optional
        A clock to be met; by default that of ``fit`` and ``build``: the board's, or the fastest
        that its loop makes and designs have reached.

    Returns
    -------
    dict
        As ``sparseflow predict --json`` writes it.

    Raises
    ------
    BoardError, DesignError
        If no array of the board runs the model, or this one does not.
    """
    one = (
        choice(model, board, *array, contexts, largest)
        if array
        else fastest(model, board, contexts, largest)
    )
    wanted = megahertz or clock_of(board)
    clocks = _clocks(one.design, board, learned)
    speed = _speed(one, wanted, clocks)
    return {
        "board": board.name,
        "title": board.title,
        "part": board.part,
        "pes": one.design.pes,
        "lanes": one.design.lanes,
        "fits": one.fits,
        "cycles": one.cycles,
        "clock_mhz": wanted,
        "met": round(clocks.met(wanted), 4) if clocks else None,
        "figures": [
            *_cells(one.design, board, learned),
            _clock(board, clocks),
            *_build(one.design, board, learned),
        ],
        "microseconds": one.cycles / wanted,
        "speed": speed,
    }


def _clocks(design: Design, board: Board, learned: Learned) -> Clocks | None:
    """Of such devices, for this design."""
    if (found := learned.clock(board)) is None:
        return None
    luts = learned.likely(design, board).luts
    bits = design.value_bits, design.act_bits
    return found.of(features(luts, board.has.luts, (design.pes, design.lanes), bits))


def _cells(design: Design, board: Board, learned: Learned) -> Iterator[dict[str, Any]]:
    """A row of every kind of cell that the device has."""
    formula, found = estimate(design, board), learned.expected(design, board)
    names = {resource.count: resource for resource in RESOURCES}
    for name, count in formula.counts(board.has).items():
        one, resource = found.get(name), names[name]
        median = one.median if one else count
        yield {
            "name": resource.name,
            "predicted": median,
            "low": one.low if one else None,
            "high": one.high if one else None,
            "formula": count,
            "share": median / resource.of(board.has),
            "basis": f"{one.samples} counted designs"
            if one
            else _why(name, design, board, learned),
        }


def _why(name: str, design: Design, board: Board, learned: Learned) -> str:
    """Why a count is the structural one."""
    if name not in TARGETS:
        return STRUCTURE
    counts = learned.families.get(board.family.name, {})
    if not covered(design) or name in counts:  # or of another size than those
        return f"{STRUCTURE}; none like it counted"
    return f"{STRUCTURE}; counts taught no better" if counts else f"{STRUCTURE}; none counted"


def _clock(board: Board, clocks: Clocks | None) -> dict[str, Any]:
    low, high = (round(n, 1) for n in clocks.interval) if clocks else (None, None)
    basis = "a guess" if board.has.guessed else "reached by one design"
    if clocks:
        basis = f"{clocks.designs} routed designs on {kind_of(board)}"
    return {
        "name": "MHz",
        "predicted": round(clocks.median, 1) if clocks else board.has.megahertz,
        "low": low,
        "high": high,
        "formula": board.has.megahertz,
        "share": None,
        "basis": basis,
    }


def _build(design: Design, board: Board, learned: Learned) -> Iterator[dict[str, Any]]:
    """How long place and route will take; nothing where no build of the family is known."""
    if (times := learned.times.get(board.family.name)) is None:
        return
    median, low, high = (round(n / 60, 1) for n in times.of(learned.likely(design, board).luts))
    yield {
        "name": "build, min",
        "predicted": median,
        "low": low,
        "high": high,
        "formula": None,
        "share": None,
        "basis": f"a core; {times.designs} builds",
    }


def _speed(one: Choice, wanted: float, clocks: Clocks | None) -> str:
    text = f"{one.cycles:g} cycles a step, exact: {one.cycles / wanted:.2f} us at {wanted:g} MHz"
    if clocks is None:
        text += "; how likely that clock is met nobody has measured"
    else:
        text += f", which {_percent(clocks.met(wanted))} of designs reach"
    return text if one.fits else f"this array does not fit: {one.limit}; {text}"


def _percent(share: float) -> str:
    """No certainty from a distribution that few designs have made."""
    return "more than 99%" if share > 0.99 else "less than 1%" if share < 0.01 else f"{share:.0%}"
