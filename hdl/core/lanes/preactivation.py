"""From a sum of products to a pre-activation."""

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data

from compiler.array.design import Design
from compiler.array.widths import SHIFT_BITS

from ..activation import rounded, saturated

__all__ = ["preactivation"]


def preactivation(
    m: Module,
    design: Design,
    names: tuple[str, str],
    total: Value,
    shift: Value,
    bias: Value,
) -> tuple[Signal, Value]:
    """Shift a sum, add its bias, saturate: :meth:`csb_format.cells.cell.Cell.preactivation`.

    Parameters
    ----------
    m : Module
    design : Design
    names : (str, str)
        Of the pre-activation's signal, and what those on the way are named after.
    total, shift : Value
        The sum and its right shift to ``state`` format, with the unit.
    bias : Value
        In ``state`` format, ``biased_delay`` cycles later.

    Returns
    -------
    Signal, Value
        The pre-activation, ``pre_delay`` cycles after the unit; a cycle before it, whether it
        was clipped.
    """
    result, name = names
    selected = Signal(signed(design.forward_bits), name=f"sum_{name}", reset_less=True)
    now = Signal(SHIFT_BITS, name=f"shift_{name}", reset_less=True)
    whole = data.StructLayout({"sum": signed(design.forward_bits + 1), "shift": SHIFT_BITS})
    coarse = Signal(whole, name=f"coarse_{name}", reset_less=True)
    doubled = Signal(signed(design.forward_bits + 1), name=f"shifted_{name}", reset_less=True)
    biased = Signal(signed(design.forward_bits + 1), name=f"biased_{name}", reset_less=True)
    pre = Signal(signed(design.state.width), name=result, reset_less=True)
    clipped = saturated(m, biased, design.state.width, f"clipped_{name}")
    m.d.sync += [
        selected.eq(total),
        now.eq(shift),
        # in two steps: multiples of 4 bits, then the rest
        coarse.sum.eq((selected << 1) >> Cat(Const(0, 2), now[2:])),
        coarse.shift.eq(now[:2]),
        # one bit more than the result, so that a half can be rounded up below
        doubled.eq(coarse.sum >> coarse.shift if design.deep else (selected << 1) >> now),
    ]
    summed = m.d.comb if design.shallow else m.d.sync
    summed += biased.eq(rounded(doubled, 1) + bias)
    m.d.sync += pre.eq(clipped)
    return pre, clipped != biased
