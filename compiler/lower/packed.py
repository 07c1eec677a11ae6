"""Words of a stream in which weights without indices lie where indices would be.

A word has room for a weight and an index of each lane. Where a row has no indices, ``c`` words side
by side bring ``c + 1`` groups: the first c in the places of values, the last in those of indices,
``c = ceil(value_bits / index_bits)``. So a weight takes ``c / (c + 1)`` of a word's bits: 16.8 of
21 with indices of 5 bits, 16 of 20 with 4.

Weights of few bits (``Design.row_bits``) lie side by side instead, as many as a word has room for,
of a memory as of a stream: :func:`row_words`.
"""

from __future__ import annotations

import numpy as np

from csb_format.fixed import IntArray
from csb_format.words import join_fields

from ..array.design import Design

__all__ = ["packed_count", "packed_words", "row_words"]


def packed_count(groups: int, design: Design) -> int:
    """Words of so many groups: a last one that lacks words of its own has one."""
    c = design.packed_words
    whole, rest = divmod(groups, c + 1)
    return whole * c + min(rest, c)


def packed_words(values: IntArray, design: Design) -> np.ndarray:
    """Words of a pass, object array (words, M).

    Parameters
    ----------
    values : int64 array (groups, M, N)
        Weights of each group and PE, lane by lane, in the order in which they are issued.
    design : Design
        Of a streamed array with ``indexed``.

    Returns
    -------
    object array (words, M)
        ``join(value, index of lane 0, value, ...)``, where the indices of the c words of a cycle
        hold the weights of the group behind them, lowest bits first, and zeros above.
    """
    groups, pes, lanes = values.shape
    c, bits, width = design.packed_words, design.index_bits, design.value_bits
    padded = np.concatenate([values, np.zeros((-groups % (c + 1), pes, lanes), np.int64)])
    cycles = padded.reshape(-1, c + 1, pes, lanes)
    more = cycles[:, c] & ((1 << width) - 1)
    parts = np.stack([more >> bits * n & ((1 << bits) - 1) for n in range(c)], axis=1)
    entries = np.stack([cycles[:, :c], parts], axis=-1).reshape(-1, pes, 2 * lanes)
    words = join_fields(entries, [width, bits] * lanes)
    return np.asarray(words[: packed_count(groups, design)])


def row_words(values: IntArray, design: Design) -> np.ndarray:
    """Words of a pass whose weights have ``row_bits`` each, object array (words, M).

    Parameters
    ----------
    values : int64 array (groups, M, N)
        Weights of each group and PE, lane by lane, in the order in which they are issued.
    design : Design
        With ``row_bits``.

    Returns
    -------
    object array (words, M)
        Of each lane, in the bits of its entry, the weights of ``groups_per_word`` groups, that of
        the first lowest, zeros above and where there is no group more. An entry of a memory is a
        value's bits, one of a stream those of a value and an index.
    """
    groups, pes, lanes = values.shape
    p, bits = design.groups_per_word, design.row_bits
    padded = np.zeros((-(-groups // p) * p, pes, lanes), np.int64)
    padded[:groups] = values & ((1 << bits) - 1)
    beside = padded.reshape(-1, p, pes, lanes) << bits * np.arange(p)[:, None, None]
    width = design.entry_bits if design.streamed else design.value_bits
    return np.asarray(join_fields(beside.sum(axis=1), width))
