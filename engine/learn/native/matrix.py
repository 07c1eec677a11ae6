"""A matrix as the kernels read it, and arrays that begin with a cache line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.model import LayerMatrix, LstmLayer
from csb_format.scales import Scales

from ..tape import Gradient
from .structures import MatrixStruct

__all__ = ["Array", "Matrix", "address", "aligned", "matrices_of"]

Array = npt.NDArray[Any]
_LINE = 64  # bytes of a cache's line
_WORD, _HALF = 16, 8  # bits


def aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> Array:
    """An array without values that begins with a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + _LINE, np.uint8)
    start = -room.ctypes.data % _LINE
    return room[start : start + size].view(dtype).reshape(shape)


def address(array: Array | None) -> int | None:
    """Where an array lies, for the library."""
    return None if array is None else array.ctypes.data


def _halves(values: Array) -> Array:
    """Numbers of a word as 256 times one and another: int16 (2, ...)."""
    high = (values.astype(np.int32) + (1 << (_HALF - 1))) >> _HALF
    return np.stack([high, values - (high << _HALF)]).astype(np.int16)


class Matrix:
    """Rows of a matrix as the kernels read them.

    Parameters
    ----------
    of : LayerMatrix
    left : sequence of int
        Shifts forward, of each equal part of the matrix.
    gates : slice
        Parts that are taken; by default all.
    adds : bool
        Whether its sums back are added to those of another matrix.
    """

    def __init__(
        self,
        of: LayerMatrix,
        left: Sequence[int],
        gates: slice = slice(None),
        adds: bool = False,
    ):
        self.of, self.adds = of.matrix, adds
        g = self.of.geometry
        part = g.rows // len(left)
        first, end, _ = gates.indices(len(left))
        self.taken, self.rows = slice(first * part, end * part), (end - first) * part
        self.stored = g.nonzeros * g.banks
        self.entries = self.stored + self.stored % 2
        columns = self.of.column_indices[self.taken]
        real = columns < g.columns
        begin = np.minimum(np.arange(g.banks) * g.bank_width, g.columns - 1)
        self.columns = self._padded(np.where(real, columns, begin), np.uint32)
        self.finest = max(fixed.frac for fixed in of.formats)
        self.width = of.formats[0].width
        self.left = np.array(left[gates], np.int32)
        self.back = np.array([self.finest - fixed.frac for fixed in of.formats[gates]], np.int32)
        self.values = np.zeros((self.rows, self.entries), np.int32)
        self.shifted: Array | None = None
        self.halves: Array | None = None
        self.turned: Array | None = None
        self.most = self._by_columns(real)
        self.sums = np.zeros((self.rows, self.entries), np.int64)

    def _padded(self, entries: Array, dtype: type[np.generic]) -> Array:
        found = np.zeros((self.rows, self.entries), dtype)
        found[:, : self.stored] = entries.reshape(len(entries), -1)
        return found

    def _by_columns(self, real: Array) -> int:
        """List the entries of every column, of an even number; the most of a column."""
        columns = self.of.geometry.columns
        row, place = np.nonzero(real.reshape(self.rows, -1))
        column = self.columns[row, place]
        counts = np.bincount(column, minlength=columns)
        self.starts = np.concatenate([[0], np.cumsum(counts + counts % 2)]).astype(np.uint32)
        order = np.argsort(column, kind="stable")
        offset = (
            np.arange(len(order)) - np.concatenate([[0], np.cumsum(counts)[:-1]])[column[order]]
        )
        at = self.starts[:-1][column[order]] + offset
        self.rows_of = np.zeros(int(self.starts[-1]), np.uint32)
        self.rows_of[at] = row[order]
        # what fills a column up takes an entry beyond the last, which is 0
        self.order = np.full(len(self.rows_of), self.rows * self.entries, np.int64)
        self.order[at] = row[order] * self.entries + place[order]
        return int(counts.max(initial=1))

    def forward_bits(self, vector_bits: int) -> int:
        """Bits of the largest sum of a row."""
        product = self.width - 1 + int(self.left.max()) + vector_bits - 1
        return product + max(1, self.stored).bit_length()

    def back_bits(self, gradient_bits: int, others: int = 0) -> int:
        """Bits of the largest sum of a column, with so many weights of other matrices."""
        product = self.width - 1 + int(self.back.max()) + gradient_bits - 1
        return product + (self.most + others).bit_length()

    def take(self, values: Array, narrow: bool) -> None:
        """Weights of now, those of the whole matrix: (rows, nonzeros, banks)."""
        self.values[:, : self.stored] = values[self.taken].reshape(self.rows, -1)
        if narrow:
            self.shifted = self._lifted(self.left)
        else:
            self.halves = _halves(self.values)
        if self.width + int(self.back.max()) <= _WORD:
            flat = self._lifted(self.back).ravel()
            self.turned = np.append(flat, np.int16(0))[self.order]

    def _lifted(self, lefts: Array) -> Array:
        if not lefts.any():
            return self.values.astype(np.int16)
        moved: Array = self.values << np.repeat(lefts, self.rows // len(lefts))[:, None]
        return moved.astype(np.int16)

    def struct(self, wide: bool) -> MatrixStruct:
        """For a call; sums begin at 0."""
        g, back = self.of.geometry, self.back if self.back.any() else None
        self.sums[:] = 0
        self.back_values = _halves(self.turned) if wide and self.turned is not None else self.turned
        sizes = (self.rows, self.stored, self.entries, g.banks, g.bank_width, g.columns)
        numbers = (*sizes, len(self.left), wide, self.adds)
        arrays = (self.values, self.shifted, self.halves, self.columns, self.starts, self.rows_of)
        return MatrixStruct(
            *numbers, *map(address, (*arrays, self.back_values, self.left, back, self.sums))
        )

    def gradient(self, exponent: int) -> Gradient:
        """What the call has summed; padding has no meaning."""
        sums = self.sums[:, : self.stored].reshape(self.rows, *self.of.values.shape[1:])
        return Gradient(sums.copy(), exponent)


def matrices_of(layer: LstmLayer) -> dict[str, Matrix]:
    """All of a layer; the rows of n of a GRU's ``weight_hh`` are apart, as ``weight_hn``."""
    scales = Scales.of(layer)
    lefts = {"weight_ih": scales.align_ih, "weight_hh": scales.align_hh, "weight_hr": (0,)}
    found = {m.name: Matrix(m, lefts[m.name]) for m in layer.matrices}
    cell = layer.arithmetic
    if apart := cell.apart or cell.resets:
        whole = next(m for m in layer.matrices if m.name == "weight_hh")
        (n,) = apart
        found["weight_hh"] = Matrix(whole, lefts["weight_hh"], slice(n))
        rest = slice(n, n + 1)
        found["weight_hn"] = Matrix(whole, lefts["weight_hh"], rest, not cell.resets)
    return found
