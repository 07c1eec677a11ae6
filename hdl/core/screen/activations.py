"""Activations behind a ReLU, of the rows that were computed; all others are zero."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from compiler.array.screen.rectify import STORED, RectifyDesign

from ..pipeline import delayed
from .layouts import bound_layout, pair_layout

__all__ = ["Activations"]


class Activations(wiring.Component):
    """A word for each output, written as its row's sum comes, cleared as it is read.

    In the place of :class:`~hdl.core.screen.largest.Largest`: what rows are compared with is a
    constant. Latency: ``STORED`` cycles from ``start`` to ``done``. Throughput: a sum a cycle, and
    a word a cycle. After a reset ``swept`` rises when all words have been cleared, one a cycle.

    Parameters
    ----------
    design : RectifyDesign

    Members
    -------
    start, pair : In
        An output and its sum, bias included.
    done : Out
        It has been written.
    least : Out
        The least sum that does not round to zero.
    turn : In
        ``first`` is taken, the next output's comes with the next cycle.
    place, first : Out
        The output whose turn it is, and its activation, not negative: valid two cycles after the
        last ``done``.
    swept : Out
    """

    start: Signal
    pair: data.View
    done: Signal
    least: data.View
    turn: Signal
    place: Signal
    first: Signal
    swept: Signal

    def __init__(self, design: RectifyDesign):
        self.design = design
        super().__init__(
            {
                "start": In(1),
                "pair": In(pair_layout(design)),
                "done": Out(1),
                "least": Out(bound_layout(design)),
                "turn": In(1),
                "place": Out(design.row_bits),
                "first": Out(design.width - 1),
                "swept": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One memory: written with sums, else with zeros where it was read."""
        m = Module()
        design, last = self.design, self.design.rows - 1
        m.submodules.words = memory = Memory(shape=design.width - 1, depth=design.rows, init=[])
        write, read = memory.write_port(), memory.read_port(transparent_for=())
        sweep, after = Signal(design.row_bits), Signal(design.row_bits)
        number = Signal(design.width - 1, reset_less=True)
        index = Signal(design.row_bits, reset_less=True)
        m.d.sync += [number.eq(self._rectified()), index.eq(self.pair.index)]
        with m.If(~self.swept):
            m.d.sync += [sweep.eq(sweep + 1), self.swept.eq(sweep == last)]
        m.d.comb += [
            self.least.valid.eq(1),
            self.least.value.eq(design.rectifier.least),
            self.done.eq(delayed(m, self.start, STORED, reset=True)),
            write.en.eq(self.done | self.turn | ~self.swept),
            write.addr.eq(Mux(self.swept, Mux(self.done, index, self.place), sweep)),
            write.data.eq(Mux(self.done, number, 0)),
            after.eq(Mux(self.turn, Mux(self.place == last, 0, self.place + 1), self.place)),
            read.addr.eq(after),
            self.first.eq(read.data),
        ]
        m.d.sync += self.place.eq(after)
        return m

    def _rectified(self) -> Value:
        """ReLU, rounding halves up, saturation."""
        rectifier, sum_ = self.design.rectifier, self.pair.logit
        rounded = (sum_ + (rectifier.least if rectifier.shift else 0)) >> rectifier.shift
        most = (1 << self.design.width - 1) - 1
        return Mux(sum_ < 0, 0, Mux(rounded > most, most, rounded))
