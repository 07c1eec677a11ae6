"""The largest logits so far, in order."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.screen.design import ScreenDesign

from .layouts import bound_layout, pair_layout

__all__ = ["Largest"]


class Largest(wiring.Component):
    """A ring of k pairs, the largest first; a new pair goes past them, one place a cycle.

    At each place the larger of the two stays and the other goes on: of equal logits the one of the
    lower output. One comparison serves the whole list. Latency: k cycles from ``start`` to
    ``least``. Throughput: a pair every k cycles; the caller keeps to it, there is no backpressure.

    Parameters
    ----------
    design : ScreenDesign

    Members
    -------
    start, pair : In
        A new pair, with its first cycle.
    clear : In
        Forget all pairs.
    turn : In
        The first place becomes the last: reads the list from the largest on, in ``first``.
    done : Out
        The last cycle of a pair.
    least : Out
        The k-th largest logit; valid when there are k.
    """

    start: Signal
    pair: data.View
    clear: Signal
    turn: Signal
    done: Signal
    first: data.View
    least: data.View

    def __init__(self, design: ScreenDesign):
        self.design = design
        layout, top = pair_layout(design), design.top
        self._places = [Signal(layout, name=f"place{n}", reset_less=True) for n in range(top)]
        self._held, self._step = Signal(top), Signal(range(max(2, top)))
        super().__init__(
            {
                "start": In(1),
                "pair": In(pair_layout(design)),
                "clear": In(1),
                "turn": In(1),
                "done": Out(1),
                "first": Out(pair_layout(design)),
                "least": Out(bound_layout(design)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A shift register that is its own source, and one comparison."""
        m = Module()
        top, layout = self.design.top, pair_layout(self.design)
        places, held, step = self._places, self._held, self._step
        carries, carried = Signal(), Signal(layout, reset_less=True)
        stepping = self.start | (step != 0)
        now = Signal(layout)
        comes = Mux(self.start, 1, carries)
        m.d.comb += now.eq(Mux(self.start, self.pair, carried))
        here = places[0]
        larger = (now.logit > here.logit) | ((now.logit == here.logit) & (now.index < here.index))
        wins = Signal()
        m.d.comb += [
            wins.eq(comes & (~held[0] | larger)),
            self.done.eq(stepping & (step == top - 1)),
            self.first.eq(here),
        ]
        stays, goes = Signal(layout), Signal(layout)
        m.d.comb += [stays.eq(Mux(wins, now, here)), goes.eq(Mux(wins, here, now))]
        with m.If(stepping | self.turn):
            m.d.sync += [a.eq(b) for a, b in zip(places, [*places[1:], stays], strict=True)]
            m.d.sync += held.eq(Cat(held[1:], held[0] | wins))
        with m.If(stepping):
            m.d.sync += [
                step.eq(Mux(self.done, 0, step + 1)),
                carried.eq(goes),
                carries.eq(Mux(wins, held[0], comes)),
            ]
        with m.If(self.done):
            m.d.sync += [self.least.valid.eq(held[0] | wins), self.least.value.eq(stays.logit)]
        with m.If(self.clear):
            m.d.sync += [held.eq(0), self.least.valid.eq(0)]
        return m
