"""Sums of columns on their way out, where results of the projectors leave."""

from typing import NamedTuple

from amaranth.hdl import Cat, Module, Signal, Value, signed

from compiler.array.design import Design
from compiler.array.widths import left_sum_bits
from compiler.learn.transposed import turns_of

__all__ = ["Exit", "leaving"]


class Exit(NamedTuple):
    """A beat for the output buffer."""

    push: Value
    bits: Value
    last: Value


def leaving(m: Module, design: Design, valid: Value, final: Value, sums: list[Value]) -> Exit:
    """Keep N sums, and give them beat by beat.

    Parameters
    ----------
    m : Module
    design : Design
    valid, final : Value
        Sums of a column are there, at most every ``turns_of`` cycles; of the last one.
    sums : list of N Value
    """
    bits, turns = left_sum_bits(design), turns_of(design)
    beat = bits * design.projectors
    wide = [Signal(signed(bits), name=f"wide{n}") for n in range(len(sums))]
    m.d.comb += [one.eq(given) for one, given in zip(wide, sums, strict=True)]
    kept, left, ends = Signal(max(beat, bits * len(sums))), Signal(range(turns + 1)), Signal()
    with m.If(valid):
        m.d.sync += [kept.eq(Cat(wide)), left.eq(turns), ends.eq(final)]
    with m.Elif(left != 0):
        m.d.sync += [kept.eq(kept >> beat), left.eq(left - 1)]
    return Exit(left != 0, kept[:beat], ends & (left == 1))
