"""Takes the frames of a batch from a stream into the vector banks."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design, bits_for

from ..layouts import frame_layout

__all__ = ["BatchLoader"]


class BatchLoader(wiring.Component):
    """Two buffers in the vector banks, with a frame of every stream each.

    As :class:`~hdl.core.frames.FrameLoader`, but that a buffer is filled once a frame that
    ``closes`` the batch is whole.

    Parameters
    ----------
    design : Design

    Members
    -------
    frames : In, stream
        Beats of :func:`~hdl.core.layouts.frame_layout`, ``last`` and one more a frame, place 0
        first. Of two frames of one stream in a batch the later one counts. Ready while a buffer is
        free, ``known`` is high, ``blocked`` and ``restart`` low.
    last, known, bases, span : In
        Place of a frame's last beat, whether there is one, the two buffers' places in the banks,
        and the binary logarithm of the places of a frame, from the program.
    blocked : In
        The write port is taken this cycle.
    write_en, write_addr, write_data : Out
        A beat for all banks, in the cycle in which it is taken, and its first place.
    ready, first, mask, buffer : Out
        A whole batch waits; of each stream whether it starts a sequence, whether it is there; in
        which buffer they lie.
    take : In
        The waiting batch's first pass starts (a pulse).
    release : In
        The oldest batch taken has been read for the last time (a pulse).
    restart : In
        Forget all frames.
    """

    frames: stream.Interface
    last: Signal
    known: Signal
    bases: Signal
    span: Signal
    blocked: Signal
    write_en: Signal
    write_addr: Signal
    write_data: Signal
    ready: Signal
    first: Signal
    mask: Signal
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
                "span": In(bits_for(address + 1)),
                "blocked": In(1),
                "write_en": Out(1),
                "write_addr": Out(address),
                "write_data": Out(frame_layout(design).members["data"]),
                "ready": Out(1),
                "first": Out(design.batch),
                "mask": Out(design.batch),
                "buffer": Out(1),
                "take": In(1),
                "release": In(1),
                "restart": In(1),
            }
        )
        # buffers that can be filled, and that hold a batch; which is next, both ways
        self._free, self._waiting = Signal(2, init=2), Signal(2)
        self._fill, self._drain = Signal(), Signal()
        self._beat = Signal(bits_for(design.vector_depth + 1))
        self._begun = Signal()  # a frame of the batch that comes is there

    def elaborate(self, platform: object) -> Module:
        """Counters of free and waiting buffers; buffers alternate in both directions."""
        m = Module()
        free, waiting, beat = self._free, self._waiting, self._beat
        payload, ports = self.frames.payload, (self.design.frame_ports - 1).bit_length()
        taken = self.frames.valid & self.frames.ready
        ends = taken & (beat == self.last)
        whole, left = ends & payload.closes, Signal.like(waiting)
        place = (payload.context << self.span) | (beat << ports if ports else beat)
        m.d.comb += [
            self.frames.ready.eq((free != 0) & self.known & ~self.blocked & ~self.restart),
            self.write_en.eq(taken),
            self.write_addr.eq(self.bases[self._fill] | place),
            self.write_data.eq(payload.data),
            self.buffer.eq(self._drain),
            left.eq(waiting + whole - self.take),
        ]
        self._mark(m, ends)
        with m.If(taken):
            m.d.sync += beat.eq(beat + 1)
        with m.If(ends):
            m.d.sync += [beat.eq(0), self._begun.eq(~payload.closes)]
        m.d.sync += [
            self._fill.eq(self._fill ^ whole),
            self._drain.eq(self._drain ^ self.take),
            free.eq(free + self.release - whole),
            waiting.eq(left),
            self.ready.eq(left != 0),
        ]
        with m.If(self.restart):
            states = (free, waiting, self.ready, self._fill, self._drain, beat, self._begun)
            m.d.sync += [state.eq(state.init) for state in states]
        return m

    def _mark(self, m: Module, ends: Signal) -> None:
        """Which streams are there in each buffer, and which begin."""
        payload = self.frames.payload
        there, firsts = Signal.like(self.mask), Signal.like(self.mask)
        m.d.comb += [
            there.bit_select(payload.context, 1).eq(1),
            firsts.bit_select(payload.context, 1).eq(payload.first),
        ]
        for n in range(2):
            masks = [Signal.like(self.mask, name=f"{of}{n}") for of in ("mask", "first")]
            with m.If(ends & (self._fill == n)):
                for kept, now in zip(masks, (there, firsts), strict=True):
                    others = kept & ~there & self._begun.replicate(len(kept))
                    m.d.sync += kept.eq(others | now)
            with m.If(self._drain == n):
                m.d.comb += [self.mask.eq(masks[0]), self.first.eq(masks[1])]
