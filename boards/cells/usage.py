"""Kinds of cells, and how many of each a design takes."""

from __future__ import annotations

from dataclasses import dataclass

from ..board import Part

__all__ = ["RESOURCES", "Resource", "Usage"]


@dataclass(frozen=True)
class Resource:
    """A kind of cells that designs take and devices have.

    Parameters
    ----------
    name, short : str
        For people; for the head of a column.
    field : str
        Of :class:`Usage`.
    count : str
        What rows of results call it.
    capacity : str
        Field of :class:`~boards.families.family.Part`.
    """

    name: str
    short: str
    field: str
    count: str
    capacity: str

    def of(self, part: Part) -> int:
        """How many a device has; 0 where it has none, or more than any design takes."""
        if self.capacity == "registers" and part.registers is None:
            return part.luts
        return getattr(part, self.capacity) or 0


RESOURCES = (
    Resource("multipliers", "DSP", "multipliers", "dsp", "multipliers"),
    Resource("block RAM", "RAM", "block_rams", "ram", "block_rams"),
    Resource("LUT", "LUT", "luts", "lut", "luts"),
    Resource("registers", "FF", "registers", "ff", "registers"),
    Resource("large RAM", "SPRAM", "large_rams", "spram", "large_rams"),
    Resource("distributed RAM", "LUTRAM", "distributed", "distributed", "distributed"),
)
"""All kinds: estimates, capacities, reports and tables are lined up by these."""


@dataclass(frozen=True)
class Usage:
    """Cells of a design.

    Parameters
    ----------
    multipliers, block_rams, luts : int
    large_rams : int
        Memories of a single port, where the device has them.
    distributed : int
        Memories of 16 words of 4 bits.
    registers : int, optional
        Flip-flops; None: not counted.
    """

    multipliers: int
    block_rams: int
    luts: int
    large_rams: int = 0
    distributed: int = 0
    registers: int | None = None

    def limits(self, part: Part) -> dict[str, float]:
        """Share of the device that each takes; it fits where none is above 1."""
        counts = self.counts(part)
        shares = {r.name: counts[r.count] / r.of(part) for r in RESOURCES if r.count in counts}
        if self.large_rams <= part.large_rams:  # every PE has one: all taken is no limit
            shares.pop("large RAM", None)
        return shares

    def counts(self, part: Part) -> dict[str, int]:
        """Cells by the names of results, of every kind that the device has."""
        given = {r.count: getattr(self, r.field) for r in RESOURCES if r.of(part)}
        return {name: count for name, count in given.items() if count is not None}

    def limit(self, part: Part) -> tuple[str, float]:
        """What the device has least of, and the share taken."""
        shares = self.limits(part)
        name = max(shares, key=lambda n: shares[n])
        return name, shares[name]
