"""Which vectors a pass reads and writes for each stream of a batch."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from compiler.array.program import Place

from ..array.regions import Regions
from .streams import Streams

__all__ = ["BatchRegions"]


class BatchRegions(Regions):
    """As :class:`~hdl.core.array.regions.Regions`, of the stream whose cycle it is.

    No pass of a batch runs beside one of the next, so all that is known of a batch is kept from
    the start of its first pass on.
    """

    streams: Streams

    def frame(self, m: Module, now: data.View, starting: Value, started: Value) -> data.View:
        """What is known of the stream's frame."""
        ports, count = self._ports, self._design.batch
        self._buffer = Signal(name="_buffer")
        self._phases = Signal(count)  # the regions that are written
        firsts, mask = Signal(count), Signal(count, name="kept_mask")
        taken, stream = ports.frame_take, self.streams.stream
        self.mask = mask
        frame = Signal.like(self.current)
        m.d.comb += [
            self.streams.mask.eq(Mux(now.frame.any() & ~started, ports.frame_mask, mask)),
            frame.first.eq(firsts.bit_select(stream, 1)),
            frame.context.eq(stream),
            frame.phase.eq(self._phases.bit_select(stream, 1)),
        ]
        with m.If(taken):
            m.d.sync += [
                mask.eq(ports.frame_mask),
                firsts.eq(ports.frame_first),
                self._phases.eq(self._phases ^ ports.frame_mask),
                self._buffer.eq(ports.frame_buffer),
            ]
        with m.If(ports.restart):
            m.d.sync += self._phases.eq(0)
        return frame

    def advance(self, m: Module, now: data.View, frame: data.View, starting: Value) -> None:
        """Nothing: a batch becomes the current one as it is taken."""

    def choose(self, m: Module, now: data.View, frame: data.View) -> None:
        """The regions that the pass reads and writes; each stream has its own of all."""
        ports, stream = self._ports, frame.context
        buffer = Mux(ports.frame_take, ports.frame_buffer, self._buffer)
        for kind, base, given, span in (
            (now.source_kind, ports.group.base, now.source, now.source_span),
            (now.target_kind, ports.update.base, now.target, now.target_span),
        ):
            m.d.comb += base.eq(given | (stream << span))
            with m.Switch(kind):
                with m.Case(Place.FRAME):
                    m.d.comb += base.eq(given | ports.frame_bases[buffer] | (stream << span))
                with m.Case(Place.OLD):
                    m.d.comb += base.eq(given | (((stream << 1) | ~frame.phase) << span))
                with m.Case(Place.NEW):
                    m.d.comb += base.eq(given | (((stream << 1) | frame.phase) << span))
