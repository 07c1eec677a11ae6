"""Fields of a few bits joined to words of any width, and split again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .fixed import IntArray

__all__ = ["LIMB", "join_fields", "join_limbs", "split_fields", "split_limbs", "split_words"]

LIMB = 64  # bits of a machine word
Limbs = npt.NDArray[np.uint64]


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
    return _whole(join_limbs(fields, bits))


def join_limbs(fields: IntArray | Limbs, widths: Sequence[int]) -> Limbs:
    """Machine words of words joined from their fields, the first field lowest.

    Parameters
    ----------
    fields : int64 or uint64 array (..., F)
        Signed or unsigned; each is cut to its width.
    widths : F ints
        Bits of the fields, 1..62.

    Returns
    -------
    uint64 array (L, ...)
        ``L = ceil(sum(widths) / 64)``, the lowest first.
    """
    limbs = np.zeros((-(-sum(widths) // LIMB), *fields.shape[:-1]), np.uint64)
    place = 0
    for field, width in zip(np.moveaxis(fields, -1, 0), widths, strict=True):
        part = field.astype(np.uint64) & np.uint64((1 << width) - 1)
        limb, shift = divmod(place, LIMB)
        limbs[limb] |= part << np.uint64(shift)
        if shift + width > LIMB:  # the rest lies in the next machine word
            limbs[limb + 1] |= part >> np.uint64(LIMB - shift)
        place += width
    return limbs


def split_limbs(limbs: Limbs, widths: Sequence[int]) -> npt.NDArray[np.uint64]:
    """Fields, not negative, of what :func:`join_limbs` gives: uint64 array (..., F)."""
    fields = np.empty((*limbs.shape[1:], len(widths)), np.uint64)
    place = 0
    for number, width in enumerate(widths):
        limb, shift = divmod(place, LIMB)
        part = limbs[limb] >> np.uint64(shift)
        if shift + width > LIMB:
            part |= limbs[limb + 1] << np.uint64(LIMB - shift)
        fields[..., number] = part & np.uint64((1 << width) - 1)
        place += width
    return fields


def _whole(limbs: Limbs) -> npt.NDArray[np.object_]:
    """Python integers (...) of machine words (limbs, ...), the lowest first."""
    if len(limbs) == 1:
        return np.asarray(limbs[0].astype(object), object)
    data = np.moveaxis(limbs, 0, -1).astype("<u8").tobytes()
    size = 8 * len(limbs)
    words = np.empty(limbs[0].size, object)
    words[:] = [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]
    return np.asarray(words.reshape(limbs.shape[1:]), object)


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
    if parts == 1:
        return list(words)
    bits = -(-width // parts)
    return [word >> bits * n & ((1 << bits) - 1) for word in words for n in range(parts)]


def _signed(bits: npt.NDArray[np.uint8]) -> IntArray:
    """Two's complement value of bits (W, b), lowest first."""
    weights = np.left_shift(1, np.arange(bits.shape[1], dtype=np.int64))
    weights[-1] = -weights[-1]
    return np.asarray(bits.astype(np.int64) @ weights, np.int64)
