"""A mask as bit patterns: one AND zeroes what is pruned, whatever value it had."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["MaskBits"]

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
