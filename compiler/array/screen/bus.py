"""Planes in a memory outside: how a row lies there, and how rows follow each other on a bus.

Two tables, both indexed by the row's number (blocks in their order, so rows of a block side by
side). A row of the first holds what its first bound needs, one of the second all else, so that a
second plane is the beginning of a whole row. Rows begin at multiples of a power of two: a row's
address is its number, shifted, and none crosses 4 KiB, as an AXI4 burst must not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from csb_format.arguments import whole
from csb_format.scales import DesignError

from .design import BUS_BITS, ScreenDesign

__all__ = ["BUS_BITS", "MARKS_BITS", "Field", "PlaneLayout", "ScreenBus", "bus_of", "outside"]

MARKS_BITS = 32
_PAGE = 4096  # bytes: no AXI4 burst crosses a multiple of it (IHI 0022, A3.4.1)
_MOST_BEATS = 256  # of an AXI4 burst
# places of the queues behind blocks and second planes, where requests wait for a memory outside
_AHEAD, _FINAL = 8, 16


def _check_width(bits: int) -> None:
    if type(bits) is not int or bits not in BUS_BITS:
        widths = ", ".join(map(str, BUS_BITS))
        raise DesignError(f"bits = {bits} of a screen's bus: must be one of {widths}")


@dataclass(frozen=True)
class Field:
    """Bits of a row that belong together.

    Parameters
    ----------
    start, bits : int
        The lowest bit in the row, and how many.
    word : int
        Bits that lanes take in a cycle; 0 for a number, taken in the first.
    cycle : int
        The cycle of the row's in which they take the first word.
    """

    start: int
    bits: int
    word: int = 0
    cycle: int = 0

    @property
    def end(self) -> int:
        """The bit behind it."""
        return self.start + self.bits

    def last_use(self, low: int, high: int) -> int:
        """The last cycle in which bits ``low`` to before ``high`` of the row are taken, or 0."""
        if not self.word or high <= self.start or low >= self.end:
            return 0
        return self.cycle + (min(high, self.end) - 1 - self.start) // self.word


@dataclass(frozen=True)
class PlaneLayout:
    """Rows of a head in memory, for a bus of some width.

    Parameters
    ----------
    design : ScreenDesign
    bits : int
        Of a beat, one of ``BUS_BITS``.

    Raises
    ------
    DesignError
        For another width, or rows that no burst holds: 4,096 bytes, 256 beats.
    """

    design: ScreenDesign
    bits: int

    def __post_init__(self) -> None:
        _check_width(self.bits)
        most = min(_PAGE // self.beat_bytes, _MOST_BEATS)
        if self.beats[2] > most:
            raise DesignError(
                f"a whole row of {self.design.places} places takes {self.beats[2]} beats of "
                f"{self.bits} bits: at most {most}, what an AXI4 burst holds; use a wider bus or "
                "keep the planes on the chip"
            )

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat."""
        return self.bits // 8

    @cached_property
    def first(self) -> dict[str, Field]:
        """Of a row of the first table: its numbers, then signs and sizes, first place lowest."""
        design = self.design
        signs = Field(MARKS_BITS, 2 * design.places, 2 * design.digits)
        return {"marks": Field(0, MARKS_BITS), "signs": signs}

    @cached_property
    def refined(self) -> dict[str, Field]:
        """Of a row of the second table: up to the end of ``middle`` for a second bound."""
        design, lanes = self.design, self.design.lanes
        second = Field(0, design.second_bits)
        middle = Field(second.end, 5 * design.places, 5 * lanes)
        number = Field(middle.end, design.logit_bits + design.row_bits)
        low = Field(number.end, design.low_bits * design.places, design.low_bits * lanes,
                    design.words)  # fmt: skip
        return {"second": second, "middle": middle, "whole": number, "low": low}

    @property
    def beats(self) -> tuple[int, int, int]:
        """Beats of a row's first plane, of its second, and of all of the second table's row."""
        ends = self.first["signs"].end, self.refined["middle"].end, self.refined["low"].end
        first, second, row = (-(-end // self.bits) for end in ends)
        return first, second, row

    @property
    def strides(self) -> tuple[int, int]:
        """Bytes from row to row in the first and the second table, powers of two."""
        first, _, row = (1 << (self.beat_bytes * n - 1).bit_length() for n in self.beats)
        return first, row

    @property
    def offset(self) -> int:
        """Bytes from the beginning of the first table to that of the second."""
        first, row = self.strides
        return -(-self.design.rows * first // row) * row

    @property
    def length(self) -> int:
        """Bytes of both tables."""
        return self.offset + self.design.rows * self.strides[1]

    @property
    def uses(self) -> tuple[list[int], list[int], list[int]]:
        """Of each beat of a row, by kind: the row's last cycle on the lanes that takes from it."""
        refined = self.refined
        second = {"middle": refined["middle"]}
        first, part, row = (
            [
                max(f.last_use(b * self.bits, (b + 1) * self.bits) for f in fields.values())
                for b in range(beats)
            ]
            for fields, beats in zip((self.first, second, refined), self.beats, strict=True)
        )
        return first, part, row

    @property
    def spacings(self) -> tuple[int, int, int]:
        """Cycles from a request to the next for the same lanes, so that a row never waits for them.

        A row is taken from a buffer when its last beat is there; a beat of the next may come in its
        place as soon as it was used.
        """
        design, least = self.design, self.beats[1]
        takes = design.groups, design.words, design.exact_cycles
        found = []
        for n, uses, cycles, shortest in zip(
            self.beats, self.uses, takes, (self.beats[0], least, least), strict=True
        ):
            late = max(use - beat for beat, use in enumerate(uses))
            found.append(n + max(0, late, cycles - shortest))
        return found[0], found[1], found[2]


@dataclass(frozen=True)
class ScreenBus:
    """A memory outside that a screen unit's planes lie in, as its cycles see it.

    Rows are asked for one by one, a burst each: whole rows before second planes, these before first
    planes, each in the order of its queue. Answers come in order, a beat a cycle.

    Parameters
    ----------
    bits : int
        Of a beat, one of ``BUS_BITS``.
    latency : int
        Cycles from an accepted address to its first beat, at least 1.
    outstanding : int
        Most bursts asked for and not yet complete, 1..1024.

    Raises
    ------
    DesignError
        If one of these does not hold.
    """

    bits: int
    latency: int = 64
    outstanding: int = 128

    def __post_init__(self) -> None:
        try:
            whole("latency", self.latency, 1, 1 << 20)
            whole("outstanding", self.outstanding, 1, 1024)
        except ValueError as error:
            raise DesignError(f"{error} (of a screen's bus)") from error
        _check_width(self.bits)

    def layout(self, design: ScreenDesign) -> PlaneLayout:
        """How rows lie in memory."""
        return PlaneLayout(design, self.bits)

    def bytes(self, design: ScreenDesign, first: int, second: int, exact: int) -> int:
        """What a state reads: rows that went so far over the bus, and bounds of all blocks.

        These bounds, 4 bytes a block, the unit has on the chip.
        """
        beats = np.dot(self.layout(design).beats, (first, second, exact))
        return int(beats) * self.bits // 8 + 4 * design.blocks


def outside(design: ScreenDesign, bits: int) -> ScreenDesign:
    """The same unit with its planes in a memory outside: a bus, and longer queues before it.

    Parameters
    ----------
    design : ScreenDesign
    bits : int
        Of a beat, one of ``BUS_BITS``.

    Raises
    ------
    DesignError
        For another width, or rows that no burst holds.
    """
    PlaneLayout(design, bits)
    return replace(design, bus_bits=bits, blocks_ahead=_AHEAD, finalists=_FINAL)


def bus_of(design: ScreenDesign) -> ScreenBus | None:
    """The bus of a unit with planes outside, of a memory of the usual latency; else none."""
    return ScreenBus(design.bus_bits) if design.bus_bits else None
