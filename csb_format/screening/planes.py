"""Weights in nested planes: two bits, two more, then the rest; each row from its leading bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..fixed import IntArray

__all__ = [
    "CHUNK",
    "FIRST",
    "LEAST_BITS",
    "MOST_BITS",
    "Bytes",
    "aligned",
    "chunks",
    "joined_planes",
    "middles",
    "pack_rows",
    "plane_bits",
    "planes_of",
    "row_widths",
    "stored_bits",
    "unpack_rows",
    "weights_of",
]

Bytes = npt.NDArray[np.uint8]

#: Bits of a weight in each of the first two planes.
FIRST = 2
#: Bits of a stored weight.
LEAST_BITS, MOST_BITS = 4, 16
CHUNK = 1 << 18  # weights at a time: what is between stays small


def chunks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows that are worked on at a time."""
    step = max(1, CHUNK // columns)
    return (slice(at, min(at + step, rows)) for at in range(0, rows, step))


def row_widths(weight: IntArray) -> IntArray:
    """The bits of each row, sign included, that hold all its weights.

    Parameters
    ----------
    weight : int64 array (O, H)
        At most 16 bits each.

    Returns
    -------
    int64 array (O,)
        4..16: narrower rows take 4.
    """
    largest = np.maximum(weight.max(axis=1), ~weight.min(axis=1))  # what a sign and bits hold
    bits = np.frexp(largest.astype(np.float64))[1] + 1
    found: IntArray = np.maximum(bits, LEAST_BITS).astype(np.int64)
    return found


def stored_bits(weight: IntArray, widths: IntArray) -> int:
    """Bits of a weight that hold every row from its leading bit to its last that is not 0."""
    joined = np.bitwise_or.reduce(weight, axis=1)
    last = np.where(joined == 0, MOST_BITS, np.frexp((joined & -joined).astype(np.float64))[1] - 1)
    return max(LEAST_BITS, int((widths - last).max()))


def aligned(weight: IntArray, widths: IntArray, bits: int) -> IntArray:
    """Rows moved so that each fills ``bits`` from the top; exact, or ``bits`` were too few."""
    move = (bits - widths)[:, None]
    return np.where(move >= 0, weight << np.maximum(move, 0), weight >> np.maximum(-move, 0))


def weights_of(moved: IntArray, widths: IntArray, bits: int) -> IntArray:
    """What :func:`aligned` was given."""
    move = (bits - widths)[:, None]
    return np.where(move >= 0, moved >> np.maximum(move, 0), moved << np.maximum(-move, 0))


def plane_bits(bits: int) -> tuple[int, ...]:
    """Bits of a weight in each plane."""
    return tuple(b for b in (FIRST, FIRST, bits - 2 * FIRST) if b)


def middles(weight: IntArray, widths: IntArray, bits: int) -> IntArray:
    """Twice the middle of what the first ``bits`` leave open, in units of their last: odd.

    Parameters
    ----------
    weight : int64 array (O, H)
    widths : int64 array (O,)
    bits : int
        2 or 4.

    Returns
    -------
    int64 array (O, H)
        A weight is within ``2**(width - bits - 1)`` of this times ``2**(width - bits - 1)``.
    """
    return np.asarray(2 * (weight >> (widths[:, None] - bits)) + 1)


def planes_of(moved: IntArray, bits: int) -> list[Bytes]:
    """Aligned weights as planes; see :func:`pack_rows`."""
    found, below = [], bits
    for width in plane_bits(bits):
        below -= width
        found.append(pack_rows((moved >> below) & ((1 << width) - 1), width))
    return found


def joined_planes(planes: list[Bytes], bits: int, columns: int) -> IntArray:
    """What :func:`planes_of` was given."""
    total = np.zeros((len(planes[0]), columns), np.int64)
    for width, plane in zip(plane_bits(bits), planes, strict=True):
        total = (total << width) | unpack_rows(plane, width, columns)
    half = 1 << (bits - 1)
    return (total ^ half) - half


def pack_rows(fields: IntArray, bits: int) -> Bytes:
    """Fields of a row without gaps, lowest bit first; every row begins a byte.

    Parameters
    ----------
    fields : int64 array (O, H)
        0 to ``2**bits - 1``.
    bits : int

    Returns
    -------
    uint8 array (O, ceil(bits * H / 8))
    """
    rows, columns = fields.shape
    found = np.empty((rows, -(-bits * columns // 8)), np.uint8)
    for part in chunks(rows, columns):
        single = (fields[part, :, None] >> np.arange(bits)) & 1
        flat = single.astype(np.uint8).reshape(single.shape[0], -1)
        found[part] = np.packbits(flat, axis=1, bitorder="little")
    return found


def unpack_rows(packed: Bytes, bits: int, columns: int) -> IntArray:
    """What :func:`pack_rows` was given.

    Raises
    ------
    ValueError
        If bits behind a row's last field are set.
    """
    found = np.empty((len(packed), columns), np.int64)
    weights = 1 << np.arange(bits)
    for part in chunks(*found.shape):
        flat = np.unpackbits(packed[part], axis=1, bitorder="little")
        if flat[:, bits * columns :].any():
            raise ValueError("a plane of the head has bits set behind the last weight of a row")
        found[part] = flat[:, : bits * columns].reshape(-1, columns, bits) @ weights
    return found
