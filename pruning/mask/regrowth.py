"""Moving kept weights to where the loss asks for them, the number per group unchanged."""

from __future__ import annotations

import torch
from torch import Tensor

from .selection import select_top
from .views import View, unit_scores

__all__ = ["regrown_mask"]


def regrown_mask(
    view: View, weight: Tensor, gradient: Tensor, mask: Tensor, keep: int, moved: int
) -> Tensor:
    """Drop the smallest kept units of every group, grow those with the largest gradient.

    RigL (Evci et al. 2020) per group. A unit that is dropped may be grown again at once.

    Parameters
    ----------
    view : View
    weight, gradient : Tensor
        Shape (R, C); the gradient of all weights, pruned ones too.
    mask : Tensor
        Bool (R, C), ``keep`` units in every group.
    keep, moved : int
        Units kept in every group, and how many of them move: 0..keep.

    Returns
    -------
    Tensor
        Bool (R, C), ``keep`` units in every group; ties go to the lowest index.

    Raises
    ------
    ValueError
        If ``moved`` is out of range, or the gradient is not finite.
    """
    if not 0 <= moved <= keep:
        raise ValueError(f"{moved} units to move: must be 0 to the {keep} kept")
    if moved == 0:
        return mask.clone()
    wanted = unit_scores(view, gradient.abs())
    if not (wanted < float("inf")).all():
        raise ValueError("gradient is not finite: lower the learning rate, or clip gradients")
    if moved < keep:
        staying = select_top(unit_scores(view, weight.abs(), mask), keep - moved)
        wanted = wanted.masked_fill(staying & _real(view, mask), float("inf"))
    grown = select_top(wanted, keep)[..., None]
    size = view.layout(*mask.shape).size
    return view.ungroup(grown.expand(-1, -1, size), *mask.shape)


def _real(view: View, mask: Tensor) -> Tensor:
    return view.group(torch.ones_like(mask, dtype=torch.uint8), 0).sum(-1) > 0
