"""Takes input frames from a stream into the two x regions of the vector banks."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design, bits_for
from compiler.array.widths import context_bits

from .layouts import frame_layout

__all__ = ["FrameLoader"]


class FrameLoader(wiring.Component):
    """Two frame buffers in the vector banks: one is read while the other is filled.

    Parameters
    ----------
    design : Design

    Members
    -------
    frames : In, stream
        Beats of :func:`~hdl.core.layouts.frame_layout`, ``last`` and one more a frame, place 0
        first. Ready while a buffer is free, ``known`` is high, ``blocked`` and ``restart`` low.
    last, known, bases : In
        Place of a frame's last beat, whether there is one, and the two buffers' places in the
        banks, from the program.
    blocked : In
        The write port is taken this cycle.
    write_en, write_addr, write_data : Out
        A beat for all banks, in the cycle in which it is taken, and its first place.
    ready, first, context, buffer : Out
        A whole frame waits; ``first`` tells whether it starts a sequence, ``context`` its
        stream, ``buffer`` in which of the two it lies.
    take : In
        The waiting frame's pass starts (a pulse).
    release : In
        The oldest frame taken has been read for the last time (a pulse).
    restart : In
        Forget all frames.
    """

    frames: stream.Interface
    last: Signal
    known: Signal
    bases: Signal
    blocked: Signal
    write_en: Signal
    write_addr: Signal
    write_data: Signal
    ready: Signal
    first: Signal
    context: Signal
    buffer: Signal
    take: Signal
    release: Signal
    restart: Signal

    def __init__(self, design: Design):
        self.design = design
        address = bits_for(design.vector_depth)
        super().__init__(
            {
                "frames": In(stream.Signature(frame_layout(design))),
                "last": In(bits_for(design.vector_depth + 1)),
                "known": In(1),
                "bases": In(data.ArrayLayout(address, 2)),
                "blocked": In(1),
                "write_en": Out(1),
                "write_addr": Out(address),
                "write_data": Out(frame_layout(design).members["data"]),
                "ready": Out(1),
                "first": Out(1),
                "context": Out(context_bits(design)),
                "buffer": Out(1),
                "take": In(1),
                "release": In(1),
                "restart": In(1),
            }
        )
        # buffers that can be filled, and that hold a frame; which is next, both ways; the beat
        self._free, self._waiting = Signal(2, init=2), Signal(2)
        self._fill, self._drain = Signal(), Signal()
        self._beat = Signal(bits_for(design.vector_depth + 1))

    def elaborate(self, platform: object) -> Module:
        """Counters of free and waiting buffers; buffers alternate in both directions."""
        m = Module()
        free, waiting, beat = self._free, self._waiting, self._beat
        fill, drain = self._fill, self._drain
        firsts, ports = Signal(2), (self.design.frame_ports - 1).bit_length()
        contexts = [Signal.like(self.context, name=f"context{n}") for n in range(2)]
        taken = self.frames.valid & self.frames.ready
        whole = taken & (beat == self.last)
        m.d.comb += [
            self.frames.ready.eq((free != 0) & self.known & ~self.blocked & ~self.restart),
            self.write_en.eq(taken),
            self.write_addr.eq(self.bases[fill] | (beat << ports if ports else beat)),
            self.write_data.eq(self.frames.payload.data),
            self.first.eq(firsts.bit_select(drain, 1)),
            self.context.eq(Mux(drain, contexts[1], contexts[0])),
            self.buffer.eq(drain),
        ]
        with m.If(taken):
            m.d.sync += [
                beat.eq(beat + 1),
                firsts.bit_select(fill, 1).eq(self.frames.payload.first),
            ]
            for n, context in enumerate(contexts):
                with m.If(fill == n):
                    m.d.sync += context.eq(self.frames.payload.context)
        with m.If(whole):
            m.d.sync += [beat.eq(0), fill.eq(~fill)]
        with m.If(self.take):
            m.d.sync += drain.eq(~drain)
        left = Signal.like(waiting)
        m.d.comb += left.eq(waiting + whole - self.take)
        m.d.sync += [
            free.eq(free + self.release - whole),
            waiting.eq(left),
            self.ready.eq(left != 0),
        ]
        with m.If(self.restart):
            states = (free, waiting, self.ready, fill, drain, beat)
            m.d.sync += [state.eq(state.init) for state in states]
        return m
