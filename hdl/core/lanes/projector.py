"""The projector: rounds a sum of products to an activation, or adds the bias of a linear layer."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design
from compiler.array.latency import PROJECTOR, RAM, projector_exact
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
        Which of them; right shift to the output's format; it is of a linear layer.
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

    latency = PROJECTOR

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
        acc = signed(design.acc_bits)
        super().__init__(
            {
                "sums": In(data.ArrayLayout(acc, design.results_per_slot)),
                "select": In(range(max(2, design.results_per_slot))),
                "shift": In(SHIFT_BITS),
                "linear": In(1),
                "bias": In(acc),
                **({"places": In(range(design.row_shift + 1))} if design.row_shift else {}),
                "value": Out(signed(design.act_bits)),
                "exact": Out(acc if design.linear else signed(design.act_bits)),
                "clipped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Two registers to the value, one more to the exact sum, or two where rows are shifted."""
        m = Module()
        chosen = self.sums[self.select]
        doubled = Signal(signed(self.design.acc_bits + 1), reset_less=True)
        # one bit more than the result, so that a half can be rounded up below
        m.d.sync += doubled.eq((chosen << 1) >> self.shift)
        total = rounded(doubled, 1)
        clipped = saturated(m, total, self.design.act_bits, "clipped_value")
        m.d.sync += [self.value.eq(clipped), self.clipped.eq(clipped != total)]
        if self.design.linear:
            found, bias, value = delayed(m, chosen, RAM), self.bias, self.value
            if self.design.row_shift:
                shifted = Signal(signed(self.design.acc_bits), reset_less=True)
                m.d.sync += shifted.eq(found << self.places)
                found, bias, value = shifted, registered(m, bias), registered(m, value)
            linear = delayed(m, self.linear, projector_exact(self.design) - 1)
            m.d.sync += self.exact.eq(Mux(linear, found + bias, value))
        else:
            m.d.comb += self.exact.eq(registered(m, self.value))
        return m

    def model(self, total: IntArray, shift: int) -> IntArray:
        """Bit-exact ``value`` of sums, int64 arrays of one shape."""
        return saturate(round_shift(total, shift), self.design.act_bits)
