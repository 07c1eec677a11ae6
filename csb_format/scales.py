"""Binary points: how the two products of a layer meet in an accumulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cells.lstm import CellArithmetic

if TYPE_CHECKING:
    from .model import LstmLayer
    from .shape import LstmShape

__all__ = ["GATES", "MAX_ALIGN", "DesignError", "PerGate", "Scales"]


MAX_ALIGN = 7  # largest left shift of a product sum, a 3-bit field of the program
GATES = len(CellArithmetic.gate_names)
PerGate = tuple[int, int, int, int]


class DesignError(ValueError):
    """A design that cannot exist, or a model that does not fit one."""


@dataclass(frozen=True)
class Scales:
    """Binary points of one layer: how its two products meet in the accumulator of each gate.

    Parameters
    ----------
    align_ih, align_hh : tuple of 4 int
        For gates i, f, g, o: left shift of the input and the recurrent sum,
        0..``MAX_ALIGN``.
    shift : tuple of 4 int
        Right shift from the accumulator to ``state`` format, 0..63.
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
        found = [
            _meet(ih.frac + given.input.frac, hh.frac + given.output.frac, given.state.frac)
            for ih, hh in gates
        ]
        align_ih, align_hh, shift = zip(*found, strict=True)
        return cls(align_ih, align_hh, shift)


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
