"""The transposed product, W^T d, on CSB as it lies: its model, widths and cycles."""

from __future__ import annotations

import numpy as np

from csb_format.csb import Csb
from csb_format.fixed import IntArray

from ..array.design import Design

__all__ = [
    "COLUMN",
    "COLUMNS_APART",
    "SCATTER",
    "column_bits",
    "columns_cycles",
    "scattered",
    "sum_bits",
    "transposed_cycles",
]

SCATTER = 2  # from a place to its sum: read, add
COLUMN = 2  # from a column to its sums, alike
COLUMNS_APART = 3  # cycles after which a column may follow: it is written in the third


def sum_bits(design: Design, bits: int, rows: int) -> int:
    """Bits of the sum of a column.

    Parameters
    ----------
    design : Design
    bits : int
        Of gradients, whose range is symmetric.
    rows : int
        Most weights of a column.
    """
    return design.value_bits + bits - 1 + max(1, rows - 1).bit_length()


def scattered(matrix: Csb, gradients: IntArray, rows: IntArray) -> IntArray:
    """Sums of columns over some rows: (N, places of a bank).

    Parameters
    ----------
    matrix : Csb
        With as many banks as the array has lanes.
    gradients : int64 array (rows,)
        Of all rows.
    rows : int64 array
        Rows of a PE, in the order of its slots; -1 is none.
    """
    geometry = matrix.geometry
    found = np.zeros((geometry.banks, geometry.bank_width), np.int64)
    lanes = np.broadcast_to(np.arange(geometry.banks), (geometry.nonzeros, geometry.banks))
    for row in rows[rows >= 0]:
        places, values = matrix.indices[row].astype(np.int64), matrix.values[row].astype(np.int64)
        np.add.at(found, (lanes, places), values * gradients[row])
    return found


def transposed_cycles(groups: int, places: int, pes: int) -> int:
    """Cycles from the first group to the last sum of all PEs.

    Groups as in the forward pass, a cycle until the last is written; then places leave one a cycle
    from the first PE, and each PE after it adds its own a cycle later.
    """
    return groups + 1 + (places - 1) + (pes - 1) + SCATTER


def column_bits(design: Design) -> int:
    """Bits that name a column: its bank, above its place there."""
    return (design.lanes - 1).bit_length() + design.index_bits


def columns_cycles(design: Design, groups: int, pes: int) -> int:
    """Cycles for N sequences from the first weight to the last sum of all PEs.

    Parameters
    ----------
    design : Design
    groups : int
        Of a PE.
    pes : int
    """
    leaving = (1 << column_bits(design)) - 1 + pes - 1 + COLUMN
    return groups * design.lanes + COLUMNS_APART - 1 + leaving
