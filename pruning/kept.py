"""One matrix, its mask, and what has to stay zero."""

from __future__ import annotations

import weakref
from collections.abc import Callable
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
        self._key: tuple[object, ...] = ()
        self._words = self._kept = torch.empty(0)

    @property
    def weight(self) -> nn.Parameter:
        """The parameter, shape (R, C)."""
        return cast(nn.Parameter, self._owner._parameters[self._leaf])

    @property
    def mask(self) -> Tensor:
        """The mask buffer: bool (R, C), true = kept."""
        return cast(Tensor, self._owner._buffers[self._leaf + MASK])

    def enforce(self) -> None:
        """Set pruned weights to exactly zero.

        The views of a matrix are kept from step to step: making them takes longer than the
        AND itself in a small layer.
        """
        weight, mask = self.weight, self.mask
        key = (weight.data_ptr(), weight.dtype, mask.data_ptr(), mask._version)
        if key != self._key:
            self._words, self._kept = self._bits.words(weight.detach(), mask)
            self._key = key
        self._words.bitwise_and_(self._kept)

    def gradient_hook(self) -> Callable[[Tensor], None]:
        """Return what sets the gradient of pruned weights to zero once it is accumulated.

        It does not keep the module alive: the garbage collector cannot see what such a hook
        of a parameter holds, so that a strong reference would never be let go.
        """
        owner, leaf, bits = weakref.ref(self._owner), self._leaf, self._bits

        def arrived(weight: Tensor) -> None:
            module = owner()
            if module is not None:
                bits.apply(cast(Tensor, weight.grad), cast(Tensor, module._buffers[leaf + MASK]))

        return torch.no_grad()(arrived)

    @torch.no_grad()
    def forget(self, optimizer: Optimizer) -> None:
        """Zero what an optimizer remembers of pruned weights."""
        if self.weight not in optimizer.state:
            return
        for value in optimizer.state[self.weight].values():
            if torch.is_tensor(value) and value.shape == self.weight.shape:
                self._bits.apply(value, self.mask)
