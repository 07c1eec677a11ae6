"""Commands of the learner: registers that load packets write, the last of which starts it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from csb_format.scales import DesignError

from ..array.design import Design
from ..array.widths import LEFT_BITS, most_left, row_left
from ..lower.load import Space, packet
from .dice import STATE_BITS, WEYL
from .layout import LearningLayout

__all__ = [
    "FACTOR_BITS",
    "LEFT_BITS",
    "MOST_PLACE",
    "PLACE_BITS",
    "Back",
    "Learn",
    "Update",
    "read_packet",
    "word_packets",
]

FACTOR_BITS = 15  # of the rate
PLACE_BITS = 7  # of a shift, signed
LEAST_PLACE, MOST_PLACE = -38, 62


class Learn(enum.IntEnum):
    """Registers, in the order of their addresses; ``GO``, ``READ`` and ``BACK`` start."""

    BASE = 0
    GROUPS = 1
    SLOTS = 2
    GRADIENTS = 3
    CHUNKS = 4
    DIGITS = 5
    TAPE = 6
    MASTERS = 7
    START = 8
    STRIDE = 9
    RATE = 10
    GO = 11
    READ = 12
    WIDTH = 13
    LEFTS = 14
    BACK = 15


@dataclass(frozen=True)
class Update:
    """One update of all weights of a pass.

    Parameters
    ----------
    layout : LearningLayout
        Of the answers of this batch, or more.
    place : int
        How far sums are shifted to the right (to the left, where negative): -38 to 62.
    factor : int
        Of the rate, 15 bits.
    start : int
        Of the dice of columns, 32 bits.
    lefts : tuple of int, optional
        Left shift of the sums of each gate, beside those of gradients; as :class:`Back` has them.
    """

    layout: LearningLayout
    place: int
    factor: int
    start: int
    lefts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not LEAST_PLACE <= self.place <= MOST_PLACE:
            raise DesignError(f"place = {self.place}: must be {LEAST_PLACE} to {MOST_PLACE}")

    @property
    def registers(self) -> dict[Learn, int]:
        """What is written into them."""
        at = self.layout
        return {
            Learn.BASE: at.given.instruction.matrix,
            Learn.GROUPS: at.groups,
            Learn.SLOTS: at.slots,
            Learn.GRADIENTS: at.gradients,
            Learn.CHUNKS: at.chunks,
            Learn.DIGITS: len(at.aligns),
            Learn.TAPE: at.tape,
            Learn.MASTERS: at.masters,
            Learn.START: self.start,
            Learn.STRIDE: at.groups * WEYL & ((1 << STATE_BITS) - 1),
            Learn.RATE: self.factor | (self.place & ((1 << PLACE_BITS) - 1)) << FACTOR_BITS,
            Learn.GO: 1,
        }

    def packet(self) -> list[int]:
        """The load packet that starts it."""
        design, words = self.layout.design, list(self.registers.values())
        found = list[int]()
        if design.backward:
            found = packet(design, Space.LEARN, 0, Learn.LEFTS, [_lefts(self.lefts)], "learn")
        return found + packet(design, Space.LEARN, 0, 0, words, "learn")


@dataclass(frozen=True)
class Back:
    """One product W^T d of N sequences, which leaves column after column.

    Parameters
    ----------
    layout : LearningLayout
    slots : int, optional
        Rows of a PE; 0 for none: what accumulators hold leaves.
    width : int, optional
        Places of a bank that leave.
    lefts : tuple of int, optional
        Left shift of the sums of each gate, whose rows PEs side by side have:
        0 to :func:`~compiler.array.widths.most_left`.
    gradients : int, optional
        Their first word; by default where :meth:`.LearningLayout.back_packets` puts them.
    marked : int, optional
        Shift that lies with all gradients beside those of their rows' formats.
    """

    layout: LearningLayout
    slots: int
    width: int
    lefts: tuple[int, ...] = ()
    gradients: int | None = None
    marked: int = 0

    def __post_init__(self) -> None:
        apart = max(*self.lefts, 0, self.layout.span if self.layout.marks_rows else 0)
        if apart > (most := most_left(self.layout.design)):
            raise DesignError(
                f"formats of gates lie {apart} bits apart, the array's sums {most}: take another "
                "design"
            )

    @classmethod
    def of(
        cls,
        layout: LearningLayout,
        lefts: tuple[int, ...] = (),
        gradients: int | None = None,
        marked: int = 0,
    ) -> Back:
        """Of all rows and columns of a pass."""
        width = layout.given.geometry.bank_width
        return cls(layout, layout.slots, width, lefts, gradients, marked)

    @classmethod
    def empty(cls, layout: LearningLayout) -> Back:
        """Of no row: all accumulators are 0 after it."""
        return cls(layout, 0, 1 << layout.design.index_bits)

    @property
    def columns(self) -> int:
        """That leave."""
        return self.layout.design.lanes * self.width

    @property
    def _register(self) -> int:
        """Shifts of all gates, or what those of a word of gradients are taken from."""
        if not row_left(self.layout.design):
            return _lefts(self.lefts)
        most = self.layout.span if self.layout.marks_rows else 0
        return most + self.marked & (1 << LEFT_BITS) - 1

    def packets(self) -> list[int]:
        """Load packets that start it."""
        at, design = self.layout, self.layout.design
        gradients = at.gradients if self.gradients is None else self.gradients
        first = [at.given.instruction.matrix, at.groups, self.slots, gradients]
        words = packet(design, Space.LEARN, 0, Learn.BASE, first, "learn")
        last = [self.width, self._register, 1]
        return words + packet(design, Space.LEARN, 0, Learn.WIDTH, last, "learn")


def _lefts(lefts: tuple[int, ...]) -> int:
    """The register of all gates."""
    return sum(left << LEFT_BITS * gate for gate, left in enumerate(lefts))


def word_packets(layout: LearningLayout, word: int) -> list[int]:
    """Load packets that name the word that weights are read of, from the first of the pass on."""
    design, base = layout.design, layout.given.instruction.matrix
    first = packet(design, Space.LEARN, 0, Learn.BASE, [base + word], "learn")
    low = layout.masters + word * design.lanes
    return first + packet(design, Space.LEARN, 0, Learn.MASTERS, [low], "learn")


def read_packet(design: Design, pe: int, lane: int) -> list[int]:
    """The load packet after which the learner shows a weight of the word that was named.

    Parameters
    ----------
    design : Design
    pe, lane : int
    """
    return packet(design, Space.LEARN, 0, Learn.READ, [pe | lane << 16], "learn")
