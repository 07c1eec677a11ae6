"""Products of a bank-balanced matrix and one vector on a CPU: float32, or exact integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format import Csb, Fixed, IntArray

from .kernels import product_loops as kernels
from .kernels.product_loops import BLOCK, FLOATS, SHORTS, Rows, Tiles

__all__ = ["FloatProduct", "IntegerProduct", "row_major"]

MOST_BITS = 32  # of a vector's numbers: 65536 * 2**17 * 2**31 < 2**63
_SHORT, _BYTE = np.iinfo(np.int16), np.iinfo(np.int8)


class _Product:
    """What both kinds share: the order of entries that a compiled loop reads, and the loop."""

    def __init__(self, matrix: Csb, table: Rows | Tiles, loop: Callable[..., None]) -> None:
        #: Rows and columns.
        self.shape = (matrix.geometry.rows, matrix.geometry.columns)
        #: Rows, whole blocks: elements of the array that :meth:`add` adds to.
        self.padded_rows = -(-self.shape[0] // BLOCK) * BLOCK
        self._table, self._loop = table, loop

    @property
    def table(self) -> Rows | Tiles:
        """Entries in the order in which a compiled loop reads them."""
        return self._table

    @property
    def permutes(self) -> bool:
        """Whether banks are read in registers; else by address, which any CPU can."""
        return isinstance(self._table, Tiles)

    @property
    def bytes(self) -> int:
        """Bytes of weights and indices, padding included, that one product reads."""
        return sum(part.nbytes for part in self._table[:2])

    def add(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> None:
        """Add the product to an array, nothing checked.

        Parameters
        ----------
        x : array (columns,)
            float32, or int64 in range; contiguous.
        y : array (padded_rows,)
            float32, or int64; contiguous. Elements behind the rows are left without meaning.
        """
        self._loop(self._table, x, y)

    def _product(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        y = np.zeros(self.padded_rows, x.dtype)
        self.add(np.ascontiguousarray(x), y)
        return y[: self.shape[0]]

    def _check(self, x: npt.NDArray[Any]) -> None:
        if x.shape != self.shape[1:]:
            raise ValueError(
                f"vector of shape {x.shape}: the matrix has {self.shape[1]} columns; give "
                f"({self.shape[1]},)"
            )


class FloatProduct(_Product):
    """``W @ x`` in float32.

    Parameters
    ----------
    matrix : Csb
        Integers of the weights.
    scale : float or float array (rows,)
        What they are multiplied with: the last bit of their format, of every row's gate.
    permute : bool, optional
        Whether to read banks in registers. By default where the CPU can (AVX-512) and the
        banks are at most 128 columns wide.

    Raises
    ------
    ValueError
        If ``permute`` is asked for where it cannot be had, or for scales of another shape.
    """

    def __init__(
        self, matrix: Csb, scale: npt.ArrayLike = 1.0, permute: bool | None = None
    ) -> None:
        each = np.asarray(scale, np.float64)
        if each.shape not in ((), (matrix.geometry.rows,)):
            raise ValueError(
                f"scale of shape {each.shape}: give one number or {matrix.geometry.rows}, one a row"
            )
        if _permutable(matrix, 8 * FLOATS, True, permute):
            merged = _merged(matrix, 2 * FLOATS)
            values = _scaled(merged.values, each.reshape(-1, 1, 1))
            super().__init__(matrix, _tiles(merged, values, FLOATS, 1), kernels.add_floats)
        else:
            values = _scaled(matrix.values, each.reshape(-1, 1, 1))
            super().__init__(matrix, row_major(matrix, values), kernels.add_rows)

    def __call__(self, x: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Product with a vector.

        Parameters
        ----------
        x : float array (columns,)

        Returns
        -------
        float32 array (rows,)

        Raises
        ------
        ValueError
            For another shape.
        """
        vector = np.asarray(x, np.float32)
        self._check(vector)
        return self._product(vector)


class IntegerProduct(_Product):
    """``W @ x`` in integers, exact: what :meth:`~csb_format.csb.Csb.matvec` gives.

    Parameters
    ----------
    matrix : Csb
    bits : int
        Width of the vector's numbers, 2..32. Up to 16, with values of at most 16 bits,
        banks can be read in registers; int8 values take half the memory.
    permute : bool, optional
        As in :class:`FloatProduct`.

    Raises
    ------
    ValueError
        For ``bits`` out of range, or if ``permute`` is asked for where it cannot be had.
    """

    def __init__(self, matrix: Csb, bits: int = 16, permute: bool | None = None) -> None:
        if not 2 <= bits <= MOST_BITS:
            raise ValueError(f"bits {bits}: a vector has numbers of 2 to {MOST_BITS} bits")
        self._vector = Fixed(bits, 0)
        byte, short = (_within(matrix.values, limits) for limits in (_BYTE, _SHORT))
        if _permutable(matrix, 4 * SHORTS, short and bits <= 16, permute):
            merged = _merged(matrix, SHORTS)
            values = merged.values.astype(np.int8 if byte else np.int16)
            loop = kernels.add_bytes if byte else kernels.add_shorts
            super().__init__(matrix, _tiles(merged, values, SHORTS, 2), loop)
        else:
            super().__init__(matrix, row_major(matrix, matrix.values), kernels.add_rows)

    def __call__(self, x: npt.ArrayLike) -> IntArray:
        """Product with a vector.

        Parameters
        ----------
        x : int array (columns,)
            Within ``bits`` bits.

        Returns
        -------
        int64 array (rows,)

        Raises
        ------
        ValueError
            For another shape, a dtype that is not integer, or numbers out of range.
        """
        vector = np.asarray(x)
        self._check(vector)
        if vector.dtype.kind not in "iu":
            raise ValueError(f"vector of dtype {vector.dtype}: quantise it to integers first")
        self._check_range(vector)
        return self._product(vector.astype(np.int64))

    def _check_range(self, vector: npt.NDArray[Any]) -> None:
        low, high = int(vector.min()), int(vector.max())
        if low < self._vector.min or high > self._vector.max:
            bad = low if low < self._vector.min else high
            raise ValueError(
                f"vector holds {bad}: {self._vector.width} bits hold {self._vector.min} to "
                f"{self._vector.max}; give more bits, or a coarser format"
            )


def row_major(
    matrix: Csb,
    values: npt.NDArray[Any],
    multiple: int = 1,
) -> Rows:
    """Entries row by row, padded with zeros of column 0.

    Parameters
    ----------
    matrix : Csb
        Gives the columns.
    values : array (rows, nonzeros, banks)
        Of the same entries.
    multiple : int
        Of the entries in a row.
    """
    g = matrix.geometry
    entries = g.nonzeros * g.banks
    shape = (g.rows, -(-entries // multiple) * multiple)
    found = np.zeros(shape, values.dtype)
    columns = np.zeros(shape, np.uint16 if g.columns <= 1 << 16 else np.int32)
    real = matrix.column_indices < g.columns
    found[:, :entries] = values.reshape(g.rows, -1)
    columns[:, :entries] = np.where(real, matrix.column_indices, 0).reshape(g.rows, -1)
    return Rows(found, columns)


def _scaled(values: npt.NDArray[Any], scale: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return (values * scale).astype(np.float32)


def _within(values: npt.NDArray[Any], limits: np.iinfo) -> bool:
    return bool(limits.min <= values.min(initial=0) and values.max(initial=0) <= limits.max)


def _permutable(matrix: Csb, widest: int, fit: bool, wanted: bool | None) -> bool:
    """Whether to read banks in registers."""
    width = matrix.geometry.bank_width
    able = fit and width <= widest and kernels.permutes()
    if wanted and not able:
        raise ValueError(
            f"permute {wanted}: needs a CPU with AVX-512, banks of at most {widest} columns "
            f"(they have {width}) and integers of at most 16 bits; leave it out"
        )
    return able and wanted is not False


def _merged(matrix: Csb, width: int) -> Csb:
    """Adjacent banks as one, as far as they stay within ``width`` columns."""
    g = matrix.geometry
    able = (f for f in range(g.banks, 0, -1) if g.banks % f == 0 and f * g.bank_width <= width)
    return matrix.merge_banks(next(able, 1))


def _tiles(matrix: Csb, values: npt.NDArray[Any], lanes: int, pair: int) -> Tiles:
    g = matrix.geometry
    registers = 1
    while registers * lanes < g.bank_width:
        registers *= 2
    entries = -(-g.nonzeros // pair) * pair
    return Tiles(
        _ordered(values, entries, pair),
        _ordered(matrix.indices.astype(np.uint8), entries, pair),
        g.banks,
        entries,
        g.bank_width,
        registers * lanes,
        registers,
        g.columns,
        -(-g.rows // BLOCK) * BLOCK,
    )


def _ordered(array: npt.NDArray[Any], entries: int, pair: int) -> npt.NDArray[Any]:
    """(rows, k, banks) as the flat order of :class:`Tiles`, on a cache line's boundary."""
    rows, k, banks = array.shape
    more = -rows % BLOCK
    padded = np.pad(array, ((0, more), (0, entries - k), (0, 0)))
    shape = ((rows + more) // BLOCK, BLOCK, entries // pair, pair, banks)
    ordered = padded.reshape(shape).transpose(0, 4, 2, 1, 3)
    flat = _aligned(ordered.size, array.dtype)
    flat[:] = ordered.ravel()
    return flat


def _aligned(size: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    line = 64
    raw = np.empty(size * dtype.itemsize + line, np.uint8)
    start = -raw.ctypes.data % line
    return raw[start : start + size * dtype.itemsize].view(dtype)
