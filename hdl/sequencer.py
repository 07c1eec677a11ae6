"""Deals the units that a slot completes to the element-wise lanes, and their results home."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from csb_format.design import Design

from .elementwise import ElementwiseLane
from .hierarchy import Ram
from .layouts import unit_layout, update_layout, writeback_layout
from .pipeline import delayed

__all__ = ["UnitSequencer"]


class UnitSequencer(wiring.Component):
    """Counts units through a recurrent pass.

    Processing order ``t = n * E + lane`` is unit ``(t mod N) * w + t div N``: the ``n``-th
    unit of every lane goes to place ``n div (N / E)`` of banks ``(n mod (N / E)) * E + lane``.

    Parameters
    ----------
    design : Design

    Members
    -------
    update : In
        The pass; stable from its first ``slot_done`` until ``finishing``.
    slot_done, first_slot, last_slot : In
        The PEs' results are there (a pulse); the slot is the first, the last of its pass.
        Pulses come at least ``units_per_slot`` cycles apart.
    unit : Out
        Control for all lanes, ``units_per_slot`` cycles in a row from ``slot_done`` on.
    writeback : Out
        Where the lanes' results go, ``ElementwiseLane.latency`` cycles after ``unit``.
    finishing : Out
        A pulse after which the pass's hidden state may be read: a group issued in the next
        cycle or later reads it after the last write.
    """

    update: Signal
    slot_done: Signal
    first_slot: Signal
    last_slot: Signal
    unit: Signal
    writeback: Signal
    finishing: Signal

    # the write register is one cycle behind the lanes, a group reads Ram.latency after issue
    finishing_delay = ElementwiseLane.latency + 1 - Ram.latency

    def __init__(self, design: Design):
        self.design = design
        super().__init__(
            {
                "update": In(update_layout(design)),
                "slot_done": In(1),
                "first_slot": In(1),
                "last_slot": In(1),
                "unit": Out(unit_layout(design)),
                "writeback": Out(writeback_layout(design)),
                "finishing": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A counter over the units of a slot, one over those of a pass, and delays."""
        m = Module()
        active, final = self._walk_slot(m)
        start = self.slot_done & self.first_slot
        count, turn, place = self._walk_pass(m, active, start)
        m.d.comb += [
            self.unit.valid.eq(active & (count < self.update.units)),
            self.unit.zero.eq(self.update.zero),
            self.unit.addr.eq(count),
            self.unit.shift.eq(self.update.shift),
        ]
        now = Signal(writeback_layout(self.design))
        m.d.comb += [
            now.valid.eq(self.unit.valid),
            now.last.eq(count == self.update.units - 1),
            now.addr.eq(self.update.base | place),
            now.turn.eq(turn),
        ]
        m.d.comb += [
            self.writeback.eq(delayed(m, now, ElementwiseLane.latency, reset=True)),
            self.finishing.eq(delayed(m, final, self.finishing_delay, reset=True)),
        ]
        return m

    def _walk_slot(self, m: Module) -> tuple[Value, Value]:
        """(a unit is dealt, it is the last of the pass) while ``unit.select`` counts."""
        last = self.design.units_per_slot - 1
        rest = Signal(range(last + 1))  # units of this slot still to deal after this cycle
        final_slot = Signal()
        active = self.slot_done | rest.any()
        in_final = Mux(self.slot_done, self.last_slot, final_slot)
        m.d.comb += self.unit.select.eq(Mux(self.slot_done, 0, last + 1 - rest))
        with m.If(self.slot_done):
            m.d.sync += [rest.eq(last), final_slot.eq(self.last_slot)]
        with m.Elif(rest.any()):
            m.d.sync += rest.eq(rest - 1)
        ending = self.slot_done if last == 0 else (rest == 1)
        return active, ending & in_final

    def _walk_pass(self, m: Module, active: Value, start: Value) -> tuple[Value, Value, Value]:
        """(number of the unit, its turn among the banks, its place in the bank)."""
        turns = self.design.lanes // self.design.units
        count = Signal.like(self.unit.addr + 1)
        turn, place = Signal.like(self.writeback.turn), Signal.like(self.writeback.addr)
        now = [Mux(start, 0, counter) for counter in (count, turn, place)]
        with m.If(active):
            m.d.sync += count.eq(now[0] + 1)
            with m.If(now[1] == turns - 1):
                m.d.sync += [turn.eq(0), place.eq(now[2] + 1)]
            with m.Else():
                m.d.sync += [turn.eq(now[1] + 1), place.eq(now[2])]
        return now[0], now[1], now[2]
