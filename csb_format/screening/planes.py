"""Weights in nested planes: sign and size in two bits, three more bits, then the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..fixed import IntArray

__all__ = [
    "CHUNK",
    "FIRST",
    "LEAST_BITS",
    "MOST_BITS",
    "MOST_FOLD",
    "SECOND",
    "Bytes",
    "Cells",
    "chunks",
    "pack_rows",
    "plane_bits",
    "unpack_rows",
    "widths_of",
]

Bytes = npt.NDArray[np.uint8]

#: Bits of a weight in the first two planes.
FIRST, SECOND = 2, 3
#: Bits of a row: what its first two planes take, and what kernels hold.
LEAST_BITS, MOST_BITS = FIRST + SECOND, 16
#: Beyond it the second plane's values would leave 8 bits.
MOST_FOLD = 2
CHUNK = 1 << 18  # weights at a time: what is between stays small


def chunks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows that are worked on at a time."""
    step = max(1, CHUNK // columns)
    return (slice(at, min(at + step, rows)) for at in range(0, rows, step))


def widths_of(weight: IntArray) -> tuple[IntArray, IntArray]:
    """How many bits hold each row without the zeros that all its weights end with, and these.

    Parameters
    ----------
    weight : int64 array (O, H)
        At most 16 bits each.

    Returns
    -------
    int64 arrays (O,), (O,)
        Widths, sign included, 5..16, and shifts, 0..11.
    """
    largest = np.maximum(weight.max(axis=1), ~weight.min(axis=1))  # what a sign and bits hold
    bits = np.maximum(_bit_length(largest) + 1, LEAST_BITS)
    joined = np.bitwise_or.reduce(weight, axis=1)
    zeros = np.where(joined == 0, MOST_BITS, _bit_length(joined & -joined) - 1)
    shifts = np.minimum(zeros, bits - LEAST_BITS)
    return bits - shifts, shifts


def _bit_length(value: IntArray) -> IntArray:
    return np.frexp(value.astype(np.float64))[1].astype(np.int64)


def plane_bits(bits: int) -> tuple[int, ...]:
    """Bits of a weight in each plane."""
    return tuple(b for b in (FIRST, SECOND, bits - FIRST - SECOND) if b)


@dataclass(frozen=True, eq=False)
class Cells:
    """How the digits of rows cut their numbers into cells.

    A row's weight is ``w * 2**shift``, w of ``width`` bits. Its size is w, or ``~w`` below 0. The
    first plane says the sign, and whether the size is at least ``T = 2**(width - 2 - fold)``: the
    larger ``fold``, the finer the cells that most weights lie in. The second cuts small sizes into
    eighths of T, large ones into eighths of all that ``width`` holds; without a fold both into
    eighths of T. The rest is what is left of the size.

    Parameters
    ----------
    width, shift, fold : int64 arrays (O,)
        5..16, 0..11, and 0..2 but at most ``width - 5``.
    """

    width: IntArray
    shift: IntArray
    fold: IntArray

    def of(self, part: slice | IntArray) -> Cells:
        """Those of some rows."""
        return Cells(self.width[part], self.shift[part], self.fold[part])

    @property
    def bits(self) -> int:
        """Bits of a weight that is stored in all its planes, 5..17."""
        return LEAST_BITS + int(self._rest_bits.max())

    @property
    def _rest_bits(self) -> IntArray:
        return self.width - LEAST_BITS + (self.fold > 0)

    def first(self, weight: IntArray) -> IntArray:
        """-3, -1, 1 or 3: sign and size of weights (O, H), to be scaled by the row."""
        _, large, below = self._sizes(weight)
        return np.asarray((1 + 2 * large) * np.where(below, -1, 1))

    def second(self, weight: IntArray) -> IntArray:
        """The middles of cells after the second plane, in units of ``2**unit``: 8 bits, signed."""
        size, large, below = self._sizes(weight)
        width, fold = self.width[:, None], self.fold[:, None]
        fine = 2 * (size >> (width - LEAST_BITS - fold)) + 1
        cell, step = size >> (width - 1 - SECOND), 4 << fold
        coarse = (np.maximum(cell * step, 2 << SECOND) + (cell + 1) * step) >> 1
        middle = np.where(large & (fold > 0), coarse, fine)
        return np.asarray(np.where(below, -middle, middle))

    @property
    def unit(self) -> IntArray:
        """Powers of two that :meth:`second` counts, in a weight's last bit; -1 at the least."""
        return self.width - LEAST_BITS - 1 - self.fold + self.shift

    def planes(self, weight: IntArray) -> list[Bytes]:
        """Digits of weights, each plane as :func:`pack_rows` has it."""
        found = [np.empty((len(weight), 0), np.uint8)] * len(plane_bits(self.bits))
        parts = [self.of(part)._fields(weight[part]) for part in chunks(*weight.shape)]
        for n, bits in enumerate(plane_bits(self.bits)):
            found[n] = pack_rows(np.concatenate([fields[n] for fields in parts]), bits)
        return found

    def _fields(self, weight: IntArray) -> list[IntArray]:
        size, large, below = self._sizes(weight)
        low = self._low_bits(large)
        first = (2 * below + (large ^ below)).astype(np.int64)
        return [first, (size >> low) & ((1 << SECOND) - 1), size & ((1 << low) - 1)]

    def weights(self, planes: list[Bytes], columns: int) -> IntArray:
        """What :meth:`planes` was given.

        Raises
        ------
        ValueError
            For digits that no weight has.
        """
        widths = plane_bits(self.bits)
        parts = [unpack_rows(p, b, columns) for p, b in zip(planes, widths, strict=True)]
        below = parts[0] >> 1 == 1
        large = (parts[0] & 1 == 1) ^ below
        low = self._low_bits(large)
        whole = large & (self.fold[:, None] == 0)
        rest = parts[2] if len(parts) > 2 else np.zeros_like(low)
        size = (parts[1] + (whole << SECOND) << low) + rest
        if (rest >> low).any() or (self._is_large(size) != large).any():
            raise ValueError("planes of the head hold digits that no weight has")
        return np.asarray(np.where(below, ~size, size) << self.shift[:, None])

    def _sizes(self, weight: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_], Any]:
        moved = weight >> self.shift[:, None]
        below = moved < 0
        size = np.where(below, ~moved, moved)
        return size, self._is_large(size), below

    def _is_large(self, size: IntArray) -> npt.NDArray[np.bool_]:
        return np.asarray(size >> (self.width - 2 - self.fold)[:, None] != 0)

    def _low_bits(self, large: npt.NDArray[np.bool_]) -> IntArray:
        """Bits of a size below its second digits."""
        fold = self.fold[:, None]
        width = self.width[:, None]
        return np.asarray(
            np.where(large & (fold > 0), width - 1 - SECOND, width - LEAST_BITS - fold)
        )


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
