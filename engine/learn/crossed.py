"""The generator of arrays, rows crossed with columns: docs/learning.md has the contract."""

from __future__ import annotations

import numpy as np

from csb_format.fixed import IntArray

from .integers import RANDOM, random_bits

__all__ = ["COLUMN_BITS", "column_bits", "crossed"]

COLUMN_BITS = 32
_WEYL, _TRIPLE, _ROUNDS = 0x9E3779B9, (13, -17, 5), 2


def crossed(start: int, shape: tuple[int, ...]) -> IntArray:
    """Dice of all numbers of a tensor.

    Those of a row are of SplitMix64, as the host makes them; those of a column of a Weyl sequence
    through two steps of xorshift32, as hardware makes them. Any two numbers of a tensor have dice
    that do not depend on each other.

    Parameters
    ----------
    start : int
        Of :func:`~engine.learn.integers.start_of`.
    shape : tuple of int
        Of a tensor: rows first; of a matrix (rows, nonzeros, banks), whose columns are counted bank
        by bank, or (rows, columns).

    Returns
    -------
    int64 array
        Of that shape, of ``RANDOM`` bits.
    """
    rows = random_bits(start, shape[0]).astype(np.int64)
    columns = column_bits(start >> COLUMN_BITS, int(np.prod(shape[1:], dtype=np.int64)))
    placed = columns.reshape(shape[1:][::-1]).T  # bank by bank
    return rows.reshape(-1, *[1] * placed.ndim) ^ placed


def column_bits(start: int, count: int) -> IntArray:
    """Dice of the first columns, int64 (count,), from 32 bits."""
    mask = (1 << COLUMN_BITS) - 1
    x = (start + np.arange(count, dtype=np.int64) * _WEYL) & mask
    for by in _TRIPLE * _ROUNDS:
        x ^= (x << by & mask) if by > 0 else x >> -by
    return x >> (COLUMN_BITS - RANDOM)
