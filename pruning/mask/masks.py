"""Bank-balanced masks (Cao et al., FPGA'19): what :mod:`.views` does, for banks alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from csb_format.balance import row_nonzeros
from csb_format.csb import UnbalancedError
from csb_format.geometry import Geometry

from .views import Banks, pattern_mask

__all__ = [
    "bank_balanced_mask",
    "bank_view",
    "check_balanced",
    "kept_weights",
    "packed_geometry",
    "promised_geometry",
]


def bank_view(matrix: Tensor, banks: int | Banks, fill: float = 0.0) -> Tensor:
    """View the rows of a matrix as banks of equal width.

    Parameters
    ----------
    matrix : Tensor
        Shape (R, C), any dtype, any strides.
    banks : int or Banks
        Their count, at least 1, or the view. Column c lies in bank ``c // width``, by default
        ``width = ceil(C / banks)``; the last banks may be partly or wholly padding.
    fill : float
        Value of the padded positions.

    Returns
    -------
    Tensor
        Shape (R, banks, width); a copy where there is padding, else it may be a view.

    Raises
    ------
    ValueError
        If ``matrix`` is not a matrix or empty, or ``banks`` is out of range.
    """
    if matrix.ndim != 2 or not matrix.numel():
        shape = tuple(matrix.shape)
        raise ValueError(f"weight of shape {shape}: must be a matrix with rows and columns")
    view = _view(banks)
    return view.group(matrix, fill).reshape(len(matrix), *view.shape(matrix.shape[1]))


def bank_balanced_mask(
    weight: Tensor, banks: int | Banks, nonzeros: int, among: Tensor | None = None
) -> Tensor:
    """Keep the largest magnitudes of every bank of every row, an exact number of them.

    Algorithm 1 of Cao et al. (FPGA'19) prunes below a threshold per bank; exact top-k
    is used here because with a threshold ties would break the balance.

    Parameters
    ----------
    weight : Tensor
        Shape (R, C), floating point, finite.
    banks : int or Banks
        As for :func:`bank_view`.
    nonzeros : int
        Entries k kept per bank, at least 1. A bank with fewer than k real columns keeps all.
    among : Tensor, optional
        Bool (R, C): entries outside it are kept only if a bank has too few inside, so
        that a growing sparsity never revives a pruned weight.

    Returns
    -------
    Tensor
        Bool (R, C), true = kept; among equal magnitudes the lowest column wins.

    Raises
    ------
    ValueError
        If the shape, ``banks`` or ``nonzeros`` is out of range, or a weight is NaN or infinite.
    """
    return pattern_mask(_view(banks), weight.detach().abs(), nonzeros, among)


def check_balanced(mask: Tensor, banks: int | Banks, expected: int | None = None) -> int:
    """Return k of a bank-balanced mask, or say where it is not balanced.

    Parameters
    ----------
    mask : Tensor
        Bool (R, C), true = kept.
    banks : int or Banks
        As for :func:`bank_view`.
    expected : int, optional
        The k that it must have; by default the one that most banks have.

    Returns
    -------
    int
        k: every bank of every row holds exactly k, or all its real columns if they are fewer.

    Raises
    ------
    UnbalancedError
        Naming row, bank, its count and the expected one.
    """
    counts = _counts(bank_view(mask, banks))
    real = _counts(bank_view(torch.ones_like(mask[:1]), banks))
    k = _usual(counts[:, real[0] == real.max()]) if expected is None else expected
    _compare(counts, real.clamp(max=k))
    return k


def _check_parts(mask: Tensor, banks: Banks, geometry: Geometry) -> None:
    """Raise UnbalancedError unless the banks of each part of the rows keep its k."""
    counts = _counts(bank_view(mask, banks))
    real = _counts(bank_view(torch.ones_like(mask[:1]), banks))
    kept = torch.from_numpy(row_nonzeros(geometry))
    _compare(counts, torch.minimum(real.cpu(), kept[:, None]).to(counts.device))


def _compare(counts: Tensor, expected: Tensor) -> None:
    wrong = counts != expected
    if wrong.any():
        row, bank = torch.nonzero(wrong)[0].tolist()
        raise UnbalancedError(
            f"row {row}, bank {bank} keeps {int(counts[row, bank])} weights, expected "
            f"{int(expected.expand_as(counts)[row, bank])}: prune with "
            f"pruning.mask.pruner.Pruner over {counts.shape[1]} banks"
        )


def kept_weights(weight: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mask of a weight; without one, its entries that are not zero.

    Raises
    ------
    ValueError
        If the mask has another shape or is not bool.
    """
    if mask is None:
        return weight != 0
    if mask.shape != weight.shape or mask.dtype != torch.bool:
        raise ValueError(
            f"mask of {mask.dtype} {tuple(mask.shape)} for weights of shape "
            f"{tuple(weight.shape)}: give bool of the same shape, true = kept"
        )
    return mask.to(weight.device)


def packed_geometry(mask: Tensor, layout: Geometry | int, value_bits: int) -> Geometry:
    """Return the geometry that a mask is packed in.

    Parameters
    ----------
    mask : Tensor
        Bool (R, C), true = kept.
    layout : Geometry or int
        What the mask must be; of an int, the number of banks, k is read off the mask.
    value_bits : int
        Width of stored values; counts, whatever the layout says.

    Raises
    ------
    UnbalancedError
        If the mask is not balanced as the layout says.
    ValueError
        If the layout is that of another matrix.
    """
    geometry = promised_geometry(mask, layout, value_bits)
    view = Banks(geometry.banks)
    if geometry.bank_width != -(-geometry.columns // geometry.banks):
        view = Banks(width=geometry.bank_width)
    if geometry.parts:
        _check_parts(mask, view, geometry)
        return geometry
    known = None if isinstance(layout, int) else layout.nonzeros
    return replace(geometry, nonzeros=check_balanced(mask, view, known))


def promised_geometry(mask: Tensor, layout: Geometry | int, value_bits: int) -> Geometry:
    """The geometry of a mask, if it is balanced: what packs it may look for itself.

    Parameters, and what is raised, as for :func:`packed_geometry`, but for a mask that is not
    balanced; of an int, k is that of the first bank.
    """
    rows, columns = mask.shape
    if isinstance(layout, int):
        first = int(bank_view(mask[:1], layout)[0, 0].sum())
        return Geometry(rows, columns, layout, first, value_bits)
    view = Banks(layout.banks)
    if layout.bank_width != -(-layout.columns // layout.banks):
        view = Banks(width=layout.bank_width)
    if (layout.rows, layout.columns) != mask.shape or view.shape(columns)[0] != layout.banks:
        raise ValueError(
            f"{layout} does not fit weights of shape {rows} x {columns}: give the geometry that "
            "they were pruned to; merged banks are merged after packing"
        )
    return replace(layout, value_bits=value_bits)


def _counts(banked: Tensor) -> Tensor:
    """Kept columns of every bank (R, banks) of a mask (R, banks, width)."""
    if banked.device.type != "cpu":
        return banked.sum(-1)
    # As bytes and by NumPy: an order of magnitude faster than torch, which widens them first.
    counts = banked.numpy().view(np.uint8).sum(axis=-1, dtype=np.uint32)
    return torch.from_numpy(counts.astype(np.int64))


def _view(banks: int | Banks) -> Banks:
    return Banks(banks) if isinstance(banks, int) else banks


def _usual(counts: Tensor) -> int:
    return int(torch.bincount(counts.flatten()).argmax())
