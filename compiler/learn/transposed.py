"""The transposed product, W^T d, on CSB as it lies: its widths and cycles."""

from __future__ import annotations

from ..abi.wire import sums_abreast
from ..array.design import Design
from ..array.latency import issue_delay

__all__ = [
    "COLUMN",
    "COLUMNS_APART",
    "JOINED",
    "PRODUCT",
    "back_cycles",
    "column_bits",
    "columns_cycles",
    "leaving_beats",
    "turns_of",
]

COLUMN = 2  # from a column to its sums: read, add
PRODUCT = 2  # from a word at a PE to products of a weight of it: choice, product
JOINED = 2  # from the last sums of each gate to their total: shift, add
BUFFER = 3  # from a beat at the output buffer to its room, if it is taken at once
COLUMNS_APART = 3  # cycles after which a column may follow: it is written in the third


def column_bits(design: Design) -> int:
    """Bits that name a column: its bank, above its place there."""
    return (design.lanes - 1).bit_length() + design.index_bits


def turns_of(design: Design) -> int:
    """Cycles from column to column, and beats of one."""
    return design.lanes // sums_abreast(design)


def leaving_cycles(design: Design) -> int:
    """Cycles from the issue of a column to the first beat of its sums at the output buffer."""
    return issue_delay(design) + PRODUCT + design.pes // design.abreast - 1 + COLUMN + JOINED


def leaving_beats(design: Design) -> int:
    """Beats of an output buffer that columns leave through without a pause."""
    return leaving_cycles(design) + turns_of(design) + BUFFER + 1


def back_cycles(design: Design, slots: int, groups: int, width: int) -> int:
    """Cycles in which the learner is busy with a product W^T d of N sequences.

    If what leaves is taken at once.

    Parameters
    ----------
    design : Design
    slots, groups : int
        Rows of a PE, CSB groups of a row.
    width : int
        Places of a bank that leave.
    """
    turns = turns_of(design)
    leaving = (design.lanes * width - 1) * turns + 1
    weights = slots * (1 + groups * design.lanes)
    return weights + COLUMNS_APART - 1 + leaving + leaving_cycles(design) + turns - 1 + BUFFER


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
