"""A clock that place and route reaches: the board's, or a slower one that its loop makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..board import Board, reachable
from ..tools.errors import BitstreamError
from .attempts import Attempt, folder_of
from .open_tools import REPORT, log_of

__all__ = ["check_met", "settle"]

Routed = tuple[Attempt, tuple[Attempt, ...]]
# Of what the last clock reached, for the next: another clock is another netlist, so another place
# for everything, and often slower by some per cent. The last one is to be met.
SHARES = (0.95, 0.85)


def settle(
    board: Board,
    work: Path,
    route: Callable[[Board], Routed],
    tell: Callable[[str], None] | None,
) -> tuple[Board, Attempt, tuple[Attempt, ...]]:
    """Route at the board's clock, and where it is missed again at one that was reached.

    Parameters
    ----------
    board : Board
    work : Path
        Log and report of a clock that was missed come into ``attempts`` in it.
    route : callable
        Builds for a board up to the routed design; gives what :func:`.attempts.best_of` gives.
    tell : callable, optional
        Told why it is done again; None keeps the clock, missed or not.

    Returns
    -------
    tuple
        The board at the clock that was taken, its run of place and route, and all runs.
    """
    every: tuple[Attempt, ...] = ()
    for share in (*SHARES, None):
        clock = board.clock_hz / 1e6
        best, attempts = route(board)
        best = replace(best, clock_mhz=clock)
        every += tuple(replace(one, clock_mhz=clock) for one in attempts)
        reached = best.fmax_mhz or 0.0
        slower = reachable(board, reached * share) if share else None
        if tell is None or reached >= clock or slower is None:
            break
        _put_aside(board, work, best)
        tell(f"{clock:g} MHz missed, {reached:g} MHz reached: again for {slower:g} MHz")
        board = replace(board, clock_hz=slower * 1_000_000)
    return board, best, every


def _put_aside(board: Board, work: Path, best: Attempt) -> None:
    """Names of runs at the next clock are the same."""
    mine = folder_of(work, best)
    mine.mkdir(parents=True)
    for name in (REPORT, log_of(board)):
        (work / name).rename(mine / name)
    for folder in list(mine.parent.glob("seed*")):
        folder.rename(folder.with_name(f"{best.clock_mhz:g}MHz-{folder.name}"))


def check_met(board: Board, reached: float) -> None:
    """Refuse a design that is slower than its clock.

    Parameters
    ----------
    board : Board
    reached : float
        MHz, by place and route.

    Raises
    ------
    BitstreamError
        With the fastest clock that would do.
    """
    clock = board.clock_hz / 1e6
    if reached < clock:
        slower = reachable(board, reached)
        raise BitstreamError(
            f"the design misses its clock: {reached:g} MHz reached, {clock:g} "
            f"MHz asked for. Take {f'--clock {slower:g}' if slower else 'a lower --clock'}, "
            "more --seeds, or fewer --pes or --lanes"
        )
