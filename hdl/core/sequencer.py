"""Deals the results that a slot completes to lanes, and what the lanes make of them home."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design
from compiler.array.latency import home_delay

from .layouts import gates_layout, update_layout, writeback_layout
from .pipeline import carried, delayed, registered

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Counts results through a pass.

    Processing order ``t = n * B + lane`` is element ``(t mod N) * w + t div N`` of the
    vector: the ``n``-th beat of B lanes goes to banks ``(n mod (N / B)) * B + lane`` at place
    ``n div (N / B)``; with B a multiple of N, to all banks at B / N places.

    Parameters
    ----------
    design : Design
    lanes : int
        B, results in a beat.
    beats : int
        Beats of a slot.
    latency : int
        Cycles from a beat's deal until the lanes have its results, at least 1.
    collects : bool
        Of units whose sums PEs keep.

    Members
    -------
    slot_done, first_slot, update : In
        The PEs' results are there in the next cycle (a pulse); they are the first of their
        pass, which is described by ``update`` in the same cycle. The last beat before is
        dealt now at the latest.
    deal, select, bias, cell, now : Out
        A beat is dealt, up to ``beats`` cycles in a row from the cycle after ``slot_done``
        on; which of the slot's; its places in the memories; and the pass's description.
    places : Out
        Where PEs keep the sums of a unit: which of those abreast has each gate. Beats of a slot are
        then ``beats`` of each block up to ``update.block``.
    writeback : Out
        Where the lanes' results go, ``latency`` cycles after the deal.
    home : Out
        The beat's results may be read by a group that is issued in the next cycle or
        later (a pulse).
    """

    slot_done: Signal
    first_slot: Signal
    update: Signal
    deal: Signal
    select: Signal
    bias: Signal
    cell: Signal
    now: Signal
    writeback: Signal
    home: Signal

    def __init__(
        self, design: Design, lanes: int, beats: int, latency: int, *, collects: bool = False
    ):
        self._design = design
        self._lanes, self._beats, self._latency = lanes, beats, latency
        self._turns = max(1, design.lanes // lanes)
        self._places = max(1, lanes // design.lanes)
        self._collects = collects
        update = update_layout(design)
        super().__init__(
            {
                "slot_done": In(1),
                "first_slot": In(1),
                "update": In(update),
                "deal": Out(1),
                "select": Out(range(max(2, beats))),
                "bias": Out(update.members["bias"]),
                "cell": Out(update.members["cell"]),
                "now": Out(update),
                "writeback": Out(writeback_layout(design, lanes)),
                "home": Out(1),
                **({"places": Out(gates_layout(design))} if self._collects else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A counter over the beats of a slot, one over those of a pass, and delays."""
        m = Module()
        told = self._told(m)
        active = self._walk_round(m, told) if self._collects else self._walk_slot(m)
        count, turn, place = self._walk_pass(m, active, self.slot_done & self.first_slot)
        deal = active & (count < told.beats)
        m.d.sync += self.deal.eq(deal)
        of_now = told if self._design.compact else registered(m, told)  # held outside
        m.d.comb += [
            self.now.eq(of_now),
            self.bias.eq(registered(m, (told.bias + count)[: len(self.bias)])),
            self.cell.eq(registered(m, (told.cell + count)[: len(self.cell)])),
        ]
        now = Signal.like(self.writeback)
        m.d.comb += [
            # of rows whose units are not ready yet nothing comes home
            now.valid.eq(deal & told.ready if self._design.takes_rows else deal),
            now.write.eq(told.write),
            now.emit.eq(told.emit),
            now.place.eq(told.base | place),
            now.turn.eq(turn),
        ]
        if self._design.batched:
            m.d.comb += now.stream.eq(told.stream)
        self._final = [told.final, count, told.beats]
        home, coming = home_delay(self._design, self._latency), self.deal
        if self._design.takes_rows:
            coming = registered(m, now.valid, reset=True)
        m.d.comb += [
            self.writeback.eq(self._later(m, now)),
            self.home.eq(delayed(m, coming, home, reset=True)),
        ]
        return m

    def _told(self, m: Module) -> Signal:
        """The pass's description while a slot is dealt; of a compact design it is held outside."""
        told = Signal.like(self.update)
        if self._design.compact:
            m.d.comb += told.eq(self.update)
            return told
        held = Signal.like(self.update, reset_less=True)
        m.d.comb += told.eq(Mux(self.slot_done, self.update, held))
        with m.If(self.slot_done):
            m.d.sync += held.eq(self.update)
        return told

    def _later(self, m: Module, now: Signal) -> Value:
        """``now`` when the lanes have the results."""
        cycles, period = 1 + self._latency, self._design.lane_period
        if period == 1 and self._design.deep:  # the number of the beat comes late
            first = Signal.like(now)
            m.d.comb += first.eq(registered(m, now, reset=True))
            self._mark(m, first, [registered(m, value, reset=True) for value in self._final])
            return delayed(m, first, cycles - 1, reset=True)
        self._mark(m, now, self._final)
        if period == 1:
            return delayed(m, now, cycles, reset=True)
        then = Signal.like(now)
        m.d.comb += [
            then.eq(carried(m, now.valid, now, cycles, period)),
            then.valid.eq(delayed(m, now.valid, cycles, reset=True)),
        ]
        return then

    def _mark(self, m: Module, beat: Signal, of: list[Value]) -> None:
        """Whether a beat is the last of what a final pass makes."""
        final, count, beats = of
        m.d.comb += beat.last.eq(final & (count == beats - 1))

    def _walk_slot(self, m: Module) -> Value:
        """Whether a beat of the slot is next, while ``select`` counts."""
        last = self._beats - 1
        rest = Signal(range(max(2, last + 1)))  # beats of this slot still to deal after this cycle
        dealt = Mux(self.slot_done, 0, last + 1 - rest)
        m.d.comb += self.select.eq(registered(m, dealt[: len(self.select)]))
        with m.If(self.slot_done):
            m.d.sync += rest.eq(last)
        with m.Elif(rest.any()):
            m.d.sync += rest.eq(rest - 1)
        return self.slot_done | rest.any()

    def _walk_round(self, m: Module, told: Signal) -> Value:
        """Likewise, block by block; and which PEs have the gates of the block's units.

        The rows of a round lie in its slots one gate after the other: of B blocks that of gate
        g of block b is row ``g * B + b``, so it is with PE ``(g * B + b) mod abreast``.
        """
        last = self._beats - 1
        select = Signal.like(self.select, reset_less=True)
        block, active = Signal.like(told.block, reset_less=True), Signal()
        now = [Mux(self.slot_done, 0, counter) for counter in (select, block)]
        ends, busy = now[0] == last, self.slot_done | active
        m.d.comb += self.select.eq(registered(m, now[0]))
        m.d.sync += [
            select.eq(Mux(ends, 0, now[0] + 1)),
            block.eq(now[1] + ends),
            active.eq(busy & ~(ends & (now[1] == told.block))),
        ]
        for gate, place in enumerate(self.places):
            of_gate = now[1] + gate * (told.block + 1)
            m.d.comb += place.eq(registered(m, of_gate[: len(place)]))
        return busy

    def _walk_pass(self, m: Module, active: Value, start: Value) -> tuple[Value, Value, Value]:
        """(number of the beat, its turn among the banks, its place in the bank)."""
        of = self.update.beats, self.writeback.turn, self.writeback.place
        counters = [Signal.like(one, reset_less=True) for one in of]
        count, turn, place = counters
        if self._design.takes_rows:
            counters = self._again(m, counters, start)
        if self._design.batched:
            counters = self._for_streams(m, counters, start)
        now = [Mux(start, 0, counter) for counter in counters]
        with m.If(active):
            m.d.sync += count.eq(now[0] + 1)
            with m.If(now[1] == self._turns - 1):
                m.d.sync += [turn.eq(0), place.eq(now[2] + self._places)]
            with m.Else():
                m.d.sync += [turn.eq(now[1] + 1), place.eq(now[2])]
        return now[0], now[1], now[2]

    def _for_streams(self, m: Module, counters: list[Signal], start: Value) -> list[Value]:
        """The counters of a slot: from where they began for the first of a batch's streams."""
        again = self.update.again
        kept = [Signal.like(counter, reset_less=True) for counter in counters]
        now = [Mux(self.slot_done & again, *of) for of in zip(kept, counters, strict=True)]
        with m.If(self.slot_done):
            m.d.sync += [one.eq(Mux(start, 0, value)) for one, value in zip(kept, now, strict=True)]
        return now

    def _again(self, m: Module, counters: list[Signal], start: Value) -> list[Value]:
        """The counters of a slot: those of the slot before, if it made nothing ready."""
        again = Signal(reset_less=True)  # a pass that starts has its own counters
        kept = [Signal.like(counter, reset_less=True) for counter in counters]
        now = [Mux(self.slot_done & again, *of) for of in zip(kept, counters, strict=True)]
        with m.If(self.slot_done):
            m.d.sync += again.eq(~self.update.ready)
            m.d.sync += [one.eq(Mux(start, 0, value)) for one, value in zip(kept, now, strict=True)]
        return now
