"""Registers that carry values along a pipeline."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

__all__ = ["LOGIC_WORDS", "block_stage", "carried", "delayed", "registered"]

LOGIC_WORDS = 64  # about what synthesis makes of logic, whatever the width


def registered(m: Module, value: data.View | Value, *, reset: bool = False) -> data.View:
    """``value`` one cycle later.

    Parameters
    ----------
    m : Module
    value : Value or View
    reset : bool
        Whether reset clears the register. Data needs no reset where its valid bit has one,
        and registers without reset fit into DSP and memory blocks.
    """
    later = Signal(value.shape(), reset_less=not reset)
    m.d.sync += later.eq(value)
    return later


def delayed(m: Module, value: data.View | Value, cycles: int, *, reset: bool = False) -> data.View:
    """``value`` some cycles later; see :func:`registered`."""
    for _ in range(cycles):
        value = registered(m, value, reset=reset)
    return value


def block_stage(deep: bool, depth: int) -> int:
    """Cycles more that the output of a memory read in one cycle takes: 1 for a register of its own.

    Memories of more words than ``LOGIC_WORDS`` lie in blocks, which answer late in a cycle; a deep
    design has no multiplier in the rest of it. Others are logic with a register behind it.
    """
    return int(deep and depth > LOGIC_WORDS)


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
