"""How the payloads of the core's streams lie in beats of a bus."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from csb_format.scales import DesignError

from ..array.widths import Field, size_of

__all__ = ["Element", "Packing", "check_bus_bits"]

CONTAINERS = (8, 16, 32, 64)


def check_bus_bits(name: str, bits: int) -> None:
    """Raise a :class:`.DesignError` unless a bus can have this width."""
    if bits not in (32, 64, 128, 256, 512, 1024):
        raise DesignError(f"{name} = {bits}: take 32, 64, 128, 256, 512 or 1024 bits")


@dataclass(frozen=True)
class Element:
    """A number in a payload and where it lies on the bus.

    Parameters
    ----------
    offset, width : int
        In the payload.
    signed : bool
    place, container : int
        In the beats, counted from bit 0 of the first, and its bits there.
    """

    offset: int
    width: int
    signed: bool
    place: int
    container: int


class Packing:
    """Numbers in containers of 8, 16, 32 or 64 bits, the first lowest, over whole beats.

    A field too wide to be a number travels as it is.

    A payload takes ``beats`` beats; what is left of the last one is 0 and ignored. So a
    payload is an array, or a packed structure of arrays, in the memory of a host. Its
    hardware is in :mod:`hdl.bus.packing`.

    Parameters
    ----------
    fields : sequence of Field
        Of the payload.
    bits : int
        Of ``tdata``.
    leave_out : collection of str
        Fields that do not travel in ``tdata``.
    least : int
        Beats that a payload takes at least, those above its numbers 0.
    """

    def __init__(
        self, fields: Sequence[Field], bits: int, leave_out: Collection[str] = (), least: int = 1
    ):
        self.bits, self.size = bits, size_of(fields)
        place, self.elements = 0, list[Element]()
        for offset, field in _numbers(fields):
            if field.name in leave_out or field.width == 0:
                continue
            fitting = [c for c in CONTAINERS if c >= field.width]
            container = fitting[0] if fitting else field.width
            self.elements.append(Element(offset, field.width, field.signed, place, container))
            place += container
        self.beats = max(least, -(-place // bits))

    def pack(self, payload: int) -> list[int]:
        """A payload as beats."""
        word = 0
        for element in self.elements:
            value = payload >> element.offset & ((1 << element.width) - 1)
            if element.signed and value >> (element.width - 1):
                value += (1 << element.container) - (1 << element.width)
            word |= value << element.place
        return [word >> (self.bits * i) & ((1 << self.bits) - 1) for i in range(self.beats)]

    def unpack(self, beats: Sequence[int]) -> int:
        """Beats as a payload; fields left out are 0."""
        word = sum(beat << (self.bits * i) for i, beat in enumerate(beats))
        return sum(
            (word >> element.place & ((1 << element.width) - 1)) << element.offset
            for element in self.elements
        )


def _numbers(fields: Sequence[Field]) -> Iterator[tuple[int, Field]]:
    """Offset and field of every number, elements of arrays one by one."""
    offset = 0
    for field in fields:
        for _ in range(field.count or 1):
            yield offset, field
            offset += field.width
