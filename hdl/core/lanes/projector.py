"""The projector: rounds a sum of products to an activation, or adds the bias of a linear layer."""

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design
from compiler.array.latency import RAM, projector_exact, projector_latency
from compiler.array.widths import SHIFT_BITS
from csb_format.fixed import IntArray, round_shift, saturate

from ..activation import rounded, saturated
from ..pipeline import delayed, registered

__all__ = ["Projector"]


class Projector(wiring.Component):
    """One result a cycle from the sums of a slot.

    Parameters
    ----------
    design : Design

    Members
    -------
    sums : In
        The ``results_per_slot`` sums that this projector serves in a slot.
    select, shift, linear : In
        Which of them; right shift to the output's format; it is of a linear layer whose exact sums
        leave.
    rectify : In, of a design with ``rectified``
        It is of a linear layer whose results the next one takes: with its bias, through a ReLU.
    bias : In
        Of a linear layer, ``Ram.latency`` cycles after ``select``.
    places : In, of a design with ``row_shift``
        With ``bias``: bits that the row's sum is shifted left by before it is added.
    value : Out
        Rounded and saturated, ``latency`` cycles after ``select``.
    exact : Out
        What leaves the accelerator, ``projector_exact`` cycles after ``select``: the sum with
        its bias for linear layers, else ``value``.
    clipped : Out
        With ``value``: it was saturated.
    """

    latency = staticmethod(projector_latency)
    exact_latency = staticmethod(projector_exact)

    sums: Signal
    select: Signal
    shift: Signal
    linear: Signal
    bias: Signal
    places: Signal
    value: Signal
    exact: Signal
    clipped: Signal

    def __init__(self, design: Design):
        self.design = design
        acc = signed(design.forward_bits)
        super().__init__(
            {
                "sums": In(data.ArrayLayout(acc, design.results_per_slot)),
                "select": In(range(max(2, design.results_per_slot))),
                "shift": In(SHIFT_BITS),
                "linear": In(1),
                **({"rectify": In(1)} if design.rectified else {}),
                "bias": In(acc),
                **({"places": In(range(design.row_shift + 1))} if design.row_shift else {}),
                "value": Out(signed(design.act_bits)),
                "exact": Out(acc if design.linear else signed(design.act_bits)),
                "clipped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Two registers to the value, one more to the exact sum, or two where rows are shifted.

        None more of a shallow one where there is no such sum.
        """
        m = Module()
        chosen = self.sums[self.select]
        if self.design.rectified:
            self._rectified(m, chosen)
            return m
        doubled = Signal(signed(self.design.forward_bits + 1), reset_less=True)
        # one bit more than the result, so that a half can be rounded up below
        m.d.sync += doubled.eq((chosen << 1) >> self.shift)
        total = rounded(doubled, 1)
        clipped = saturated(m, total, self.design.act_bits, "clipped_value")
        m.d.comb += self.value.eq(registered(m, clipped))
        m.d.sync += self.clipped.eq(clipped != total)
        if self.design.linear:
            found, bias, value = delayed(m, chosen, RAM), self.bias, self.value
            if self.design.row_shift:
                shifted = Signal(signed(self.design.forward_bits), reset_less=True)
                m.d.sync += shifted.eq(found << self.places)
                found, bias, value = shifted, registered(m, bias), registered(m, value)
            linear = delayed(m, self.linear, projector_exact(self.design) - 1)
            m.d.comb += self.exact.eq(registered(m, Mux(linear, found + bias, value)))
        else:
            late = projector_exact(self.design) - projector_latency(self.design)
            m.d.comb += self.exact.eq(delayed(m, self.value, late))
        return m

    def _rectified(self, m: Module, chosen: Value) -> None:
        """The bias first, where there is one; the exact sum waits for what rounding takes."""
        linear, rectify = (delayed(m, v, RAM) for v in (self.linear, self.rectify))
        total = Signal(signed(self.design.forward_bits + 1), reset_less=True)
        bias = Mux(linear | rectify, self.bias, 0)
        m.d.sync += total.eq(delayed(m, chosen, RAM) + bias)
        doubled = Signal(signed(self.design.forward_bits + 2), reset_less=True)
        shift = delayed(m, self.shift, RAM + 1)
        below = registered(m, rectify) & (total < 0)
        m.d.sync += doubled.eq(Mux(below, 0, (total << 1) >> shift))
        result = rounded(doubled, 1)
        clipped = saturated(m, result, self.design.act_bits, "clipped_value")
        leaves = delayed(m, linear, 2)
        m.d.comb += self.value.eq(registered(m, clipped))
        m.d.sync += self.clipped.eq((clipped != result) & ~leaves)
        exact = delayed(m, total, 2)
        m.d.comb += self.exact.eq(Mux(registered(m, leaves), exact, self.value))

    def model(
        self, total: IntArray, shift: int, bias: IntArray | int = 0, *, rectify: bool = False
    ) -> IntArray:
        """Bit-exact ``value`` of sums, int64 arrays of one shape; a bias only with ``rectify``."""
        sums = np.maximum(total + bias, 0) if rectify else total
        return saturate(round_shift(sums, shift), self.design.act_bits)
