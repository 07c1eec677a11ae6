"""One matrix, its mask, and what has to stay zero."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .bits import MaskBits
from .layers import MASK

__all__ = ["Kept"]


class Kept:
    """Keeps the pruned weights of one matrix at zero.

    Parameters
    ----------
    owner : nn.Module
        Of the parameter.
    leaf : str
        Its name there; the mask is the buffer ``<leaf>_mask``.
    """

    def __init__(self, owner: nn.Module, leaf: str) -> None:
        self._owner, self._leaf = owner, leaf
        self._bits = MaskBits()

    @property
    def weight(self) -> nn.Parameter:
        """The parameter, shape (R, C)."""
        return cast(nn.Parameter, self._owner._parameters[self._leaf])

    @property
    def mask(self) -> Tensor:
        """The mask buffer: bool (R, C), true = kept."""
        return cast(Tensor, self._owner._buffers[self._leaf + MASK])

    @torch.no_grad()
    def enforce(self) -> None:
        """Set pruned weights to exactly zero."""
        self._bits.apply(self.weight, self.mask)

    @torch.no_grad()
    def mask_gradient(self) -> None:
        """Set the gradient of pruned weights to exactly zero."""
        self._bits.apply(cast(Tensor, self.weight.grad), self.mask)

    @torch.no_grad()
    def forget(self, optimizer: Optimizer) -> None:
        """Zero what an optimizer remembers of pruned weights."""
        if self.weight not in optimizer.state:
            return
        for value in optimizer.state[self.weight].values():
            if torch.is_tensor(value) and value.shape == self.weight.shape:
                self._bits.apply(value, self.mask)
