"""The bit stream of packed entries, a core's cache of them at a time.

Eight entries of b bits are b whole bytes: they are joined and split as machine words.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..geometry import Geometry
from ..words import LIMB, join_limbs, split_limbs
from .stored import flat, shaped

Limbs = npt.NDArray[np.uint64]

__all__ = ["join_entries", "split_entries"]

_BLOCK = 1 << 16  # entries, a multiple of 8
_FIELD = LIMB - 2  # bits of the widest field that is joined


def join_entries(
    geometry: Geometry, values: npt.NDArray[np.int32], indices: npt.NDArray[np.uint16]
) -> bytes:
    """Entries in order, each value then index, LSB first.

    Parameters
    ----------
    geometry : Geometry
    values, indices : int32 array, uint16 array (rows, nonzeros, banks)

    Returns
    -------
    bytes
        ``ceil(geometry.packed_bits / 8)`` of them; unused bits of the last are 0.
    """
    g, width = geometry, geometry.bits_per_nonzero
    stream = np.zeros(-(-g.slots // 8) * width + LIMB // 8, np.uint8)
    entries, places = flat(g, values), flat(g, indices)
    for part in _blocks(g.slots):
        words = np.zeros(-(-(part.stop - part.start) // 8) * 8, np.uint64)
        used = words[: part.stop - part.start]
        used[:] = entries[part].view(np.uint32)
        used &= np.uint64((1 << g.value_bits) - 1)
        used |= places[part].astype(np.uint64) << np.uint64(g.value_bits)
        _join(stream, part.start // 8 * width, words, width)
    return stream[: -(-g.packed_bits // 8)].tobytes()


def split_entries(
    geometry: Geometry, data: bytes | memoryview
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]:
    """Values and indices, each (rows, nonzeros, banks), of what :func:`join_entries` gives."""
    g, width = geometry, geometry.bits_per_nonzero
    values, indices = np.empty(g.slots, np.int32), np.empty(g.slots, np.uint16)
    sign = np.int32(1 << (g.value_bits - 1))
    stream = np.zeros(-(-g.slots // 8) * width + LIMB // 8, np.uint8)
    stream[: len(data)] = np.frombuffer(data, np.uint8)
    for part in _blocks(g.slots):
        words = _split(stream, part.start // 8 * width, part.stop - part.start, width)
        value = (words & np.uint64((1 << g.value_bits) - 1)).astype(np.int32)
        value ^= sign
        np.subtract(value, sign, out=values[part])
        indices[part] = words >> np.uint64(g.value_bits)
    return shaped(g, values), shaped(g, indices)


def _blocks(slots: int) -> Iterator[slice]:
    for at in range(0, slots, _BLOCK):
        yield slice(at, min(at + _BLOCK, slots))


def _windows(stream: npt.NDArray[np.uint8], at: int, rows: int, width: int) -> list[Limbs]:
    """Machine words of rows of ``width`` bytes; the last of a row reaches into the next."""
    return [
        np.ndarray((rows,), "<u8", stream, at + first, (width,))
        for first in range(0, width, LIMB // 8)
    ]


def _join(stream: npt.NDArray[np.uint8], at: int, words: Limbs, width: int) -> None:
    rows, bits = words.size // 8, width
    while 2 * bits <= _FIELD and bits < 8 * width:  # in pairs while a field has room
        words = words[::2] | words[1::2] << np.uint64(bits)
        bits *= 2
    count = 8 * width // bits
    limbs = join_limbs(words.reshape(rows, count), [bits] * count)
    if len(limbs) == 1:  # of which windows would write over one another
        raw = limbs[0].astype("<u8").view(np.uint8).reshape(rows, -1)
        stream[at : at + rows * width].reshape(rows, width)[:] = raw[:, :width]
        return
    # The last first: what it writes of the next row, zeros, is written over by that row's first.
    for place, limb in reversed(list(zip(_windows(stream, at, rows, width), limbs, strict=True))):
        place[:] = limb


def _split(stream: npt.NDArray[np.uint8], at: int, count: int, width: int) -> Limbs:
    rows, bits = -(-count // 8), width
    while 2 * bits <= _FIELD and bits < 8 * width:
        bits *= 2
    limbs = np.stack(_windows(stream, at, rows, width))
    words = split_limbs(limbs, [bits] * (8 * width // bits)).ravel()
    while bits > width:
        bits //= 2
        both = np.empty((words.size, 2), np.uint64)
        np.bitwise_and(words, np.uint64((1 << bits) - 1), out=both[:, 0])
        np.right_shift(words, np.uint64(bits), out=both[:, 1])
        words = both.ravel()
    return words[:count]
