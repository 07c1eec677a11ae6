"""A queue of what a bound has not proven to be out."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.screen.design import ScreenDesign

from .layouts import bound_layout

__all__ = ["Survivors"]


class Survivors(wiring.Component):
    """Rows or blocks behind a stage, with the bounds that let them through.

    The stage claims a place as it begins a row, so it never meets a full queue: its pipeline has no
    stalls. A row that comes is dropped where its bound is below the k-th largest logit, else there
    to be popped ``QUEUE`` cycles later: it waits in memory blocks, which have a register behind
    them, so that a deep queue costs few LUTs. Throughput: one in and one out a cycle.

    Parameters
    ----------
    design : ScreenDesign
    bits, depth : int
        Bits of a number; places.

    Members
    -------
    claim : In
        The stage begins a row; only while there is ``room``.
    arrive, number, bound : In
        A row has come through the stage.
    least : In
        The k-th largest logit.
    room, idle : Out
        A place can be claimed; none is.
    valid, head, beaten : Out
        The oldest number, and whether its bound is below the k-th largest logit by now.
    pop : In
        It goes.
    """

    claim: Signal
    arrive: Signal
    number: Signal
    bound: Signal
    least: data.View
    room: Signal
    idle: Signal
    valid: Signal
    head: Signal
    beaten: Signal
    pop: Signal

    def __init__(self, design: ScreenDesign, bits: int, depth: int):
        self.design, self._bits, self._depth = design, bits, depth
        # one more than what can be claimed: what waits may all lie before the output register
        self._queue = fifo.SyncFIFOBuffered(width=bits + design.bound_bits, depth=depth + 1)
        self._free = Signal(range(depth + 1), init=depth)  # places that nobody has claimed
        bound = bound_layout(design).members["value"]
        super().__init__(
            {
                "claim": In(1),
                "arrive": In(1),
                "number": In(bits),
                "bound": In(bound),
                "least": In(bound_layout(design)),
                "room": Out(1),
                "idle": Out(1),
                "valid": Out(1),
                "head": Out(bits),
                "beaten": Out(1),
                "pop": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A FIFO, a count of places that nobody has claimed, two comparisons."""
        m = Module()
        m.submodules.queue = queue = self._queue
        free = self._free
        below = self.least.valid & (self.bound < self.least.value)
        left = queue.r_data[self._bits :].as_signed()
        m.d.comb += [
            queue.w_data.eq(Cat(self.number, self.bound)),
            queue.w_en.eq(self.arrive & ~below),
            queue.r_en.eq(self.pop),
            self.valid.eq(queue.r_rdy),
            self.head.eq(queue.r_data[: self._bits]),
            self.beaten.eq(self.least.valid & (left < self.least.value)),
            self.room.eq(free != 0),
            self.idle.eq(free == self._depth),
        ]
        m.d.sync += free.eq(free + self.pop + (self.arrive & below) - self.claim)
        return m
