"""The way back in the sequencer: weights meet gradients of N sequences, then columns leave."""

from typing import NamedTuple

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Member, Out

from compiler.array.design import Design, bits_for
from compiler.array.widths import beats_bits
from compiler.learn.commands import LEFT_BITS, Learn
from compiler.learn.transposed import COLUMNS_APART, column_bits, turns_of

__all__ = ["Walk", "back_members", "back_states", "back_steps_layout"]


def back_steps_layout(design: Design) -> data.StructLayout:
    """What all PEs do on the way back, but for ``promise``.

    ``on``: until all has left; ``fresh``: the word has gradients of a row; ``add``: a weight of the
    word is met; ``drain``: sums of ``column`` leave, ``final``: of the last; ``promise``: beats of
    them.
    """
    flags = {name: 1 for name in ("on", "fresh", "add", "drain", "final")}
    return data.StructLayout(
        {**flags, "column": column_bits(design), "promise": beats_bits(design)}
    )


def back_members(design: Design) -> dict[str, Member]:
    """Ports of the sequencer."""
    return {
        "back": Out(back_steps_layout(design)),
        "lefts": Out(data.ArrayLayout(LEFT_BITS, design.abreast)),
        "room": In(bits_for(design.output_depth + 1)),
    }


class Walk(NamedTuple):
    """Registers of the sequencer, and what it chooses in a cycle."""

    address: Signal
    row: Signal
    slot: Signal
    group: Signal
    lane: Signal
    wait: Signal
    take: Signal
    chosen: Signal
    read: Signal


def back_states(
    m: Module, design: Design, given: dict[Learn, Signal], at: Walk, back: data.View, room: Value
) -> None:
    """States of the sequencer's machine, from ``gradients`` or ``settle`` on.

    Parameters
    ----------
    m : Module
        Within an FSM that has a state ``idle``.
    design : Design
    given : dict
        Registers.
    at : Walk
        With counters at 0, and addresses of the first gradients and the first word.
    back : View
        Of :func:`back_steps_layout`.
    room : Value
        Of the output buffer.
    """
    last_group, last_slot = at.group == given[Learn.GROUPS] - 1, at.slot == given[Learn.SLOTS] - 1
    with m.State("gradients"):
        m.d.comb += [back.on.eq(1), back.fresh.eq(1), at.read.eq(at.row)]
        m.d.sync += [at.row.eq(at.row + 1), at.group.eq(0)]
        m.next = "weights"
    with m.State("weights"):
        m.d.comb += [back.on.eq(1), back.add.eq(1), at.read.eq(at.address)]
        m.d.comb += [at.take.eq(1), at.chosen.eq(at.lane)]
        m.d.sync += at.lane.eq(at.lane + 1)
        with m.If(at.lane == design.lanes - 1):
            m.d.sync += [at.lane.eq(0), at.address.eq(at.address + 1), at.group.eq(at.group + 1)]
            with m.If(last_group):
                m.d.sync += at.slot.eq(at.slot + 1)
                m.next = "gradients"
                with m.If(last_slot):
                    m.next = "settle"
    with m.State("settle"):
        m.d.comb += back.on.eq(1)
        m.d.sync += at.wait.eq(at.wait + 1)
        with m.If(at.wait == COLUMNS_APART - 2):
            m.next = "drain"
    _drain(m, design, given[Learn.WIDTH], back, room)
    with m.State("empty"):
        m.d.comb += back.on.eq(1)
        with m.If(room == design.output_depth):
            m.next = "idle"


def _drain(m: Module, design: Design, width: Value, back: data.View, room: Value) -> None:
    """Columns leave bank by bank, as fast as projectors' beats take them."""
    turns, index = turns_of(design), design.index_bits
    pause = Signal(range(turns + 1))
    place, bank = Signal(index), Signal(range(max(2, design.lanes)))
    last = place == width - 1
    m.d.comb += back.column.eq(Cat(place, bank))
    with m.State("drain"):
        m.d.comb += back.on.eq(1)
        with m.If(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        with m.Elif(room >= turns):
            m.d.comb += [back.drain.eq(1), back.promise.eq(turns)]
            m.d.sync += [pause.eq(turns - 1), place.eq(place + 1)]
            with m.If(last):
                m.d.sync += [place.eq(0), bank.eq(bank + 1)]
                with m.If(bank == design.lanes - 1):
                    m.d.comb += back.final.eq(1)
                    m.d.sync += [bank.eq(0), pause.eq(0)]
                    m.next = "empty"
