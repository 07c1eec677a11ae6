"""Registers that carry values along a pipeline."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

__all__ = ["delayed", "registered"]


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
