"""Registers that carry values along a pipeline."""

from amaranth.hdl import Cat, Module, Shape, Signal, Value
from amaranth.lib import data

__all__ = ["carried", "delayed", "held", "registered"]


def registered(
    m: Module, value: data.View | Value, *, reset: bool = False, clear: Value | None = None
) -> data.View:
    """``value`` one cycle later.

    Parameters
    ----------
    m : Module
    value : Value or View
    reset : bool
        Whether reset clears the register; of a record that begins with ``valid`` or ``en`` that
        alone. Data needs no reset where its valid bit has one: a reset is a wire to each register,
        and registers without it fit into DSP and memory blocks.
    clear : Value, optional
        Acts as a reset does, which must be asked for as well.
    """
    if reset and (told := _told(value)):
        bits, later = value.as_value(), Signal(value.shape())
        flags = registered(m, bits[:told], reset=True, clear=clear)
        m.d.comb += later.eq(Cat(flags, registered(m, bits[told:])))
        return later
    later = Signal(value.shape(), reset_less=not reset)
    m.d.sync += later.eq(value)
    if clear is not None:
        with m.If(clear):
            m.d.sync += later.eq(0)
    return later


def _told(value: data.View | Value) -> int:
    """Low bits of a record that say if the others mean anything; 0 of anything else."""
    shape = value.shape()
    members = list(shape.members.items()) if isinstance(shape, data.StructLayout) else []
    if len(members) < 2 or members[0][0] not in ("valid", "en"):
        return 0
    return int(Shape.cast(members[0][1]).width)


def delayed(
    m: Module,
    value: data.View | Value,
    cycles: int,
    *,
    reset: bool = False,
    clear: Value | None = None,
) -> data.View:
    """``value`` some cycles later; see :func:`registered`."""
    for _ in range(cycles):
        value = registered(m, value, reset=reset, clear=clear)
    return value


def held(m: Module, value: data.View | Value, when: Value) -> data.View:
    """``value`` of the last cycle in which ``when`` was high; like data, without a reset."""
    later = Signal(value.shape(), reset_less=True)
    with m.If(when):
        m.d.sync += later.eq(value)
    return later


def carried(m: Module, pulse: Value, value: Value, cycles: int, period: int) -> Value:
    """``value`` of the cycle of ``pulse``, some cycles later, in few registers.

    Parameters
    ----------
    m : Module
    pulse : Value
        No more often than every ``period`` cycles.
    value : Value or View
    cycles : int
        When the result is meant; it is what it is in all other cycles.
    period : int
    """
    value = Value.cast(value)
    for stage in range(-(-cycles // period)):
        kept = Signal.like(value, name=f"carried{stage}", reset_less=True)
        with m.If(delayed(m, pulse, stage * period, reset=True)):
            m.d.sync += kept.eq(value)
        value = kept
    return value
