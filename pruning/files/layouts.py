"""The banks that a file's matrices are packed in."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from torch import Tensor

from csb_format.csb import UnbalancedError
from csb_format.geometry import Geometry

from ..importers import Imported
from ..mask.masks import check_balanced
from ..mask.views import Banks

__all__ = ["balanced_by_gate", "balanced_over", "layout_of"]

_GATES = (4, 3)  # of an LSTM and a GRU
_CANDIDATES = (64, 32, 16, 8, 4, 2)


def layout_of(imported: Imported, name: str, view: Banks) -> Geometry | int:
    """What :func:`pruning.integers.quantise.build_model` takes for one matrix.

    Parameters
    ----------
    imported : Imported
    name : str
        Of a matrix in it.
    view : Banks

    Raises
    ------
    UnbalancedError
        Naming matrix, row and bank.
    ValueError
        If there are more banks than the matrix can have.
    """
    mask = imported.mask(name)
    rows, columns = mask.shape
    try:
        keep = check_balanced(mask, view)
        return view.geometry(rows, columns, keep) if view.count is None else view.count
    except UnbalancedError as error:
        if (by_gate := balanced_by_gate(mask, view)) is not None:
            return by_gate
        counts = balanced_over(imported, [name])
        known = f"it is balanced over {counts} banks; give those, or" if counts else "so"
        raise UnbalancedError(f"{name}: {error} ({known} use sparseflow prune)") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def balanced_by_gate(mask: Tensor, view: Banks) -> Geometry | None:
    """The geometry of a mask whose gates keep different numbers of weights, or nothing."""
    rows, columns = mask.shape
    banks, width = view.shape(columns)
    for gates in _GATES:
        if rows % gates == 0:
            with suppress(UnbalancedError):
                parts = [check_balanced(part, view) for part in mask.chunk(gates)]
                return Geometry.of_parts(rows, columns, banks, parts, bank_width=width)
    return None


def balanced_over(imported: Imported, names: Iterable[str]) -> int | None:
    """Most banks, of the usual counts, over which all these matrices are balanced."""
    masks = [imported.mask(name) for name in names]
    for count in _CANDIDATES:
        try:
            for mask in masks:
                check_balanced(mask, count)
        except ValueError:  # unbalanced, or more banks than there can be
            continue
        return count
    return None
