"""Which of the entries of a matrix are stored, where some rows keep fewer than others.

Arrays of entries are (rows, nonzeros, banks). A row that keeps fewer than ``nonzeros`` has its own
first; the others are not stored and stand as value 0 and index 0, so that sums over all of them
are what they should be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..balance import row_nonzeros
from ..geometry import Geometry

__all__ = ["flat", "pieces", "shaped", "stored", "widened"]


def pieces(geometry: Geometry) -> Iterator[tuple[Geometry, slice]]:
    """Geometry and rows of each part that has one k."""
    at = 0
    for part in geometry.split:
        yield part, slice(at, at + part.rows)
        at += part.rows


def stored(geometry: Geometry) -> npt.NDArray[np.bool_]:
    """Of each row whether its entries are stored: bool (rows, nonzeros, 1)."""
    kept = row_nonzeros(geometry)
    return np.asarray(np.arange(geometry.nonzeros) < kept[:, None])[..., None]


def widened(geometry: Geometry, parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Entries of all parts, each (rows of it, its k, banks), as one array."""
    if len(parts) == 1:
        return parts[0]
    found = np.zeros((geometry.rows, geometry.nonzeros, geometry.banks), parts[0].dtype)
    for (part, rows), entries in zip(pieces(geometry), parts, strict=True):
        found[rows, : part.nonzeros] = entries
    return found


def flat(geometry: Geometry, entries: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Stored entries one after the other, as the stream has them."""
    if not geometry.parts:
        return entries.reshape(-1)
    return np.concatenate([entries[r, : g.nonzeros].ravel() for g, r in pieces(geometry)])


def shaped(geometry: Geometry, entries: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What :func:`flat` made, as an array again."""
    ends = np.cumsum([part.slots for part in geometry.split])[:-1]
    split = zip(np.split(entries, ends), geometry.split, strict=True)
    return widened(geometry, [e.reshape(g.rows, g.nonzeros, g.banks) for e, g in split])
