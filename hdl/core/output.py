"""The output buffer, and the room in it that was promised to passes."""

from amaranth.hdl import Cat, Elaboratable, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design, bits_for
from compiler.array.widths import promise_bits

from .layouts import output_layout

__all__ = ["OutputBuffer"]


class OutputBuffer(wiring.Component):
    """Holds ``output_depth`` beats; a pass is promised room for all of its own as it starts.

    So lanes and projectors never meet a full buffer and need no backpressure. The start of a
    program leaves in it what nobody has taken, if that is of whole frames: these are results of
    frames that were taken. What a program was ended in goes.

    Parameters
    ----------
    design : Design

    Members
    -------
    clear : In
        Forget what was promised, and all that it holds if a frame in it is not whole or its last
        beat not offered yet; then nothing is offered meanwhile.
    promise : In
        Beats that a pass will push, no more than ``room``; 0 if none starts.
    push, beat : In
        A beat that was promised.
    room : Out
        Beats that are neither held nor promised.
    forgets : Out
        All that it holds goes in this cycle.
    states : Out, stream
        The beats in order, two cycles after they were pushed or later, or one in a shallow design.
    """

    clear: Signal
    promise: Signal
    push: Signal
    beat: Signal
    room: Signal
    forgets: Signal
    states: stream.Interface

    def __init__(self, design: Design):
        self.design = design
        # The last beat ended its frame; a beat came one, two cycles ago and may not be offered.
        self.whole, self.fresh = Signal(init=1), Signal(2)
        super().__init__(
            {
                "clear": In(1),
                "promise": In(promise_bits(design)),
                "push": In(1),
                "beat": In(output_layout(design)),
                "room": Out(bits_for(design.output_depth + 1), init=design.output_depth),
                "forgets": Out(1),
                "states": Out(stream.Signature(output_layout(design))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A FIFO and a count."""
        m = Module()
        width, depth = output_layout(self.design).size, self.design.output_depth
        kind = _EarlyFIFO if self.design.shallow else fifo.SyncFIFOBuffered
        buffer = kind(width=width, depth=depth)
        forget = self.clear & self._broken(m)
        m.submodules.buffer = ResetInserter(forget)(buffer)
        m.d.comb += [
            buffer.w_data.eq(self.beat),
            buffer.w_en.eq(self.push),
            self.forgets.eq(forget),
            self.states.payload.eq(buffer.r_data),
            self.states.valid.eq(buffer.r_rdy & ~forget),
            buffer.r_en.eq(self.states.ready),
        ]
        # whether a beat is taken is known late: it is added a cycle later
        kept, taken = Signal.like(self.room), Signal()
        m.d.comb += self.room.eq(kept + taken)
        m.d.sync += [
            taken.eq(self.states.valid & self.states.ready),
            kept.eq(self.room - self.promise),
        ]
        with m.If(forget):
            m.d.sync += [kept.eq(depth), taken.eq(0)]
        with m.Elif(self.clear):  # no promise is open, and none made in this cycle counts
            m.d.sync += kept.eq(self.room)
        return m

    def _broken(self, m: Module) -> Value:
        """Whether a frame is under way: beats are promised or missing, or came just now.

        What is promised is counted beside ``room``: a sum of room and beats that are held would be
        on the way of every beat that leaves.
        """
        whole, fresh = self.whole, self.fresh
        promised, owed = Signal.like(self.promise), Signal.like(self.room, init=0)
        m.d.sync += [promised.eq(self.promise), owed.eq(owed + promised - self.push)]
        m.d.sync += fresh.eq(Cat(self.push, fresh[0]))
        with m.If(self.clear):
            m.d.sync += [whole.eq(1), fresh.eq(0), promised.eq(0), owed.eq(0)]
        with m.Elif(self.push):
            m.d.sync += whole.eq(self.beat.last)
        return promised.any() | owed.any() | ~whole | fresh.any()


class _EarlyFIFO(Elaboratable):
    """A FIFO whose output register takes what comes while it is empty: a cycle earlier.

    Ports are those of :class:`amaranth.lib.fifo.SyncFIFOBuffered`; it takes ``depth`` words.
    """

    def __init__(self, *, width: int, depth: int):
        self._rest = fifo.SyncFIFOBuffered(width=width, depth=depth)
        self.w_data, self.r_data = Signal(width), Signal(width, reset_less=True)
        self.w_en, self.r_rdy, self.r_en = Signal(), Signal(), Signal()

    def elaborate(self, platform: object) -> Module:
        """What is behind the register comes first, as it is older."""
        m = Module()
        m.submodules.rest = rest = self._rest
        free, empty = ~self.r_rdy | self.r_en, rest.level == 0
        m.d.comb += [
            rest.w_data.eq(self.w_data),
            rest.w_en.eq(self.w_en & ~(free & empty)),
            rest.r_en.eq(free),
        ]
        with m.If(free):
            m.d.sync += [
                self.r_rdy.eq(rest.r_rdy | self.w_en & empty),
                self.r_data.eq(Mux(empty, self.w_data, rest.r_data)),
            ]
        return m
