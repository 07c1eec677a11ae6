"""Dice of the columns, as the learner's generator makes them; docs/learning.md has the contract."""

from __future__ import annotations

import numpy as np

from csb_format.fixed import IntArray

from ..array.design import DICE_BITS

__all__ = ["STATE_BITS", "TRIPLE", "WEYL", "columns"]

STATE_BITS = 32
WEYL = 0x9E3779B9  # 2**32 divided by the golden ratio, odd
TRIPLE = (13, -17, 5)  # of xorshift32 (Marsaglia 2003); negative: to the right
ROUNDS = 2


def columns(start: int, count: int) -> IntArray:
    """Dice of the first columns of a row.

    A Weyl sequence through two rounds of xorshift32, which is a linear feedback shift register's
    step of 32 bits at once; the upper bits count.

    Parameters
    ----------
    start : int
        32 bits.
    count : int

    Returns
    -------
    int64 array (count,)
        Of ``DICE_BITS``.
    """
    mask = (1 << STATE_BITS) - 1
    x = (start + np.arange(count, dtype=np.int64) * WEYL) & mask
    for by in TRIPLE * ROUNDS:
        x ^= (x << by & mask) if by > 0 else x >> -by
    return x >> (STATE_BITS - DICE_BITS)
