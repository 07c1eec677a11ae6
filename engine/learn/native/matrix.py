"""A matrix as the kernels read it, and arrays that begin with a cache line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.model import LayerMatrix

from ..tape import Gradient
from .structures import MatrixStruct

__all__ = ["Array", "Matrix", "address", "aligned"]

Array = npt.NDArray[Any]
_LINE = 64  # bytes of a cache's line


def aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> Array:
    """An array without values that begins with a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + _LINE, np.uint8)
    start = -room.ctypes.data % _LINE
    return room[start : start + size].view(dtype).reshape(shape)


def address(array: Array | None) -> int | None:
    """Where an array lies, for the library."""
    return None if array is None else array.ctypes.data


class Matrix:
    """A matrix as the kernels read it."""

    def __init__(self, of: LayerMatrix, left: Sequence[int]):
        csb, g = of.matrix, of.matrix.geometry
        self.csb, self.stored = csb, g.nonzeros * g.banks
        self.entries = self.stored + self.stored % 2
        real = csb.column_indices < g.columns
        first = np.minimum(np.arange(g.banks) * g.bank_width, g.columns - 1)
        self.columns = self._padded(np.where(real, csb.column_indices, first), np.uint32)
        self.real = real
        finest = max(fixed.frac for fixed in of.formats)
        self.left = np.array(left, np.int32)
        self.back = np.array([finest - fixed.frac for fixed in of.formats], np.int32)
        self.finest, self.width = finest, of.formats[0].width
        self.values = np.zeros((g.rows, self.entries), np.int32)
        self.shifted: Array | None = None
        self.turned: Array | None = None
        self.most = self._by_columns(real)
        self.sums = np.zeros((g.rows, self.entries), np.int64)

    def _padded(self, entries: Array, dtype: type[np.generic]) -> Array:
        found = np.zeros((self.csb.geometry.rows, self.entries), dtype)
        found[:, : self.stored] = entries.reshape(len(entries), -1)
        return found

    def _by_columns(self, real: Array) -> int:
        """List the entries of every column, of an even number; the most of a column."""
        g = self.csb.geometry
        row, place = np.nonzero(real.reshape(g.rows, -1))
        column = self.columns[row, place]
        counts = np.bincount(column, minlength=g.columns)
        self.starts = np.concatenate([[0], np.cumsum(counts + counts % 2)]).astype(np.uint32)
        order = np.argsort(column, kind="stable")
        offset = (
            np.arange(len(order)) - np.concatenate([[0], np.cumsum(counts)[:-1]])[column[order]]
        )
        at = self.starts[:-1][column[order]] + offset
        self.rows_of = np.zeros(int(self.starts[-1]), np.uint32)
        self.rows_of[at] = row[order]
        # what fills a column up takes an entry beyond the last, which is 0
        self.order = np.full(len(self.rows_of), g.rows * self.entries, np.int64)
        self.order[at] = row[order] * self.entries + place[order]
        return int(counts.max(initial=1))

    def forward_bits(self, vector_bits: int) -> int:
        """Bits of the largest sum of a row."""
        product = self.width - 1 + int(self.left.max()) + vector_bits - 1
        return product + max(1, self.stored).bit_length()

    def back_bits(self, gradient_bits: int) -> int:
        """Bits of the largest sum of a column."""
        product = self.width - 1 + int(self.back.max()) + gradient_bits - 1
        return product + self.most.bit_length()

    def take(self, values: Array, narrow: bool) -> None:
        """Weights of now, (rows, nonzeros, banks)."""
        rows, parts = len(self.values), len(self.left)
        self.values[:, : self.stored] = values.reshape(rows, -1)
        if narrow:
            self.shifted = self._lifted(self.left, rows // parts)
        if self.width + int(self.back.max()) <= 16:
            flat = self._lifted(self.back, rows // len(self.back)).ravel()
            self.turned = np.append(flat, np.int16(0))[self.order]

    def _lifted(self, lefts: Array, rows: int) -> Array:
        if not lefts.any():
            return self.values.astype(np.int16)
        moved: Array = self.values << np.repeat(lefts, rows)[:, None]
        return moved.astype(np.int16)

    def struct(self, wide: bool) -> MatrixStruct:
        """For a call; sums begin at 0."""
        g, back = self.csb.geometry, self.back if len(self.back) > 1 else None
        self.sums[:] = 0
        numbers = (g.rows, self.stored, self.entries, g.banks, g.bank_width, g.columns, wide)
        arrays = (self.values, self.shifted, self.columns, self.starts, self.rows_of)
        return MatrixStruct(
            *numbers, *map(address, (*arrays, self.turned, self.left, back, self.sums))
        )

    def gradient(self, exponent: int) -> Gradient:
        """What the call has summed; padding has no meaning."""
        shape = self.csb.values.shape
        sums = self.sums[:, : self.stored].reshape(shape)
        return Gradient(sums.copy(), exponent)
