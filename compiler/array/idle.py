"""PEs that are better left idle: where lanes would take the results of all of them for longer.

A slot takes the cycles of its rows, or those in which lanes take its results if these are more. Of
as many slots those with fewer results are then shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["fewest_cycles"]


def fewest_cycles(results: Iterable[int], cycles: Callable[[int], int]) -> int:
    """Results that a lane takes at the end of a slot such that a frame is shortest.

    Parameters
    ----------
    results : iterable of int
        What it may be, at least 1 each.
    cycles : callable
        What that takes.

    Returns
    -------
    int
        The largest of those that are equally good: the fewest slots.
    """
    return min(sorted(results, reverse=True), key=cycles)
