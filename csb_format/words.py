"""Fields of a few bits joined to words of any width, and split again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .fixed import IntArray

__all__ = ["join_fields", "split_fields", "split_words"]


def join_fields(fields: IntArray, widths: int | Sequence[int]) -> npt.NDArray[np.object_]:
    """Words from their fields, the first field lowest.

    Parameters
    ----------
    fields : int64 array (..., F)
        Signed or unsigned; each is cut to its width.
    widths : int or F ints
        Bits of the fields, 1..62.

    Returns
    -------
    object array (...)
        Python integers, not negative.
    """
    count = fields.shape[-1]
    bits = [widths] * count if isinstance(widths, int) else list(widths)
    masks = np.array([(1 << b) - 1 for b in bits], np.int64)
    parts = np.moveaxis((fields.astype(np.int64) & masks).astype(object), -1, 0)
    places = np.cumsum([0, *bits[:-1]])
    words = np.zeros(fields.shape[:-1], object)
    for part, place in zip(parts, places, strict=True):
        words = words + (part << int(place))
    return np.asarray(words, object)


def split_fields(words: Sequence[int], widths: Sequence[int]) -> IntArray:
    """Signed fields of words, the lowest field first.

    Parameters
    ----------
    words : sequence of int
        W words, each not negative and below ``2**sum(widths)``.
    widths : F ints
        Bits of the fields, 1..62. A field of one bit is 0 or -1.

    Returns
    -------
    int64 array (W, F)
    """
    size = -(-sum(widths) // 8)
    data = b"".join(int(word).to_bytes(size, "little") for word in words)
    rows = np.frombuffer(data, np.uint8).reshape(len(words), size)
    bits = np.unpackbits(rows, axis=1, bitorder="little")
    places = np.cumsum([0, *widths])
    return np.stack([_signed(bits[:, a:b]) for a, b in pairwise(places)], axis=-1)


def split_words(words: Sequence[int], width: int, parts: int) -> list[int]:
    """Every word as ``parts`` narrower ones of ``ceil(width / parts)`` bits, the lowest first."""
    bits = -(-width // parts)
    return [word >> bits * n & ((1 << bits) - 1) for word in words for n in range(parts)]


def _signed(bits: npt.NDArray[np.uint8]) -> IntArray:
    """Two's complement value of bits (W, b), lowest first."""
    weights = np.left_shift(1, np.arange(bits.shape[1], dtype=np.int64))
    weights[-1] = -weights[-1]
    return np.asarray(bits.astype(np.int64) @ weights, np.int64)
