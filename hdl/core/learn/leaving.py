"""Sums of columns on their way out, where results of the projectors leave."""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from compiler.abi.wire import sums_abreast
from compiler.array.design import Design
from compiler.array.widths import left_sum_bits, most_left
from compiler.learn.transposed import JOINED, turns_of

from ..pipeline import delayed, registered

__all__ = ["Exit", "leaving"]


class Exit(NamedTuple):
    """A beat for the output buffer."""

    push: Value
    bits: Value
    last: Value


def leaving(
    m: Module, design: Design, there: Value, final: Value, gates: list[list[Value]], lefts: Value
) -> Exit:
    """Add up the sums of all gates, each shifted left as its weights' format asks, beat by beat.

    As many at once as a beat has, so that others wait and share shifts and adders.

    Parameters
    ----------
    m : Module
    design : Design
    there, final : Value
        Sums of a column are there, at most every ``turns_of`` cycles; of the last one.
    gates : list of lists of N Value
    lefts : Value
        Of each gate, an array.

    Returns
    -------
    Exit
        ``JOINED`` cycles after ``there``, and in the cycles that follow.
    """
    turns, bits = turns_of(design), left_sum_bits(design)
    left, ends = Signal(range(turns + 1), name="turns_left"), Signal(name="ends")
    m.d.sync += left.eq(Mux(there, turns - 1, left - (left != 0)))
    with m.If(there):
        m.d.sync += ends.eq(final)
    last = final & there if turns == 1 else ends & (left == 1)
    push = there | (left != 0)
    shares = [_shares(m, design, there, sums) for sums in gates]
    most = most_left(design).bit_length() if len(gates) > 1 else 0
    wide = [Signal(signed(bits), name=f"wide{n}") for n in range(sums_abreast(design))]
    for n, one in enumerate(wide):
        total: Value = Const(0)
        for gate, share in enumerate(shares):
            shift = lefts[gate][:most] if most else Const(0)
            total = total + registered(m, share[n] << shift)
        m.d.comb += one.eq(registered(m, total))
    push, last = (delayed(m, flag, JOINED, reset=True) for flag in (push, last))
    return Exit(push, Cat(wide), last)


def _shares(m: Module, design: Design, there: Value, sums: list[Value]) -> list[Value]:
    """Those of a gate that leave in a cycle: the first ones at once, others later."""
    share, turns = sums_abreast(design), turns_of(design)
    if turns == 1:
        return sums
    bits = len(sums[0])
    kept = Signal(bits * (len(sums) - share), name="kept_sums", reset_less=True)
    m.d.sync += kept.eq(Mux(there, Cat(sums[share:]), kept >> bits * share))
    waiting = [kept.word_select(n, bits).as_signed() for n in range(share)]
    return [Mux(there, *pair) for pair in zip(sums, waiting, strict=False)]
