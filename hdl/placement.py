"""Which row every PE works on in every slot, and where its result goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csb_format.design import GATES, Design
from csb_format.fixed import IntArray

__all__ = ["PADDING", "Placement"]

PADDING = -1


@dataclass(frozen=True)
class Placement:
    """The elements of a vector in processing order.

    Element ``t`` of the processing order is element ``(t mod N) * w + t div N`` of the
    vector, so that results that are done together lie in different banks.

    Parameters
    ----------
    design : Design
    size : int
        Elements of the vector: units of a layer, outputs of a projection.
    bank_width : int
        w, its places in a bank.
    gates : int
        Rows of the matrix for each element: 4 for units, 1 for outputs.
    """

    design: Design
    size: int
    bank_width: int
    gates: int = GATES

    @property
    def elements(self) -> int:
        """Elements with padding, N * w."""
        return self.design.lanes * self.bank_width

    @property
    def lanes(self) -> int:
        """Results of a beat: E, or Q where there is one row an element."""
        return self.design.units if self.gates == GATES else self.design.projectors

    @property
    def beats(self) -> int:
        """Beats in which all results come home."""
        return -(-self.elements // self.lanes)

    @property
    def slots(self) -> int:
        """Rows that every PE works on in a pass."""
        return -(-self.gates * self.elements // self.design.pes)

    @property
    def order(self) -> IntArray:
        """Element at each place of the processing order, int64, -1 for padding."""
        t = np.arange(self.slots * self.design.pes // self.gates)
        element = (t % self.design.lanes) * self.bank_width + t // self.design.lanes
        real = (t < self.elements) & (element < self.size)
        return np.where(real, element, PADDING)

    @property
    def rows(self) -> IntArray:
        """Row of the matrix in each slot and PE, int64 (slots, M), -1 for padding."""
        element = self.order.reshape(self.slots, -1, 1)
        row = element + np.arange(self.gates) * self.size
        return np.where(element < 0, PADDING, row).reshape(self.slots, self.design.pes)

    @property
    def _dealt(self) -> IntArray:
        """The order of what the lanes put out: whole beats."""
        return self.order[: self.beats * self.lanes]

    def to_order(self, natural: IntArray) -> IntArray:
        """Values (..., size) by element to values (..., beats * lanes) as they are put out."""
        order = self._dealt
        return np.where(order < 0, 0, natural[..., order])

    def from_order(self, ordered: IntArray) -> IntArray:
        """Values (..., beats * lanes) as they are put out to values (..., size) by element."""
        order = self._dealt
        natural = np.zeros((*ordered.shape[:-1], self.size), ordered.dtype)
        natural[..., order[order >= 0]] = ordered[..., order >= 0]
        return natural
