"""The sums of rows of all streams of a batch, in a PE."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory

from compiler.array.design import Design

from ..pipeline import held, registered

__all__ = ["shared_sums"]


def shared_sums(
    m: Module, design: Design, aligned: Signal, early: data.View, group: data.View, result: Signal
) -> None:
    """Add up rows in the memory of parked sums, which keeps one of each slot and stream.

    A sum comes back as soon as a cycle later, where but one stream is there: then it is taken from
    the accumulator, as the memory does not have it yet. In a deep design, where nothing but a
    register may lie before the adder, so is that of two cycles later.

    Parameters
    ----------
    m : Module
        Of the PE.
    design : Design
    aligned : Signal
        The sum of a group's products.
    early, group : View
        :func:`~hdl.core.layouts.group_layout`, two cycles before and one.
    result : Signal
        The sum of the last row that was not parked.
    """
    shape = signed(design.acc_bits)
    depth = design.slots << design.stream_bits
    m.submodules.parked = parked = Memory(shape=shape, depth=depth, init=[])
    now, place = registered(m, group, reset=True), _place(group)
    acc, total = Signal(shape, reset_less=True), Signal(shape)
    write, read = parked.write_port(), parked.read_port(transparent_for=())
    empty, again = group.first & ~group.parked, now.valid & (_place(now) == place)
    if design.deep:
        before = registered(m, now.valid & (_place(now) == _place(early)))
        old = registered(m, Mux(empty, 0, Mux(before, acc, read.data)))
        kept = Mux(registered(m, again & ~empty), acc, old)
    else:
        kept = Mux(registered(m, empty), 0, Mux(registered(m, again), acc, read.data))
    m.d.comb += [
        read.addr.eq(_place(early) if design.deep else place),
        total.eq(kept + aligned),
        write.addr.eq(_place(now)),
        write.data.eq(total),
        write.en.eq(now.valid),
    ]
    with m.If(now.valid):
        m.d.sync += acc.eq(total)
    done: Value = now.valid & now.last & ~now.park
    found = total
    if design.deep:
        done, found = registered(m, done, reset=True), acc
    m.d.comb += result.eq(held(m, found, done))


def _place(group: data.View) -> Value:
    """Where a sum lies: those of a slot side by side."""
    return Cat(group.stream, group.slot)
