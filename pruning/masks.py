"""Pruning masks as pure functions: how a matrix is viewed x what is selected.

A view reshapes ``(rows, columns)`` to ``(rows, groups, group width)``; a selection keeps
a number of entries of every group. Bank-balanced sparsity (Cao et al., FPGA'19) is
:func:`bank_view` x :func:`select_top`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from csb_format.csb import UnbalancedError

from .selection import select_top

__all__ = ["bank_balanced_mask", "bank_view", "check_balanced", "from_view", "select_top"]

_PRUNED = -1.0
_PADDING = -2.0


def bank_view(weight: Tensor, banks: int, fill: float = 0.0) -> Tensor:
    """View the rows of a matrix as banks of equal width.

    Parameters
    ----------
    weight : Tensor
        Shape (R, C), any dtype, any strides.
    banks : int
        1..C. Column c lies in bank ``c // width``, ``width = ceil(C / banks)``; the last
        banks may be partly or wholly padding.
    fill : float
        Value of the padded positions.

    Returns
    -------
    Tensor
        Shape (R, banks, width); a copy where there is padding, else it may be a view.

    Raises
    ------
    ValueError
        If ``weight`` is not a matrix, or ``banks`` is out of range.
    """
    if weight.ndim != 2:
        raise ValueError(f"weight of shape {tuple(weight.shape)}: must be a matrix (rows, columns)")
    rows, columns = weight.shape
    if not 1 <= banks <= columns:
        raise ValueError(f"{banks} banks for {columns} columns: choose 1 to {columns} banks")
    width = -(-columns // banks)
    return pad(weight, (0, banks * width - columns), value=fill).reshape(rows, banks, width)


def from_view(view: Tensor, columns: int) -> Tensor:
    """Undo :func:`bank_view`: shape (R, banks, width) to (R, columns), padding dropped."""
    return view.reshape(view.shape[0], -1)[:, :columns].contiguous()


def bank_balanced_mask(
    weight: Tensor, banks: int, nonzeros: int, among: Tensor | None = None
) -> Tensor:
    """Keep the largest magnitudes of every bank of every row, an exact number of them.

    Algorithm 1 of Cao et al. (FPGA'19) prunes below a threshold per bank; exact top-k
    is used here because with a threshold ties would break the balance.

    Parameters
    ----------
    weight : Tensor
        Shape (R, C), floating point, finite.
    banks : int
        1..C.
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
    magnitude = weight.detach().abs()
    _check_finite(weight, magnitude)
    if among is not None:
        magnitude = magnitude.masked_fill(~among, _PRUNED)
    chosen = select_top(bank_view(magnitude, banks, _PADDING), nonzeros)
    return from_view(chosen, weight.shape[1])


def _check_finite(weight: Tensor, magnitude: Tensor) -> None:
    # The maximum carries NaN and infinity, and is far quicker than a test of every entry.
    if weight.numel() and not torch.isfinite(magnitude.max()):
        at = tuple(torch.nonzero(~torch.isfinite(weight))[0].tolist())
        raise ValueError(
            f"weight at {at} is {weight[at].item()}: train to finite weights before pruning"
        )


def check_balanced(mask: Tensor, banks: int, expected: int | None = None) -> int:
    """Return k of a bank-balanced mask, or say where it is not balanced.

    Parameters
    ----------
    mask : Tensor
        Bool (R, C), true = kept.
    banks : int
        1..C.
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
    counts = bank_view(mask, banks).sum(-1)
    real = bank_view(torch.ones_like(mask[:1]), banks).sum(-1)
    k = _usual(counts[:, real[0] == real.max()]) if expected is None else expected
    wrong = counts != real.clamp(max=k)
    if wrong.any():
        row, bank = torch.nonzero(wrong)[0].tolist()
        raise UnbalancedError(
            f"row {row}, bank {bank} keeps {int(counts[row, bank])} weights, expected "
            f"{min(k, int(real[0, bank]))}: prune with BankBalancedPruner over {banks} banks"
        )
    return k


def _usual(counts: Tensor) -> int:
    return int(torch.bincount(counts.flatten()).argmax())
