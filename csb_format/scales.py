"""Binary points: how the two products of a layer meet in an accumulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cells import cell_named

if TYPE_CHECKING:
    from .model import LstmLayer
    from .shape import LstmShape

__all__ = ["MAX_ALIGN", "DesignError", "PerGate", "Scales"]

MAX_ALIGN = 7  # largest left shift of a product sum, a 3-bit field of the program
PerGate = tuple[int, ...]


class DesignError(ValueError):
    """A design that cannot exist, or a model that does not fit one."""


@dataclass(frozen=True)
class Scales:
    """Binary points of one layer: how its two products meet in the accumulator of each gate.

    Parameters
    ----------
    align_ih, align_hh : tuple of int
        For every gate of the cell: left shift of the input and the recurrent sum,
        0..``MAX_ALIGN``.
    shift : tuple of int
        For every sum of the cell: right shift from the accumulator to ``state`` format, 0..63.
    """

    align_ih: PerGate
    align_hh: PerGate
    shift: PerGate

    @staticmethod
    def largest(layer: LstmLayer | LstmShape) -> int:
        """Largest left shift that a layer needs."""
        found = Scales.of(layer)
        return max(*found.align_ih, *found.align_hh)

    @classmethod
    def of(cls, layer: LstmLayer | LstmShape) -> Scales:
        """Scales of a layer.

        Raises
        ------
        DesignError
            If the two products lie further apart than ``MAX_ALIGN`` bits.
        """
        given = layer.shape
        gates = zip(given.weight_ih_formats, given.weight_hh_formats, strict=True)
        points = [(ih.frac + given.input.frac, hh.frac + given.output.frac) for ih, hh in gates]
        align_ih, align_hh = [0] * len(points), [0] * len(points)
        shift = []
        for _, gate, reads_input, reads_state, _ in cell_named(given.cell).sums:
            # a sum of one product alone has its binary point to itself
            ih, hh = points[gate]
            left_ih, left_hh, right = _meet(
                ih if reads_input else hh, hh if reads_state else ih, given.state.frac
            )
            if reads_input:
                align_ih[gate] = left_ih
            if reads_state:
                align_hh[gate] = left_hh
            shift.append(right)
        return cls(tuple(align_ih), tuple(align_hh), tuple(shift))


def _meet(ih: int, hh: int, state: int) -> tuple[int, int, int]:
    """Left shifts of two sums to one binary point, and the shift from there to ``state``."""
    frac = max(ih, hh, state)
    if max(frac - ih, frac - hh) > MAX_ALIGN:
        raise DesignError(
            f"binary points of the products, {ih} (input) and {hh} (recurrent), must lie "
            f"within {MAX_ALIGN} bits and not below {state - MAX_ALIGN}: "
            "choose other weight formats"
        )
    return frac - ih, frac - hh, frac - state
