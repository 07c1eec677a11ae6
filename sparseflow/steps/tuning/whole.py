"""Sizes that cost nothing more, told where a matrix leaves places of its banks empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.array.steps import whole_units

__all__ = ["whole_lines"]

STATE = "weight_hh"  # its columns are chosen by who trains; inputs are what the data has


def whole_lines(matrices: Iterable[tuple[str, int, int]]) -> Iterator[str]:
    """A line for every state whose size leaves room; sizes that are alike once.

    Parameters
    ----------
    matrices : iterable of (str, int, int)
        Name, columns and banks of every matrix.
    """
    for columns, banks in dict.fromkeys((c, b) for name, c, b in matrices if STATE in name):
        whole = whole_units(columns, banks)
        if whole > columns:
            yield (
                f"note: {columns} units in {banks} banks: up to {whole} take no more cycles on "
                f"arrays of N = {banks} (docs/behaviour.md)"
            )
