"""How the payloads of the core's streams lie in beats of a bus: hardware and model in one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Shape, Value, signed
from amaranth.lib import data

from csb_format.design import DesignError

__all__ = ["Packing", "check_bus_bits"]

CONTAINERS = (8, 16, 32, 64)


def check_bus_bits(name: str, bits: int) -> None:
    """Raise a :class:`DesignError` unless a bus can have this width."""
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
    payload is an array, or a packed structure of arrays, in the memory of a host.

    Parameters
    ----------
    layout : StructLayout
        Of the payload.
    bits : int
        Of ``tdata``.
    leave_out : collection of str
        Fields that do not travel in ``tdata``.
    """

    def __init__(self, layout: data.StructLayout, bits: int, leave_out: Collection[str] = ()):
        self.bits, self.size = bits, layout.size
        place, self.elements = 0, list[Element]()
        for name, field in layout:
            if name in leave_out or field.width == 0:
                continue
            for offset, shape in _numbers(field):
                fitting = [c for c in CONTAINERS if c >= shape.width]
                container = fitting[0] if fitting else shape.width
                self.elements.append(Element(offset, shape.width, shape.signed, place, container))
                place += container
        self.beats = -(-place // bits)

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

    def to_bus(self, payload: Value) -> Value:
        """Hardware of :meth:`pack`, ``beats * bits`` wide."""
        parts = []
        for element in self.elements:
            value = payload[element.offset : element.offset + element.width]
            shape = signed(element.container) if element.signed else element.container
            number = value.as_signed() if element.signed else value
            parts.append(_extended(number, shape))
        return Cat(*parts)

    def from_bus(self, word: Value) -> list[tuple[slice, Value]]:
        """Hardware of :meth:`unpack`: bits of the payload and what they are."""
        return [
            (slice(e.offset, e.offset + e.width), word[e.place : e.place + e.width])
            for e in self.elements
        ]


def _numbers(field: data.Field) -> list[tuple[int, Shape]]:
    """Offset and shape of a field, or of each element of an array."""
    if not isinstance(field.shape, data.ArrayLayout):
        return [(field.offset, Shape.cast(field.shape))]
    shape = Shape.cast(field.shape.elem_shape)
    return [(field.offset + shape.width * i, shape) for i in range(field.shape.length)]


def _extended(number: Value, shape: Shape | int) -> Value:
    """A number in a wider container."""
    missing = Shape.cast(shape).width - len(number)
    top = number[-1] if Shape.cast(shape).signed else number[-1] & 0
    return Cat(number, top.replicate(missing)) if missing else Cat(number)
