"""Compressed sparse banks: balanced matrices without row pointers (FPGA'19, CSB format)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .balance import (
    BoolArray,
    UnbalancedError,
    as_banks,
    check_balance,
    checked_dense,
    checked_mask,
    fill_banks,
    outside,
    range_text,
)
from .entries.bitstream import join_entries, split_entries
from .entries.gathering import Entries, gather, scatter
from .entries.stored import pieces, stored, widened
from .fixed import Fixed, IntArray
from .geometry import Geometry

if TYPE_CHECKING:
    import scipy.sparse

__all__ = ["BoolArray", "Csb", "UnbalancedError"]

# Integers up to here are exact in float64, and so are their sums in any order.
_EXACT_FLOAT = 1 << 53


@dataclass(frozen=True, eq=False)
class Csb:
    """A bank-balanced integer matrix in compressed sparse banks form.

    The order is the paper's (FPGA'19, CSB format): row by row; in a row the first entry
    of every bank, then the second of every bank, and so on. That is the C order of the
    arrays, and one ``[row, j, :]`` is the group that feeds all banks in one cycle.

    A bank with fewer real columns than ``nonzeros`` is filled with padding entries:
    value 0, index of a padding column. :meth:`to_mask` is exact because of that.

    Where parts of the rows keep fewer (``geometry.parts``), what lies beyond their k in the arrays
    is value 0 and index 0. It is not stored: no stream, no count of entries has it.

    Parameters
    ----------
    geometry : Geometry
        Shape and widths.
    values : int32 array (rows, nonzeros, banks)
        Two's complement, within ``geometry.value_bits``. Copied and made read-only.
    indices : uint16 array (rows, nonzeros, banks)
        In-bank indices, strictly increasing along the second axis. Copied, read-only.

    Raises
    ------
    ValueError
        For arrays of another shape or kind, values or indices out of range, indices that
        do not increase, or a padding entry that is not 0; the message gives the place.
    """

    geometry: Geometry
    values: npt.NDArray[np.int32]
    indices: npt.NDArray[np.uint16]

    def __post_init__(self) -> None:
        self._check_array("values", self.values)
        self._check_array("indices", self.indices)
        self._check_values(np.asarray(self.values))
        self._check_indices(np.asarray(self.indices))
        self._check_unused()
        object.__setattr__(self, "values", _frozen(self.values, np.int32))
        object.__setattr__(self, "indices", _frozen(self.indices, np.uint16))
        self._check_padding()

    def _check_array(self, name: str, array: npt.NDArray[Any]) -> None:
        g, given = self.geometry, np.asarray(array)
        shape = (g.rows, g.nonzeros, g.banks)
        if given.shape != shape:
            raise ValueError(
                f"{name} have shape {given.shape}: the geometry needs {shape} "
                "(rows, nonzeros, banks)"
            )
        if given.dtype.kind not in "iu":
            raise ValueError(f"{name} have dtype {given.dtype}: convert them to integers first")

    def _check_values(self, values: npt.NDArray[Any]) -> None:
        bits = self.geometry.value_bits
        if values.size and outside(np.array([values.min(), values.max()]), bits).any():
            bad = outside(values, bits)
            row, entry, bank = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"value {values[row, entry, bank]} of entry {entry} in row {row}, bank {bank}: "
                f"{bits} bits hold {range_text(bits)}; use more value_bits or a coarser format"
            )

    def _check_indices(self, indices: npt.NDArray[Any]) -> None:
        width = self.geometry.bank_width
        if indices.size and not 0 <= indices.min() <= indices.max() < width:
            bad = (indices < 0) | (indices >= width)
            row, entry, bank = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"index {indices[row, entry, bank]} of entry {entry} in row {row}, bank {bank}: "
                f"a bank is {width} columns wide, so indices are 0 to {width - 1}"
            )
        # Not np.diff: it would wrap around on unsigned arrays.
        bad = indices[:, 1:] <= indices[:, :-1]
        if self.geometry.parts:
            bad &= stored(self.geometry)[:, 1:]
        if bad.any():
            row, entry, bank = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"indices of row {row}, bank {bank} do not increase at entry {entry + 1}: "
                "sort the entries of every bank by index and keep each column once"
            )

    def _check_unused(self) -> None:
        if not self.geometry.parts:
            return
        bad = ~stored(self.geometry) & ((self.values != 0) | (self.indices != 0))
        if bad.any():
            row, entry, bank = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"entry {entry} of row {row}, bank {bank} lies beyond the k of its part of "
                f"{self.geometry.parts}: value and index must be 0 there"
            )

    def _check_padding(self) -> None:
        if not self.geometry.padding_columns:
            return
        bad = ~self._real & (self.values != 0)
        if bad.any():
            row, entry, bank = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"value {self.values[row, entry, bank]} of entry {entry} in row {row}, bank "
                f"{bank} lies in padding column {self.column_indices[row, entry, bank]} of "
                f"{self.geometry.columns}: padding entries must be 0"
            )

    @classmethod
    def pack(
        cls,
        dense: npt.ArrayLike,
        geometry: Geometry,
        mask: npt.ArrayLike | None = None,
        *,
        fill: bool = False,
    ) -> Csb:
        """Pack a dense integer matrix.

        Parameters
        ----------
        dense : int array (rows, columns)
            Any integer dtype, within ``geometry.value_bits``.
        geometry : Geometry
            Every bank of every row must keep ``min(k, its real columns)`` weights, k being
            ``nonzeros`` or that of the row's part.
        mask : bool array (rows, columns), optional
            True = kept; dense must be 0 elsewhere. Default: where dense is not 0.
        fill : bool
            Keep zero-valued weights, lowest columns first, in banks that keep too few.

        Raises
        ------
        UnbalancedError
            If a bank keeps another number of weights; gives row, bank, count, expected.
        ValueError
            For a wrong shape or dtype, a value out of range or one outside the mask.
        """
        array = checked_dense(dense, geometry)
        kept = array != 0 if mask is None else checked_mask(mask, array)
        banked = as_banks(kept, geometry)
        if fill:
            banked = fill_banks(banked, geometry)
        check_balance(banked, geometry)
        rows = banked.reshape(geometry.rows, -1)[:, : geometry.columns]
        found = gather(array, rows, geometry)
        assert found is not None  # it is balanced
        return cls._made(geometry, found)

    @classmethod
    def quantise(
        cls,
        real: npt.NDArray[np.floating],
        formats: Fixed | Sequence[Fixed],
        geometry: Geometry,
        mask: npt.NDArray[np.bool_],
    ) -> Csb:
        """Round the kept weights of a matrix of reals: :meth:`pack` of all of it rounded.

        Parameters
        ----------
        real : float array (rows, columns)
        formats : Fixed, or sequence of Fixed
            For all rows, or one for each equal part of them (the gates).
        geometry : Geometry
        mask : bool array (rows, columns)
            True = kept; outside it reals must round to 0.

        Raises
        ------
        UnbalancedError, ValueError
            As :meth:`pack`; and ValueError for NaN and infinity.
        """
        parts = (formats,) if isinstance(formats, Fixed) else tuple(formats)
        fits = real.shape == mask.shape == (geometry.rows, geometry.columns)
        if fits and max(fixed.width for fixed in parts) <= geometry.value_bits:
            found = gather(real, mask, geometry, parts)
            if found is not None:
                return cls._made(geometry, found)
        split = zip(np.split(real, len(parts)), parts, strict=True)
        return cls.pack(np.concatenate([f.quantise(r) for r, f in split]), geometry, mask)

    @classmethod
    def _made(cls, geometry: Geometry, entries: Entries) -> Csb:
        """Of arrays that were made for it: neither copied nor checked."""
        made = object.__new__(cls)
        object.__setattr__(made, "geometry", geometry)
        object.__setattr__(made, "values", entries[0])
        object.__setattr__(made, "indices", entries[1])
        made.values.flags.writeable = made.indices.flags.writeable = False
        return made

    @classmethod
    def from_scipy(cls, matrix: Any, geometry: Geometry) -> Csb:
        """Pack a scipy.sparse matrix or array; its stored entries, zeros too, are kept.

        Parameters
        ----------
        matrix : scipy.sparse array or matrix (rows, columns)
            Any sparse format, integer dtype; duplicate entries are summed.
        geometry : Geometry
            As in :meth:`pack`, which also says what is raised.
        """
        import scipy.sparse

        csr = scipy.sparse.csr_array(matrix, copy=True)
        csr.sum_duplicates()
        coo: Any = csr.tocoo()
        dense = np.zeros(coo.shape, coo.dtype)
        mask = np.zeros(coo.shape, np.bool_)
        dense[coo.row, coo.col] = coo.data
        mask[coo.row, coo.col] = True
        return cls.pack(dense, geometry, mask)

    @cached_property
    def column_indices(self) -> IntArray:
        """Columns of all entries, int64 (rows, nonzeros, banks); padding is >= columns.

        So are entries beyond the k of their part of the rows.
        """
        g = self.geometry
        columns = self.indices.astype(np.int64) + np.arange(g.banks) * g.bank_width
        if g.parts:
            columns = np.where(stored(g), columns, g.padded_columns)
        columns.flags.writeable = False
        return columns

    @cached_property
    def _real(self) -> BoolArray:
        return self.column_indices < self.geometry.columns

    @property
    def real_nonzeros(self) -> int:
        """Kept weights, zero-valued ones included, padding entries left out."""
        return int(np.count_nonzero(self._real))

    def to_dense(self) -> IntArray:
        """The matrix as an int64 array (rows, columns)."""
        return self._scatter(self.values.astype(np.int64))

    def to_mask(self) -> BoolArray:
        """Which weights are kept: bool array (rows, columns), True = kept."""
        return self._scatter(np.ones(self.values.shape, np.bool_))

    def to_real(self, formats: Sequence[Fixed]) -> npt.NDArray[np.float32]:
        """The matrix as float32 (rows, columns), exact, in a format for each equal part of rows."""
        entries = np.empty(self.values.shape, np.float32)
        parts = (np.split(array, len(formats)) for array in (self.values, entries))
        for fixed, values, reals in zip(formats, *parts, strict=True):
            reals[:] = fixed.dequantise(values)
        return self._scatter(entries)

    def _scatter(self, entries: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return scatter(self.geometry, self.indices, entries)

    def to_scipy(self) -> scipy.sparse.csr_array:
        """The matrix as a csr_array, int64, kept zeros stored, columns sorted."""
        import scipy.sparse

        mask = self.to_mask()
        starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
        return scipy.sparse.csr_array(
            (self.to_dense()[mask], np.nonzero(mask)[1], starts), shape=mask.shape
        )

    def matvec(self, x: npt.ArrayLike) -> IntArray:
        """Exact product with one vector or a batch of them.

        Parameters
        ----------
        x : int array (columns,) or (batch, columns)

        Returns
        -------
        int64 array (rows,) or (batch, rows)

        Raises
        ------
        ValueError
            For another shape, a dtype that is not integer, or numbers so large that a
            sum might leave int64.
        """
        vector = np.asarray(x)
        if vector.ndim not in (1, 2) or vector.shape[-1] != self.geometry.columns:
            raise ValueError(
                f"vector of shape {vector.shape}: the matrix has {self.geometry.columns} "
                f"columns; give ({self.geometry.columns},) or (batch, {self.geometry.columns})"
            )
        if vector.dtype.kind not in "iu":
            raise ValueError(f"vector of dtype {vector.dtype}: quantise it to integers first")
        largest = max(abs(int(vector.max(initial=0))), abs(int(vector.min(initial=0))))
        bound = self._row_bound * largest
        if bound >= 1 << 63:
            raise ValueError(f"vector holds {largest}: a sum could leave 64 bits; scale it down")
        # BLAS is far faster than integer loops, and exact below 2**53.
        if bound < _EXACT_FLOAT and largest < _EXACT_FLOAT:
            return (vector.astype(np.float64) @ self._float.T).astype(np.int64)
        return vector.astype(np.int64) @ self.to_dense().T

    @cached_property
    def _row_bound(self) -> int:
        return int(np.abs(self.values.astype(np.int64)).sum(axis=(1, 2)).max())

    @cached_property
    def _float(self) -> npt.NDArray[np.float64]:
        return self.to_dense().astype(np.float64)

    def merge_banks(self, factor: int) -> Csb:
        """The same matrix with every ``factor`` adjacent banks merged into one.

        Balance is kept: banks fall, entries per bank rise by ``factor``. So a matrix
        balanced over B banks runs on every array whose lanes divide B.

        Parameters
        ----------
        factor : int
            Must divide the banks, see :meth:`.Geometry.merged`.
        """
        geometry = self.geometry.merged(factor)
        offset = np.arange(self.geometry.banks) % factor * self.geometry.bank_width
        index = self.indices + offset.astype(np.uint16)  # no bank is wider than they can tell
        folded = (
            widened(
                geometry, [_folded(g, a[r, : g.nonzeros], factor) for g, r in pieces(self.geometry)]
            )
            for a in (self.values, index)
        )
        return Csb(geometry, *folded)

    def pack_bits(self) -> bytes:
        """The exact bit stream: entries in order, each value then index, LSB first.

        Returns
        -------
        bytes
            ``ceil(geometry.packed_bits / 8)`` of them; unused bits of the last are 0.
        """
        return join_entries(self.geometry, self.values, self.indices)

    @classmethod
    def unpack_bits(cls, geometry: Geometry, data: bytes | memoryview) -> Csb:
        """Read the stream that :meth:`pack_bits` writes.

        Parameters
        ----------
        geometry : Geometry
            The geometry it was written with; the stream does not carry it.
        data : bytes or memoryview
            ``ceil(geometry.packed_bits / 8)`` bytes.

        Raises
        ------
        ValueError
            For another length, set bits after the last entry, or entries that
            :class:`Csb` refuses.
        """
        g, size = geometry, -(-geometry.packed_bits // 8)
        if len(data) != size:
            raise ValueError(
                f"bit stream of {len(data)} bytes: this geometry takes {size}; "
                "give the geometry that it was packed with"
            )
        used = g.packed_bits % 8 or 8
        if data and data[-1] >> used:
            raise ValueError(
                f"bit stream has bits set after its last entry (bit {g.packed_bits}): "
                "it is damaged or of another geometry; pack the matrix again"
            )
        made = cls._made(g, split_entries(g, data))
        made._check_indices(made.indices)
        made._check_padding()
        return made

    def equals(self, other: Csb) -> bool:
        """Whether both have the same geometry and the same entries."""
        return (
            self.geometry == other.geometry
            and np.array_equal(self.values, other.values)
            and np.array_equal(self.indices, other.indices)
        )


def _folded(geometry: Geometry, entries: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """Entries of rows with one k where ``factor`` adjacent banks are one."""
    g = geometry
    split = entries.reshape(g.rows, g.nonzeros, g.banks // factor, factor)
    # The lower bank's entries come first, so indices stay increasing.
    return split.transpose(0, 3, 1, 2).reshape(g.rows, factor * g.nonzeros, g.banks // factor)


def _frozen(array: npt.ArrayLike, dtype: type[np.generic]) -> npt.NDArray[Any]:
    copy = np.array(array, dtype, order="C")
    copy.flags.writeable = False
    return copy
