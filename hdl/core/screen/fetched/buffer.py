"""A row of planes on its way from the bus to the lanes."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.screen.bus import PlaneLayout

from .fetcher import RowKind, beat_layout

__all__ = ["RowBuffer"]


class RowBuffer(wiring.Component):
    """The beats of one row, and words of it while those of the next already come.

    A beat is taken as soon as the one in its place was used by the row that the lanes are at; that
    is known when the unit is made (``PlaneLayout.uses``). Latency: a row is ``valid`` the cycle
    after its last beat.

    Parameters
    ----------
    layout : PlaneLayout
    kinds : tuple of RowKind
        What comes here.

    Members
    -------
    write, beat : In
        A beat for this buffer, only while ``ready``.
    ready : Out
    valid, kind, row : Out
        A row is there that the lanes have not begun.
    pop : In
        They begin: its first cycle.
    step : Out
        The cycle of the row that the lanes are at, 0 with ``pop``; it stays at the last in which
        a beat is used.
    bits : Out
        The beats side by side, the first lowest.
    """

    write: Signal
    beat: data.View
    ready: Signal
    valid: Signal
    kind: Signal
    row: Signal
    pop: Signal
    step: Signal
    bits: Signal

    def __init__(self, layout: PlaneLayout, kinds: tuple[RowKind, ...]):
        self.layout, self._kinds = layout, kinds
        self._depth = max(layout.beats[kind] for kind in kinds)
        self._steps = max(max(layout.uses[kind]) for kind in kinds) + 1
        super().__init__(
            {
                "write": In(1),
                "beat": In(beat_layout(layout)),
                "ready": Out(1),
                "valid": Out(1),
                "kind": Out(2),
                "row": Out(layout.design.row_bits),
                "pop": In(1),
                "step": Out(range(self._steps + 1)),
                "bits": Out(self._depth * layout.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Beats in registers, whether they are there, and how far the lanes are."""
        m = Module()
        words = [
            Signal(self.layout.bits, name=f"beat{n}", reset_less=True) for n in range(self._depth)
        ]
        for n, word in enumerate(words):
            m.d.comb += self.bits.word_select(n, self.layout.bits).eq(word)
            with m.If(self.write & (self.beat.beat == n)):
                m.d.sync += word.eq(self.beat.data)
        with m.If(self.pop):
            m.d.sync += self.valid.eq(0)
        with m.If(self.write & self.beat.last):
            m.d.sync += [
                self.valid.eq(1),
                self.kind.eq(self.beat.kind),
                self.row.eq(self.beat.row),
            ]
        m.d.comb += self.ready.eq((~self.valid | self.pop) & self._used(m))
        return m

    def _used(self, m: Module) -> Signal:
        """Whether the beat that comes may take its place."""
        later, used, kind = Signal.like(self.step, init=self._steps), Signal(), Signal(2)
        kept = Signal(2)
        m.d.comb += [
            self.step.eq(Mux(self.pop, 0, later)),
            kind.eq(Mux(self.pop, self.kind, kept)),
        ]
        with m.If(self.step != self._steps):
            m.d.sync += later.eq(self.step + 1)
        m.d.sync += kept.eq(kind)
        with m.Switch(kind):
            for one in self._kinds:
                uses = self.layout.uses[one]
                uses = uses + [0] * (self._depth - len(uses))
                with m.Case(one):
                    m.d.comb += used.eq(self.step >= Array(uses)[self.beat.beat])
            with m.Default():  # before the first row
                m.d.comb += used.eq(1)
        return used
