"""The sums of rows of all streams of a batch, in a PE."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory

from compiler.array.design import Design

from ..pipeline import registered

__all__ = ["shared_sums"]


def shared_sums(
    m: Module, design: Design, aligned: Signal, group: data.View, result: Signal
) -> None:
    """Add up rows in the memory of parked sums, which keeps one of each slot and stream.

    A sum comes back as soon as a cycle later, where but one stream is there: then it is taken from
    the accumulator, as the memory does not have it yet.

    Parameters
    ----------
    m : Module
        Of the PE.
    design : Design
    aligned : Signal
        The sum of a group's products.
    group : View
        :func:`~hdl.core.layouts.group_layout`, in the cycle before.
    result : Signal
        The sum of the last row that was not parked.
    """
    shape = signed(design.acc_bits)
    depth = design.slots << design.stream_bits
    m.submodules.parked = parked = Memory(shape=shape, depth=depth, init=[])
    now, place = registered(m, group, reset=True), _place(group)
    acc, total = Signal(shape, reset_less=True), Signal(shape)
    write, read = parked.write_port(), parked.read_port(transparent_for=())
    again = registered(m, now.valid & (_place(now) == place))
    empty = registered(m, group.first & ~group.parked)
    m.d.comb += [
        read.addr.eq(place),
        total.eq(Mux(empty, 0, Mux(again, acc, read.data)) + aligned),
        write.addr.eq(_place(now)),
        write.data.eq(total),
        write.en.eq(now.valid),
    ]
    with m.If(now.valid):
        m.d.sync += acc.eq(total)
    with m.If(now.valid & now.last & ~now.park):
        m.d.sync += result.eq(total)


def _place(group: data.View) -> Value:
    """Where a sum lies: those of a slot side by side."""
    return Cat(group.stream, group.slot)
