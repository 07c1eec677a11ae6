"""AXI4-Stream in and out: packets to frames of the core, states of the core to packets."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.abi.registers import LOAD_MAGIC, PACKET, PACKET_MAGIC
from compiler.abi.wire import frame_packing, has_results, state_packing, sum_packing
from compiler.array.design import Design
from compiler.lower.load import WORD

from ..core.layouts import frame_layout, output_layout
from .packing import from_bus, to_bus
from .register_file import word_layout

__all__ = ["FrameInput", "StateOutput", "axi_stream"]


def axi_stream(bits: int) -> wiring.Signature:
    """Signals of an AXI4-Stream, seen from its source."""
    return wiring.Signature(
        {"tdata": Out(bits), "tvalid": Out(1), "tlast": Out(1), "tready": In(1)}
    )


class FrameInput(wiring.Component):
    """Packets of whole frames to beats of the core, one bus beat a cycle.

    A packet is a header (``compiler.abi.registers.PACKET``) and whole frames; ``tlast`` ends
    it. After ``tlast`` within a frame the frame is completed with zeros, after a bad header the
    packet is thrown away, so the next packet always starts clean. In a design that trains another
    magic number says that words of load packets follow, one in the lowest bits of each beat.

    Parameters
    ----------
    design : Design
    bits : int
        Of ``tdata``.

    Members
    -------
    axis : In
    frames : Out, stream
        For :class:`~hdl.core.core.Core`.
    beats : In
        Beats of the core in a frame; constant while a packet is under way.
    open : In
        A new packet may begin.
    stop : In
        Throw everything away.
    reset, new_source : In
        Forget what was begun; with ``new_source`` do not wait for its ``tlast``.
    begun, done : Out
        The first, the last beat of a frame goes to the core (pulses, the same for a frame of
        one beat).
    bad_header, short : Out
        Pulses.
    discarding : Out
        A packet is thrown away.
    busy : Out
        A packet is under way, or its last beat was not yet taken by the core.
    quiet : In, of a design that trains
        Memories may be written.
    load, word : Out, likewise
        A word of a load packet.
    loading : Out, likewise
        A packet of such words is under way.
    """

    axis: wiring.PureInterface
    frames: stream.Interface
    beats: Signal
    open: Signal
    stop: Signal
    reset: Signal
    new_source: Signal
    begun: Signal
    done: Signal
    bad_header: Signal
    short: Signal
    discarding: Signal
    busy: Signal
    quiet: Signal
    load: Signal
    word: Signal
    loading: Signal

    def __init__(self, design: Design, bits: int):
        self.design, self.packing = design, frame_packing(design, bits)
        inputs = {name: In(1) for name in ("open", "stop", "reset", "new_source")}
        if design.train:
            inputs |= {"quiet": In(1), "load": Out(1), "word": Out(WORD), "loading": Out(1)}
        pulses = ("begun", "done", "bad_header", "short", "discarding", "busy")
        super().__init__(
            {
                "axis": In(axi_stream(bits)),
                "frames": Out(stream.Signature(frame_layout(design))),
                "beats": In(16),
                **inputs,
                **{name: Out(1) for name in pulses},
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Header, frames, zeros that complete one, and what is thrown away."""
        m = Module()
        self._place, self._first, self._context = Signal(16), Signal(), Signal(16)
        self._taken, self._push = Signal(), Signal()
        self._closes = Signal()
        self._last, self._none = Signal(16), Signal()  # of a frame: its last place; it has no beats
        kind = m.d.sync if self.design.deep else m.d.comb  # nothing begins as ``beats`` changes
        kind += [self._last.eq(self.beats - 1), self._none.eq(self.beats == 0)]
        cut = self.reset | self.stop
        room = ~self.frames.valid | self.frames.ready
        whole = self._collect(m)
        m.d.comb += self._taken.eq(self.axis.tvalid & self.axis.tready)
        with m.FSM() as fsm:
            with m.State("header"):
                self._in_header(m, cut)
            with m.State("frame"):
                self._in_frame(m, whole, room, cut)
            with m.State("pad"):
                m.d.comb += self._push.eq(room)
                with m.If((room & self._frame_ends) | cut):
                    m.next = "header"
            with m.State("discard"):
                m.d.comb += [self.axis.tready.eq(1), self.discarding.eq(1)]
                with m.If(self._taken & self.axis.tlast):
                    m.next = "header"
                self._forget_source(m)
            if self.design.train:
                with m.State("load"):
                    self._in_load(m, cut)
        padding = fsm.ongoing("pad")
        self._emit(m, padding)
        with m.If(cut):
            m.d.sync += [self.frames.valid.eq(0), self._part.eq(0), self._place.eq(0)]
        m.d.comb += self.busy.eq(fsm.ongoing("frame") | padding | self.frames.valid)
        return m

    @property
    def _frame_ends(self) -> Value:
        """The payload that is pushed is the last of its frame."""
        return self._place == self._last

    def _collect(self, m: Module) -> Value:
        """Gather a payload's beats; high if the beat on the bus is its last."""
        bits, beats = self.packing.bits, self.packing.beats
        self._part = part = Signal(range(max(2, beats)))
        self._word = word = Signal(bits * beats)
        if beats == 1:
            m.d.comb += word.eq(self.axis.tdata)
            return Const(1)
        kept = Signal(bits * (beats - 1), reset_less=True)
        whole = part == beats - 1
        m.d.comb += word.eq(Cat(kept, self.axis.tdata))
        with m.If(self._taken):
            # earlier beats move down as later ones come
            m.d.sync += [kept.eq(word[bits:]), part.eq(part + 1)]
            with m.If(whole | self.axis.tlast):
                m.d.sync += part.eq(0)
        return whole

    def _in_header(self, m: Module, cut: Value) -> None:
        """Look at a packet's first beat, if it may come and is there."""
        header = data.View(word_layout(PACKET), self.axis.tdata[:32])
        good = (header.magic == PACKET_MAGIC) & (header.context < self.design.contexts)
        m.d.comb += self.axis.tready.eq(self.open | self.stop)
        with m.If(self._taken):
            m.d.sync += [self._part.eq(0), self._place.eq(0)]
            m.d.sync += [self._first.eq(header.first), self._context.eq(header.context)]
            if self.design.batched:
                m.d.sync += self._closes.eq(header.closes)
            with m.If(~self.axis.tlast):
                m.next = "frame"
            with m.If(self.stop | ~good | self._none):
                m.d.comb += self.bad_header.eq(~self.stop)
                with m.If(~self.axis.tlast):
                    m.next = "discard"
            with m.Elif(self.axis.tlast):
                m.d.comb += self.short.eq(1)
            with m.Elif(cut):
                m.next = "discard"
            if self.design.train:
                with m.If(~self.stop & ~cut & (header.magic == LOAD_MAGIC) & ~self.axis.tlast):
                    m.d.comb += self.bad_header.eq(0)
                    m.next = "load"
        self._forget_source(m)

    def _in_load(self, m: Module, cut: Value) -> None:
        """Hand words to the loader, as soon as no frame is under way."""
        m.d.comb += [
            self.loading.eq(1),
            self.axis.tready.eq(self.quiet | cut),
            self.word.eq(self.axis.tdata[:WORD]),
            self.load.eq(self._taken & ~cut),
        ]
        with m.If(self._taken & self.axis.tlast):
            m.next = "header"
        with m.Elif(cut):
            m.next = "discard"
        self._forget_source(m)

    def _in_frame(self, m: Module, whole: Value, room: Value, cut: Value) -> None:
        """Take beats as long as there is room for what they complete."""
        m.d.comb += [
            self.axis.tready.eq(room | ~whole),
            self._push.eq(self._taken & whole),
        ]
        with m.If(self._taken & self.axis.tlast):
            self._end(m, whole, cut)
        with m.Elif(cut):
            m.next = "discard"
        self._forget_source(m)

    def _end(self, m: Module, whole: Value, cut: Value) -> None:
        """``tlast`` in a packet: at the end of a frame, or not."""
        m.next = "header"
        with m.If(~cut & ~(whole & self._frame_ends)):
            m.d.comb += self.short.eq(1)
            m.next = "pad"

    def _forget_source(self, m: Module) -> None:
        """Expect a header whatever was under way."""
        with m.If(self.reset & self.new_source):
            m.next = "header"

    def _emit(self, m: Module, padding: Value) -> None:
        """Hand a payload to the core."""
        payload, ends = self.frames.payload, self._frame_ends
        m.d.comb += [
            self.begun.eq(self._push & (self._place == 0)),
            self.done.eq(self._push & ends),
        ]
        with m.If(self.frames.ready):
            m.d.sync += self.frames.valid.eq(0)
        with m.If(self._push):
            m.d.sync += [
                self.frames.valid.eq(1),
                self._place.eq(self._place + 1),
                payload.first.eq(self._first),
            ]
            m.d.sync += payload.context.eq(self._context)
            if self.design.batched:
                m.d.sync += payload.closes.eq(self._closes)
            with m.If(ends):
                m.d.sync += [self._place.eq(0), self._first.eq(0)]
            for where, bits in from_bus(self.packing, self._word):
                m.d.sync += Value.cast(payload)[where].eq(Mux(padding, 0, bits))
            if self.design.checked:
                with m.If(padding):
                    marks = Cat(self._first, self._context[: len(payload.context)])
                    m.d.sync += payload.check.eq(marks.xor())


class StateOutput(wiring.Component):
    """Beats of the core to packets of one frame each, one bus beat a cycle.

    Numbers go out in containers, as frames come in.

    Parameters
    ----------
    design : Design
    bits : int
        Of ``tdata``.

    Members
    -------
    states : In, stream
        From :class:`~hdl.core.core.Core`.
    sums : In, of a design whose recurrent layers learn
        What leaves are sums of W^T d.
    axis : Out
    reset : In
        Forget what was begun. A beat on the bus stays until it is taken, and a packet that
        was begun is ended by a beat of zeros with ``tlast``.
    frame : Out
        The last beat of a frame is taken (a pulse).
    busy : Out
        A beat waits on the bus.
    """

    states: stream.Interface
    axis: wiring.PureInterface
    reset: Signal
    frame: Signal
    busy: Signal
    sums: Signal

    def __init__(self, design: Design, bits: int):
        self.design, self.packing = design, state_packing(design, bits)
        self._results = state_packing(design, bits, results=has_results(design))
        given = [self.packing, self._results]
        if design.backward:
            self._sums = sum_packing(design, bits)
            given.append(self._sums)
        self._beats = max(packing.beats for packing in given)
        super().__init__(
            {
                "states": In(stream.Signature(output_layout(design))),
                "axis": Out(axi_stream(bits)),
                "reset": In(1),
                "frame": Out(1),
                "busy": Out(1),
                **({"sums": In(1)} if design.backward else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A shift register of a payload's beats."""
        m = Module()
        axis, bits, beats = self.axis, self.packing.bits, self._beats
        word, part = Signal(bits * beats), Signal(range(max(2, beats)))
        last, opened, closing = Signal(), Signal(), Signal()
        # the payload's last beat, where its kinds take different ones
        final = Signal.like(part) if self.design.backward else Const(beats - 1)
        taken, ends = axis.tvalid & axis.tready, part == final
        m.d.comb += [
            axis.tdata.eq(word[:bits]),
            axis.tlast.eq(last & ends),
            self.states.ready.eq(~closing & ~self.reset & (~axis.tvalid | (taken & ends))),
            self.frame.eq(taken & axis.tlast & ~closing),
            self.busy.eq(axis.tvalid | closing),
        ]
        with m.If(taken):
            m.d.sync += [opened.eq(~axis.tlast), word.eq(word >> bits), part.eq(part + 1)]
            with m.If(ends):
                m.d.sync += [axis.tvalid.eq(0), part.eq(0)]
        with m.If(self.states.valid & self.states.ready):
            beat, count = self._beat()
            m.d.sync += [word.eq(beat), last.eq(Value.cast(self.states.payload)[-1])]
            m.d.sync += axis.tvalid.eq(1)
            if self.design.backward:
                m.d.sync += final.eq(count - 1)
        with m.If(self._close(m, taken, opened, closing)):
            m.d.sync += [axis.tvalid.eq(1), word.eq(0), part.eq(final), last.eq(1)]
        return m

    def _beat(self) -> tuple[Value, Value]:
        """The payload on the bus, and how many beats it takes."""
        payload = Value.cast(self.states.payload)
        beat, count = to_bus(self.packing, payload), Const(self.packing.beats)
        kinds = [(self._results, self.states.payload.result)] if has_results(self.design) else []
        if self.design.backward:
            kinds.append((self._sums, self.sums))
        for packing, chosen in kinds:
            beat = Mux(chosen, to_bus(packing, payload), beat)
            count = Mux(chosen, packing.beats, count)
        return beat, count

    def _close(self, m: Module, taken: Value, opened: Signal, closing: Signal) -> Value:
        """End a packet that a reset has cut; high when the beat that ends it is due."""
        axis = self.axis
        with m.If(self.reset & Mux(taken, ~axis.tlast, axis.tvalid | opened)):
            m.d.sync += closing.eq(1)
        with m.If(closing & taken & axis.tlast):
            m.d.sync += closing.eq(0)
        return closing & Mux(taken, ~axis.tlast, ~axis.tvalid)
