"""Which frame a pass works on, and where the vectors that it reads and writes lie."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring

from compiler.array.design import bits_for
from compiler.array.program import Place
from compiler.array.widths import context_bits

__all__ = ["Regions"]


class Regions:
    """Frames of several streams, two state regions each, which change places with every frame.

    Parameters
    ----------
    ports : Controller
        Says which frame waits and is taken; its ``group`` and ``update`` are told the regions.

    Attributes
    ----------
    current : Signal
        The frame under way.
    """

    def __init__(self, ports: wiring.Component):
        self._ports, self._design = ports, ports.design
        self.current = Signal(
            data.StructLayout(
                {
                    "first": 1,  # of a sequence
                    "context": context_bits(ports.design),
                    "phase": 1,  # which of the context's two state regions is the new one
                    # how far back the stream's last frame is, less one; the most for a first one
                    "other": bits_for(ports.design.frames_back),
                }
            )
        )

    def frame(self, m: Module, now: data.View, starting: Value, started: Value) -> data.View:
        """What is known of the frame that the pass works on."""
        self._buffer = Signal(name="_buffer")  # of the frame taken last
        phases = Signal(self._design.contexts)  # the region that was written last
        current = self.current
        incoming, offered, frame = (Signal.like(current) for _ in range(3))
        self._phases, self._incoming = phases, incoming
        m.d.comb += [
            offered.first.eq(incoming.first),
            offered.context.eq(incoming.context),
            offered.phase.eq(~phases.bit_select(incoming.context, 1)),
            offered.other.eq(self._back(m, incoming, starting & now.advance)),
            frame.eq(Mux(now.advance & ~started, offered, current)),
        ]
        return frame

    def _back(self, m: Module, incoming: data.View, advances: Value) -> Value:
        """How many frames were taken since the last one of a frame's stream, as far as is told."""
        current, most = self.current, self._design.frames_back - 1
        if most == 1:
            return incoming.first | (incoming.context != current.context)
        back = Signal(range(most + 1))
        past = [Signal.like(current.context, name=f"context{n}_back") for n in range(2, most + 1)]
        with m.If(advances):
            m.d.sync += Cat(past).eq(Cat(current.context, *past[:-1]))
        with m.If(self._ports.restart):
            m.d.sync += Cat(past).eq(0)
        m.d.comb += back.eq(most)
        for n, context in reversed([*enumerate([current.context, *past])]):
            with m.If(~incoming.first & (incoming.context == context)):
                m.d.comb += back.eq(n)
        return back

    def advance(self, m: Module, now: data.View, frame: data.View, starting: Value) -> None:
        """The frame taken last becomes the current one; its context's regions change places."""
        ports = self._ports
        with m.If(starting & now.advance):
            m.d.sync += [
                self.current.eq(frame),
                self._phases.bit_select(frame.context, 1).eq(frame.phase),
            ]
        with m.If(ports.frame_take):
            m.d.sync += [
                self._incoming.first.eq(ports.frame_first),
                self._incoming.context.eq(ports.frame_context),
                self._buffer.eq(ports.frame_buffer),
            ]
        with m.If(ports.restart):
            m.d.sync += [self._phases.eq(0), self.current.eq(0)]

    def choose(self, m: Module, now: data.View, frame: data.View) -> None:
        """The regions that the pass reads and writes."""
        ports = self._ports
        buffer = Mux(ports.frame_take, ports.frame_buffer, self._buffer)
        new, old = _state_region(frame, frame.phase), _state_region(frame, ~frame.phase)
        for kind, base, given, span in (
            (now.source_kind, ports.group.base, now.source, now.source_span),
            (now.target_kind, ports.update.base, now.target, now.target_span),
        ):
            m.d.comb += base.eq(given)
            with m.Switch(kind):
                with m.Case(Place.FRAME):
                    m.d.comb += base.eq(given | ports.frame_bases[buffer])
                with m.Case(Place.OLD):
                    m.d.comb += base.eq(given | (old << span))
                with m.Case(Place.NEW):
                    m.d.comb += base.eq(given | (new << span))


def _state_region(frame: data.View, phase: Value) -> Value:
    """Number of a state region among those of a layer."""
    return (frame.context << 1) | phase
