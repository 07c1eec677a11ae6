"""Fields of records as numbers: names and widths, from which hardware and software derive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .design import Design, bits_for

__all__ = [
    "LEFT_BITS",
    "LOW_BITS",
    "MASTER_BITS",
    "SHIFT_BITS",
    "SPAN",
    "Field",
    "align_bits",
    "beats_bits",
    "context_bits",
    "lead_bits",
    "left_sum_bits",
    "most_left",
    "operand_bits",
    "promise_bits",
    "reach_bits",
    "row_left",
    "size_of",
    "sum_bits",
]


@dataclass(frozen=True)
class Field:
    """Some bits of a record, the first field lowest.

    Parameters
    ----------
    name : str
    width : int
        Bits, of each of its elements.
    count : int
        Elements of an array, the first lowest; 0 for a field that is none.
    signed : bool
    """

    name: str
    width: int
    count: int = 0
    signed: bool = False

    @property
    def size(self) -> int:
        """Bits in the record."""
        return self.width * (self.count if self.is_array else 1)

    @property
    def is_array(self) -> bool:
        """Whether it has elements, be it one."""
        return self.count > 0


SPAN = 16  # bits between the exponents of steps whose products are summed
MULTIPLIER = 18  # bits of a factor of one
LEFT_BITS = 3  # of a shift between formats of gates
MASTER_BITS = 8  # of a master below the last bit of its weight
LOW_BITS = MASTER_BITS + 1  # of it that are kept beside the weight: one tells where it saturated


def size_of(fields: Sequence[Field]) -> int:
    """Bits of a record."""
    return sum(field.size for field in fields)


SHIFT_BITS = 6


def align_bits(design: Design) -> int:
    """Bits of a left shift of sums."""
    return max(1, design.max_align.bit_length())


def beats_bits(design: Design) -> int:
    """Bits of a count of beats of one pass."""
    per_slot = max(design.units_per_slot, design.results_per_slot)
    return bits_for(max(design.cells, design.slots * per_slot) + 1)


def promise_bits(design: Design) -> int:
    """Bits of a count of beats of one pass of all streams that are there."""
    return beats_bits(design) + design.stream_bits


def context_bits(design: Design) -> int:
    """Bits that name a stream; one even if there is only one, as ports have no width of 0."""
    return bits_for(design.contexts)


def reach_bits(design: Design) -> int:
    """Bits that name one of the design's reaches."""
    return bits_for(len(design.reaches))


def lead_bits(design: Design) -> int:
    """Bits of the count of beats on their way home: two passes, and what the lanes hold."""
    return bits_for((2 << beats_bits(design)) * design.batch + 64)


def sum_bits(design: Design, bits: int, rows: int) -> int:
    """Bits of the sum of a column.

    Parameters
    ----------
    design : Design
    bits : int
        Of gradients, whose range is symmetric.
    rows : int
        Most weights of a column.
    """
    return design.value_bits + bits - 1 + max(1, rows - 1).bit_length()


def most_left(design: Design) -> int:
    """The largest shift between formats of gates, for which sums of columns have bits."""
    return max(0, min((1 << LEFT_BITS) - 1, design.max_align - SPAN))


def row_left(design: Design) -> int:
    """The largest shift of a weight on the way back by the format of its row's gate.

    Where PEs work on rows of one gate after the other, whose sums meet in the same columns; 0 where
    sums of gates are shifted as they meet, or where a weight would outgrow a multiplier.
    """
    left = most_left(design) if design.backward and design.abreast == 1 else 0
    return left if design.value_bits + left <= MULTIPLIER else 0


def operand_bits(design: Design) -> int:
    """Bits of what a weight or a gradient is multiplied by: an activation, or a shifted weight."""
    return max(design.act_bits, design.value_bits + row_left(design))


def left_sum_bits(design: Design) -> int:
    """Bits of the sum of a column as it leaves: of all PEs, in the finest format."""
    whole = sum_bits(design, design.value_bits, design.slots * design.pes)
    return min(design.acc_bits, whole + most_left(design))
