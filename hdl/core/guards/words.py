"""Holds a streamed matrix against the program: each frame begins with a marked word."""

from amaranth.hdl import Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["WordGuard"]


class WordGuard(wiring.Component):
    """Lets the program have a word only where one like it is due.

    A reset or a start within a frame leaves the source somewhere in its image: what is left of
    that is dropped, up to the next marked word. Anything else that is out of step is an error.
    Whether a frame had begun is therefore known across resets.

    Members
    -------
    valid, first : In
        A word is offered; it is marked.
    wanted, idle : In
        The first word of a frame is due; none is.
    missed : In
        The program waits for nothing but a word that is ``ready``.
    begun : In
        The first word of a frame is taken.
    restart : In
        The program starts anew.
    ready : Out
        The program may have the word, in the same cycle.
    drop : Out
        Take the word and forget it.
    misaligned : Out
        The program waits for another word than the one on offer; sticky until a start.
    """

    valid: Signal
    first: Signal
    wanted: Signal
    idle: Signal
    missed: Signal
    begun: Signal
    restart: Signal
    ready: Signal
    drop: Signal
    misaligned: Signal

    def __init__(self) -> None:
        inputs = ("valid", "first", "wanted", "idle", "missed", "begun", "restart")
        outputs = ("ready", "drop", "misaligned")
        super().__init__({n: In(1) for n in inputs} | {n: Out(1) for n in outputs})
        self._inside = Signal(reset_less=True)  # a frame has begun, its words are not all taken
        self._lost = Signal(reset_less=True)  # the source is in the middle of an image

    def elaborate(self, platform: object) -> Module:
        """What is due against what is there."""
        m = Module()
        inside, lost = self._inside, self._lost
        wrong, due = Signal(), (self.first == self.wanted) | self.idle
        m.d.comb += [
            self.ready.eq(self.valid & due & ~self.misaligned),
            self.drop.eq(lost & ~self.first),
            wrong.eq(self.missed & self.valid & ~lost),
        ]
        with m.If(self.wanted):
            m.d.sync += inside.eq(0)
        with m.If(self.begun | wrong):
            m.d.sync += inside.eq(1)
        with m.If(wrong):
            m.d.sync += self.misaligned.eq(1)
        with m.If(self.valid & self.first):
            m.d.sync += lost.eq(0)
        with m.If(ResetSignal() | self.restart):
            m.d.sync += [self.misaligned.eq(0), inside.eq(0)]
            with m.If(inside | self.begun):
                m.d.sync += lost.eq(1)
        return m
