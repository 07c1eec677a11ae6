"""The output buffer, and the room in it that was promised to passes."""

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design, bits_for
from compiler.array.widths import beats_bits

from .layouts import output_layout

__all__ = ["OutputBuffer"]


class OutputBuffer(wiring.Component):
    """Holds ``output_depth`` beats; a pass is promised room for all of its own as it starts.

    So lanes and projectors never meet a full buffer and need no backpressure.

    Parameters
    ----------
    design : Design

    Members
    -------
    clear : In
        Forget what it holds and what was promised; nothing is offered meanwhile.
    promise : In
        Beats that a pass will push, no more than ``room``; 0 if none starts.
    push, beat : In
        A beat that was promised.
    room : Out
        Beats that are neither held nor promised.
    states : Out, stream
        The beats in order, two cycles after they were pushed or later.
    """

    clear: Signal
    promise: Signal
    push: Signal
    beat: Signal
    room: Signal
    states: stream.Interface

    def __init__(self, design: Design):
        self.design = design
        super().__init__(
            {
                "clear": In(1),
                "promise": In(beats_bits(design)),
                "push": In(1),
                "beat": In(output_layout(design)),
                "room": Out(bits_for(design.output_depth + 1), init=design.output_depth),
                "states": Out(stream.Signature(output_layout(design))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A FIFO and a count."""
        m = Module()
        width, depth = output_layout(self.design).size, self.design.output_depth
        buffer = fifo.SyncFIFOBuffered(width=width, depth=depth)
        m.submodules.buffer = ResetInserter(self.clear)(buffer)
        m.d.comb += [
            buffer.w_data.eq(self.beat),
            buffer.w_en.eq(self.push),
            self.states.payload.eq(buffer.r_data),
            self.states.valid.eq(buffer.r_rdy & ~self.clear),
            buffer.r_en.eq(self.states.ready),
        ]
        taken = self.states.valid & self.states.ready
        m.d.sync += self.room.eq(self.room - self.promise + taken)
        with m.If(self.clear):
            m.d.sync += self.room.eq(depth)
        return m
