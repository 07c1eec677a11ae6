"""A PE's copy of a vector bank: one memory, or parts that look-up tables have room for."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.lib import data
from amaranth.lib.memory import Memory

from compiler.array.design import PART_PLACES, Design

from ..layouts import bank_write_layout

__all__ = ["BLOCKS", "UNGUARDED", "element_bank", "part_writes"]

PART_BITS = (PART_PLACES - 1).bit_length()
UNGUARDED = {"no_rw_check": 1}  # as Yosys calls it
BLOCKS = {"ram_style": "block"}  # as Vivado does, and Yosys for all families


def part_writes(m: Module, design: Design, write: data.View) -> data.View:
    """A write to the vectors as all PEs take it.

    Parameters
    ----------
    m : Module
        Of the core.
    design : Design
    write : View
        :func:`~hdl.core.layouts.vector_write_layout`.

    Returns
    -------
    View
        :func:`~hdl.core.layouts.bank_write_layout`, in the same cycle: which part of a bank is
        meant is found once for all PEs.
    """
    if not design.parts:
        return write
    found = Signal(bank_write_layout(design))
    m.d.comb += [found.row.eq(write.row), found.data.eq(write.data)]
    for part in range(len(design.bank_parts)):
        here = write.row[PART_BITS:] == part
        m.d.comb += [en[part].eq(write.en[n] & here) for n, en in enumerate(found.en)]
    return found


def element_bank(
    m: Module, design: Design, name: str, shape: Shape, write: data.View, at: int, place: Value
) -> Value:
    """The element at a place, one cycle later; written in that cycle, it is the old one.

    Parameters
    ----------
    m : Module
        Of the PE.
    design : Design
    name : str
        Of the memory.
    shape : Shape
        Of an element.
    write : View
        :func:`~hdl.core.layouts.bank_write_layout`.
    at : int
        Which of its elements is written here.
    place : Value
        That is read.
    """
    attrs = (UNGUARDED if design.unguarded else {}) | (BLOCKS if design.block_banks else {})
    memories = [Memory(shape=shape, depth=n, init=[], attrs=attrs) for n in design.bank_parts]
    reads = []
    for part, memory in enumerate(memories):
        m.submodules[f"{name}_part{part}" if design.parts else name] = memory
        # where parts are chosen from, the register lies behind the choice
        kind: dict[str, Any] = {"domain": "comb"} if design.parts else {"transparent_for": ()}
        port, read = memory.write_port(), memory.read_port(**kind)
        m.d.comb += [
            port.en.eq(write.en[at][part] if design.parts else write.en[at]),
            port.addr.eq(write.row),
            port.data.eq(write.data[at]),
            read.addr.eq(place),
        ]
        reads.append(read.data)
    return _chosen(m, name, shape, reads, place) if design.parts else reads[0]


def _chosen(m: Module, name: str, shape: Shape, reads: list[Value], place: Value) -> Signal:
    """Of the part that a place lies in, in a register."""
    element = Signal(shape, name=f"{name}_element", reset_less=True)
    with m.Switch(place[PART_BITS:]):
        for part, read in enumerate(reads[:-1]):
            with m.Case(part):
                m.d.sync += element.eq(read)
        with m.Default():
            m.d.sync += element.eq(reads[-1])
    return element
