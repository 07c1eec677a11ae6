"""Hardware of :class:`compiler.abi.packing.Packing`: payloads to bus beats and back."""

from __future__ import annotations

from amaranth.hdl import Cat, Value

from compiler.abi.packing import Packing

__all__ = ["from_bus", "to_bus"]


def to_bus(packing: Packing, payload: Value) -> Value:
    """Hardware of :meth:`~compiler.abi.packing.Packing.pack`, ``beats * bits`` wide.

    Combinational; what is left of the last beat is missing at the top.
    """
    parts = []
    for element in packing.elements:
        value = payload[element.offset : element.offset + element.width]
        number = value.as_signed() if element.signed else value
        parts.append(_extended(number, element.container, element.signed))
    return Cat(*parts)


def from_bus(packing: Packing, word: Value) -> list[tuple[slice, Value]]:
    """Hardware of :meth:`~compiler.abi.packing.Packing.unpack`: where bits go, and the bits."""
    return [
        (slice(e.offset, e.offset + e.width), word[e.place : e.place + e.width])
        for e in packing.elements
    ]


def _extended(number: Value, width: int, signed: bool) -> Value:
    """A number in a wider container."""
    missing = width - len(number)
    top = number[-1] if signed else number[-1] & 0
    return Cat(number, top.replicate(missing)) if missing else Cat(number)
