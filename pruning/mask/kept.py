"""One matrix, its mask, and what has to stay zero."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .agreement import forget_local
from .layers import MASK, ModuleT, copied, owner_of

__all__ = ["Kept", "MaskBits", "squashed"]

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class MaskBits:
    """Applies a mask in place, an order of magnitude faster than ``masked_fill_``.

    All ones where a weight is kept, zero elsewhere, as integers of the weight's width:
    AND gives +0.0 even for NaN and negative numbers, which a product would not. They are
    made anew when the mask, or the width, has changed.
    """

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._bits = torch.empty(0)

    def apply(self, values: Tensor, mask: Tensor) -> None:
        """Zero ``values`` outside ``mask``.

        Parameters
        ----------
        values : Tensor
            Floating point, any strides; changed in place.
        mask : Tensor
            Bool, same shape and device.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        words, kept = self.words(values, mask)
        words.bitwise_and_(kept)

    def words(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Both sides of the AND: ``values`` as integers (a view), and what to keep of them.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if values.shape != mask.shape:
            raise ValueError(
                f"mask of shape {tuple(mask.shape)} for values of shape {tuple(values.shape)}"
            )
        integer = _INTEGERS[values.element_size()]
        return values.view(integer), self._of(mask, integer)

    def _of(self, mask: Tensor, integer: torch.dtype) -> Tensor:
        # A tensor's version counts its changes in place, also by load_state_dict.
        key = (mask.data_ptr(), mask._version, mask.device, integer)
        if key != self._key:
            self._bits = mask.to(integer).neg_()
            self._key = key
        return self._bits


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


def squashed(module: ModuleT, names: Sequence[str], shared: bool = False) -> ModuleT:
    """A copy without the masks of these matrices; see :meth:`.Pruner.squash`."""
    plain = copied(module, shared)
    for name in names:
        owner, leaf = owner_of(plain, name)
        delattr(owner, leaf + MASK)
    forget_local(plain, [name + MASK for name in names])
    return plain
