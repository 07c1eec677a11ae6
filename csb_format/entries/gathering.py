"""Kept weights of a dense matrix in the order of CSB and back, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..balance import BoolArray, as_banks, pad_banks
from ..fixed import Fixed
from ..geometry import Geometry
from .stored import pieces, widened

__all__ = ["Entries", "gather", "scatter"]

Entries = tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]
Places = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]

# Places of a block of rows: what is between dense numbers and entries stays in a core's cache.
_BLOCK = 1 << 17


def gather(
    dense: npt.NDArray[Any],
    mask: BoolArray,
    geometry: Geometry,
    formats: Sequence[Fixed] = (),
) -> Entries | None:
    """Values and in-bank indices of what a mask keeps, each (rows, nonzeros, banks).

    Parameters
    ----------
    dense : array (rows, columns)
        Integers; or reals, if there are formats to round them to.
    mask : bool array (rows, columns)
        True = kept. What is not kept is not looked at, but that reals must be 0 there.
    geometry : Geometry
    formats : sequence of Fixed
        One for each equal part of the rows.

    Returns
    -------
    (int32 array, uint16 array), or None
        None if a bank does not keep ``min(k, its real columns)``, a real is not finite,
        or one that is not kept is not 0; and for formats of other parts than ``geometry.parts``.
    """
    if not geometry.parts:
        return _gathered(dense, mask, geometry, formats)
    if len(formats) > 1 and len(formats) % len(geometry.parts):
        return None  # whose parts are not whole ones of the rows with one k
    found = []
    for (piece, rows), used in zip(pieces(geometry), _shared(formats, geometry), strict=True):
        if (entries := _gathered(dense[rows], mask[rows], piece, used)) is None:
            return None
        found.append(entries)
    values, indices = (widened(geometry, [e[which] for e in found]) for which in (0, 1))
    return values, indices


def _shared(formats: Sequence[Fixed], geometry: Geometry) -> list[Sequence[Fixed]]:
    """The formats of each part of the rows: there are as many parts, or as many formats."""
    parts, each = len(geometry.parts), max(1, len(formats) // len(geometry.parts))
    if len(formats) <= 1:
        return [formats] * parts
    return [formats[n * each : (n + 1) * each] for n in range(parts)]


def _gathered(
    dense: npt.NDArray[Any], mask: BoolArray, geometry: Geometry, formats: Sequence[Fixed]
) -> Entries | None:
    """What :func:`gather` gives, of rows with one k."""
    g = geometry
    shape = (g.rows, g.nonzeros, g.banks)
    values, indices = np.empty(shape, np.int32), np.empty(shape, np.uint16)
    part = g.rows // max(1, len(formats))
    for rows in _blocks(g, part):
        found = _places(mask[rows], g)
        if found is None:
            return None
        block = as_banks(dense[rows], g).ravel()
        kept: npt.NDArray[Any] = block.take(found[0])
        if formats:
            if not _all_kept(block, kept):
                return None
            kept = formats[rows.start // part].rounded(kept)
        _store(values[rows], kept)
        _store(indices[rows], found[1])
    return values, indices


def scatter(
    geometry: Geometry, indices: npt.NDArray[np.uint16], entries: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """The dense matrix (rows, columns) of entries (rows, nonzeros, banks), zero elsewhere."""
    if geometry.parts:
        kept = (
            scatter(g, indices[rows, : g.nonzeros], entries[rows, : g.nonzeros])
            for g, rows in pieces(geometry)
        )
        return np.concatenate(list(kept))
    g = geometry
    padded = np.zeros((g.rows, g.padded_columns), entries.dtype)
    starts = np.arange(g.banks) * g.bank_width
    for rows in _blocks(g, g.rows):
        shape = (rows.stop - rows.start, g.nonzeros * g.banks)
        columns = (indices[rows] + starts).reshape(shape)
        np.put_along_axis(padded[rows], columns, entries[rows].reshape(shape), axis=1)
    return padded[:, : g.columns].copy() if g.padding_columns else padded


def _blocks(geometry: Geometry, part: int) -> Iterator[slice]:
    """Slices of rows that lie in one part each."""
    step = max(1, _BLOCK // geometry.padded_columns)
    for first in range(0, geometry.rows, part):
        for at in range(first, first + part, step):
            yield slice(at, min(at + step, first + part))


def _places(mask: BoolArray, geometry: Geometry) -> Places | None:
    """Where the kept numbers of a block lie, in it and in their banks; None if unbalanced."""
    g = geometry
    places = np.flatnonzero(pad_banks(as_banks(mask, g), g))
    if places.size != len(mask) * g.banks * g.nonzeros:
        return None
    starts = np.arange(len(mask) * g.banks)[:, None] * g.bank_width
    index = places.reshape(len(starts), g.nonzeros) - starts
    # They increase: if the outermost that a bank should have lie in it, all of them do.
    if index.size and (index[:, 0].min() < 0 or index[:, -1].max() >= g.bank_width):
        return None
    return places, index


def _all_kept(block: npt.NDArray[Any], kept: npt.NDArray[Any]) -> bool:
    """Whether reals are finite, and those that are not kept 0."""
    same = np.count_nonzero(block != 0) == np.count_nonzero(kept != 0)
    return bool(same and np.isfinite(kept).all())


def _store(block: npt.NDArray[Any], entries: npt.NDArray[Any]) -> None:
    """From bank by bank to entry by entry."""
    rows, nonzeros, banks = block.shape
    block[:] = entries.reshape(rows, banks, nonzeros).swapaxes(1, 2)
