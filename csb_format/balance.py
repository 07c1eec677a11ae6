"""Dense matrices cut into banks: what a matrix must satisfy before it is packed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .fixed import IntArray
from .geometry import Geometry

__all__ = [
    "BoolArray",
    "UnbalancedError",
    "as_banks",
    "check_balance",
    "checked_dense",
    "checked_mask",
    "fill_banks",
    "outside",
    "pad_banks",
    "range_text",
    "row_nonzeros",
]

BoolArray = npt.NDArray[np.bool_]


class UnbalancedError(ValueError):
    """A bank does not hold the number of weights that the geometry promises."""


def range_text(bits: int) -> str:
    """The range of a signed number of ``bits`` bits, for messages."""
    return f"{-(1 << (bits - 1))} to {(1 << (bits - 1)) - 1}"


def outside(array: npt.NDArray[Any], bits: int) -> BoolArray:
    """Where an integer array of any shape leaves the signed range of ``bits`` bits."""
    half = 1 << (bits - 1)
    return np.asarray((array < -half) | (array >= half), np.bool_)


def _check_shape(name: str, shape: tuple[int, ...], geometry: Geometry) -> None:
    if shape != (geometry.rows, geometry.columns):
        raise ValueError(
            f"{name} has shape {shape}: the geometry needs ({geometry.rows}, {geometry.columns})"
        )


def checked_dense(dense: npt.ArrayLike, geometry: Geometry) -> IntArray:
    """Dense matrix (rows, columns) as int64; ValueError for shape, dtype or range."""
    array, bits = np.asarray(dense), geometry.value_bits
    _check_shape("dense matrix", array.shape, geometry)
    if array.dtype.kind not in "iu":
        raise ValueError(
            f"dense matrix has dtype {array.dtype}: CSB holds integers; quantise it first "
            "(Fixed.quantise)"
        )
    if array.size and outside(np.array([array.min(), array.max()]), bits).any():
        row, column = (int(i) for i in np.argwhere(outside(array, bits))[0])
        raise ValueError(
            f"value {array[row, column]} in row {row}, column {column}: {bits} bits hold "
            f"{range_text(bits)}; use more value_bits or a coarser format"
        )
    return array.astype(np.int64, copy=False)


def checked_mask(mask: npt.ArrayLike, dense: IntArray) -> BoolArray:
    """Mask (rows, columns) as given; ValueError for shape, dtype or values outside it."""
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.shape != dense.shape:
        raise ValueError(
            f"mask has dtype {array.dtype} and shape {array.shape}: it must be bool "
            f"(True = kept) of shape {dense.shape}"
        )
    lost = ~array & (dense != 0)
    if lost.any():
        row, column = (int(i) for i in np.argwhere(lost)[0])
        raise ValueError(
            f"value {dense[row, column]} in row {row}, column {column} is outside the mask: "
            "multiply the matrix by the mask first"
        )
    return array


def as_banks(array: npt.NDArray[Any], geometry: Geometry) -> npt.NDArray[Any]:
    """View some rows (n, columns) as (n, banks, bank_width), padded with zeros."""
    padding = geometry.padding_columns
    padded = np.pad(array, ((0, 0), (0, padding))) if padding else np.ascontiguousarray(array)
    return padded.reshape(len(array), geometry.banks, geometry.bank_width)


def row_nonzeros(geometry: Geometry) -> IntArray:
    """The k of each row: int64 (rows,)."""
    parts = geometry.split
    return np.repeat(np.array([part.nonzeros for part in parts], np.int64), parts[0].rows)


def _expected(geometry: Geometry) -> IntArray:
    """Weights that each bank keeps: int64 (rows, banks)."""
    kept = row_nonzeros(geometry)[:, None]
    return np.minimum(kept, np.array(geometry.bank_columns, np.int64))


def fill_banks(banked: BoolArray, geometry: Geometry) -> BoolArray:
    """Keep the lowest free real columns in banks (rows, banks, bank_width) that keep too few."""
    real = np.arange(geometry.bank_width) < np.array(geometry.bank_columns)[:, None]
    free = ~banked & real
    missing = _expected(geometry) - _counts(banked)
    chosen = free & (np.cumsum(free, axis=2) <= missing[..., None])
    return np.asarray(banked | chosen, np.bool_)


def _counts(banked: BoolArray) -> IntArray:
    """Kept columns of every bank; summed as bytes, an eighth of what numpy would widen them to."""
    counts: IntArray = banked.view(np.uint8).sum(axis=2, dtype=np.uint32).astype(np.int64)
    return counts


def check_balance(banked: BoolArray, geometry: Geometry) -> None:
    """Raise UnbalancedError unless every bank keeps ``min(k, its real columns)``."""
    counts, expected = _counts(banked), _expected(geometry)
    wrong = np.argwhere(counts != expected)
    if wrong.size:
        row, bank = (int(i) for i in wrong[0])
        more = counts[row, bank] > expected[row, bank]
        raise UnbalancedError(
            f"row {row}, bank {bank} keeps {counts[row, bank]} weights, expected "
            f"{expected[row, bank]} ({len(wrong)} such banks): "
            + ("prune the matrix to this geometry" if more else "give the mask, or fill=True")
        )


def pad_banks(banked: BoolArray, geometry: Geometry) -> BoolArray:
    """Keep padding columns where a bank has fewer than ``nonzeros`` real ones."""
    if not geometry.padding_columns:
        return banked
    index = np.arange(geometry.bank_width)
    real = np.array(geometry.bank_columns)[:, None]
    return banked | ((index >= real) & (index < geometry.nonzeros))
