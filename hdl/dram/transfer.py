"""Reads a model from memory by itself: transfers one after the other, along a list."""

from __future__ import annotations

import enum

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.abi.dma_registers import ENTRY, ENTRY_BYTES, TAIL, Kind
from compiler.array.design import Design
from compiler.lower.load import WORD, Space, space_depths, space_widths

from ..bus.register_file import word_layout
from ..core.hierarchy import Hierarchy
from ..core.layouts import rows_layout, words_layout
from ..read_port import bus_members, forward_bus, read_errors_layout
from .gearbox import Gearbox
from .reader import DramReader, ReadBus
from .words import WordSplitter

__all__ = ["LOAD_ROWS", "STREAM_ROWS", "Transfers", "entry_layout"]

LOAD_ROWS = 4  # of the gearbox where nobody pauses
STREAM_ROWS = 16


class State(enum.IntEnum):
    """Of the machine; idle is where it begins."""

    IDLE = 0
    FETCH = 1
    COLLECT = 2
    JUDGE = 3
    MOVE = 4
    DRAIN = 5
    STREAM = 6


def entry_layout() -> data.StructLayout:
    """The words of an entry that are looked at, each a register's."""
    return data.StructLayout(
        {register.name.removeprefix("dma_"): word_layout(register) for register in ENTRY}
    )


class Transfers(wiring.Component):
    """Carries out one transfer, or those of a list.

    Parameters
    ----------
    design : Design
    bus : ReadBus
    hierarchy : Hierarchy

    Members
    -------
    m_axi_* : AXI4 read channels, see :class:`~hdl.dram.reader.DramReader`
    start, first : In
        A pulse: give up what is under way, and do this transfer (:func:`entry_layout`), or the
        list that begins at its base.
    stop : In
        A pulse: give up what is under way.
    loading, streaming : Out
        Memories are being filled, from the cycle after ``start`` on; the matrix is being read.
    done : Out
        A pulse: the transfer or the list is done, its last word or row has been given. A matrix
        that is read for every frame counts as done when its reading begins.
    failed : Out
        A pulse: the transfer has failed, as ``errors`` or ``misfit`` tell.
    errors : Out
        Of the last transfer, see :func:`~hdl.read_port.read_errors_layout`. While memories are
        filled it ends with the first error, and the list with it, before a word of the beat is
        given.
    misfit : Out
        The last transfer is of a kind that the design has not, or its rows do not fit.
    load_valid, load_word : Out
        Words of load packets, one a cycle.
    rows : Out, of a design with its matrices on chip
        :func:`~hdl.core.layouts.rows_layout`, one a cycle at most.
    matrix : Out, stream, of a streamed design
        :func:`~hdl.core.layouts.words_layout`.
    """

    start: Signal
    first: data.View
    stop: Signal
    loading: Signal
    streaming: Signal
    done: Signal
    failed: Signal
    errors: data.View
    misfit: Signal
    load_valid: Signal
    load_word: Signal

    def __init__(self, design: Design, bus: ReadBus, hierarchy: Hierarchy):
        self.design, self.bus, self._hierarchy = design, bus, hierarchy
        word = design.word_bits if design.streamed else space_widths(design)[Space.MATRIX]
        width = design.pes * word
        rows = STREAM_ROWS if design.streamed else LOAD_ROWS
        self._gear = Gearbox(width, bus.data_bits, rows, hierarchy)
        self._reader = DramReader(bus, hierarchy, stops=True)
        self._splitter = WordSplitter(bus.data_bits)
        members = bus_members(bus) | {
            "start": In(1),
            "first": In(entry_layout()),
            "stop": In(1),
            "loading": Out(1),
            "streaming": Out(1),
            "done": Out(1),
            "failed": Out(1),
            "errors": Out(read_errors_layout()),
            "misfit": Out(1),
            "load_valid": Out(1),
            "load_word": Out(WORD),
        }
        if design.streamed:
            members["matrix"] = Out(stream.Signature(words_layout(width)))
        else:
            members["rows"] = Out(rows_layout(design))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """A machine around the reader; beats go where the kind of the transfer says."""
        m = Module()
        m.submodules.reader = reader = self._reader
        m.submodules.gearbox, m.submodules.splitter = self._gear, self._splitter
        forward_bus(m, self, reader, self.bus)
        depth = space_depths(self.design)[Space.MATRIX]
        self._state, self._now = Signal(State), Signal(entry_layout())
        self._place, self._row = Signal(self.bus.address_bits), Signal(range(depth + 1))
        self._words_left = Signal(len(self._now.words.count))
        self._rows_left = Signal(len(self._now.length.bytes))  # in beats
        self._listed, self._got = Signal(), Signal(range(ENTRY_BYTES // self.bus.beat_bytes + 1))
        self._clear = (self._state == State.IDLE) | self.start | self.stop
        m.d.comb += [
            self.loading.eq((self._state != State.IDLE) & (self._state != State.STREAM)),
            self.streaming.eq(self._state == State.STREAM),
            Value.cast(self.errors).eq(Mux(self.misfit, 0, Value.cast(reader.errors))),
            self.load_valid.eq(self._splitter.valid),
            self.load_word.eq(self._splitter.word),
            self._gear.padding.eq(self._now.padding.bits),
            self._splitter.clear.eq(self._clear),
            self._gear.clear.eq(self._clear),
            reader.once.eq(1),
        ]
        self._deal(m)
        self._machine(m, self._groups(m))
        return m

    def _deal(self, m: Module) -> None:
        """Beats of the reader: to the entry, to words or to groups."""
        beats, words, groups = self._reader.beats, self._splitter.beats, self._gear.beats
        moving = (self._state == State.MOVE) | (self._state == State.STREAM)
        worded = self._woven(m)
        waits = ~self._rows_left.any() & self._gear.groups.valid
        m.d.comb += [
            words.payload.data.eq(beats.payload.data),
            groups.payload.data.eq(beats.payload.data),
            words.valid.eq(beats.valid & moving & worded & ~waits),
            groups.valid.eq(beats.valid & moving & ~worded),
        ]
        with m.If(self._state == State.COLLECT):
            m.d.comb += beats.ready.eq(1)
        with m.Elif(moving):
            m.d.comb += beats.ready.eq(Mux(worded, words.ready & ~waits, groups.ready))

    def _woven(self, m: Module) -> Value:
        """Whether a beat is one of words, and which beats are the last of their kind.

        The order is that of :func:`compiler.abi.dma.weave`. Words after all rows wait until these
        are written.
        """
        each = self.bus.data_bits // WORD
        words, rows = self._words_left, self._rows_left
        phase, beat = Signal(range(each)), self._reader.beats
        taken = beat.valid & beat.ready & (self._state == State.MOVE)
        with m.If(self._state == State.JUDGE):
            m.d.sync += phase.eq(0)
        with m.Elif(taken):
            m.d.sync += phase.eq(phase + 1)
        kind, last = self._now.start.kind, beat.payload.last
        early = (phase == 0) & (words > max(TAIL, each))
        worded = Mux(kind == Kind.ROWS, words.any() & (~rows.any() | early), kind == Kind.WORDS)
        spare = Signal(range(each + 1))
        m.d.comb += [
            spare.eq(Mux(words < each, each - words, 0)),
            self._splitter.padding.eq(
                Mux(kind == Kind.ROWS, spare << (WORD - 1).bit_length(), self._now.padding.bits)
            ),
            self._splitter.beats.payload.last.eq(Mux(kind == Kind.ROWS, words <= each, last)),
            self._gear.beats.payload.last.eq(Mux(kind == Kind.ROWS, rows == 1, last)),
        ]
        with m.If(taken):
            with m.If(worded):
                m.d.sync += words.eq(Mux(words < each, 0, words - each))
            with m.Else():
                m.d.sync += rows.eq(rows - 1)
        return worded

    def _groups(self, m: Module) -> Value:
        """Groups: to the array, or into its memories; whether some have no place there."""
        groups = self._gear.groups
        if self.design.streamed:
            wiring.connect(m, groups, wiring.flipped(self.matrix))
            return Const(0)
        over = groups.valid & (self._row == space_depths(self.design)[Space.MATRIX])
        # bits that make no group are told before the words behind them start a program
        written = (self._state == State.MOVE) & ~self._rows_left.any() & ~groups.valid
        over |= written & self._words_left.any() & (self._gear.level != 0)
        m.d.comb += [
            groups.ready.eq(1),
            self.rows.en.eq(groups.valid & ~over),
            self.rows.row.eq(self._row),
            self.rows.words.eq(groups.payload.words),
        ]
        with m.If(self.rows.en):
            m.d.sync += self._row.eq(self._row + 1)
        return over

    def _machine(self, m: Module, over: Value) -> None:
        """Fetch an entry, judge it, move its data, wait for the last of them."""
        beats, failed = self._reader.beats, self._reader.errors.as_value().any()
        ended = beats.valid & beats.ready & beats.payload.last
        with m.Switch(self._state):
            with m.Case(State.FETCH):
                self._read(m, self._place, ENTRY_BYTES)
                m.d.sync += [self._listed.eq(1), self._got.eq(0), self._state.eq(State.COLLECT)]
            with m.Case(State.COLLECT):
                self._collect(m)
                with m.If(ended):
                    m.d.sync += self._state.eq(State.JUDGE)
            with m.Case(State.JUDGE):
                self._judge(m)
            with m.Case(State.MOVE), m.If(ended):
                m.d.sync += self._state.eq(State.DRAIN)
            with m.Case(State.DRAIN), m.If(~self._splitter.valid & ~self._gear.groups.valid):
                self._next(m)
        with m.If(over):
            self._give_up(m, misfit=True)
        reading = self.loading & (self._state != State.FETCH) & (self._state != State.JUDGE)
        with m.If(failed & reading):
            m.d.comb += self.failed.eq(1)
            self._give_up(m)
        told = Signal()  # of a stream, which goes on
        m.d.sync += told.eq(self.streaming & failed)
        with m.If(self.streaming & failed & ~told):
            m.d.comb += self.failed.eq(1)
        with m.If(self.stop):
            self._give_up(m)
        with m.If(self.start):
            m.d.sync += [
                *(self._now.eq(self.first), self._state.eq(State.JUDGE)),
                *(self._listed.eq(0), self.misfit.eq(0)),
            ]

    def _read(self, m: Module, base: Value, length: Value | int) -> None:
        """Let the reader begin."""
        reader = self._reader
        m.d.comb += [reader.start.eq(1), reader.base.eq(base), reader.length.eq(length)]

    def _collect(self, m: Module) -> None:
        """Beats of an entry, as far as they are looked at."""
        word, bits = self._now.as_value(), self.bus.data_bits
        with m.If(self._reader.beats.valid):
            m.d.sync += self._got.eq(self._got + 1)
            for n, at in enumerate(range(0, len(word), bits)):
                with m.If(self._got == n):
                    part = word[at : at + bits]
                    m.d.sync += part.eq(self._reader.beats.payload.data)

    def _judge(self, m: Module) -> None:
        """Begin a transfer that the design can carry out."""
        now, kind = self._now, self._now.start.kind
        base = Cat(now.base.low, now.base_high.high)
        wrong = base[self.bus.address_bits :].any()
        wrong |= now.length.bytes[self.bus.address_bits :].any()
        wrong |= now.padding.bits >= self.bus.data_bits
        strange = Kind.ROWS if self.design.streamed else Kind.MATRIX
        row_wrong = now.row.row >= space_depths(self.design)[Space.MATRIX]
        each = self.bus.data_bits // WORD
        total = now.length.bytes[(self.bus.beat_bytes - 1).bit_length() :]
        worded = (now.words.count + (each - 1)) >> (each - 1).bit_length()
        row_wrong |= worded > total
        wrong |= (kind == strange) | ((kind == Kind.ROWS) & row_wrong)
        m.d.sync += [self._words_left.eq(now.words.count), self._rows_left.eq(total - worded)]
        with m.If(wrong):
            self._give_up(m, misfit=True)
        with m.Elif(kind == Kind.LIST):
            m.d.sync += [self._place.eq(base), self._state.eq(State.FETCH)]
        with m.Else():
            self._read(m, base, now.length.bytes)
            m.d.sync += [self._row.eq(now.row.row), self._state.eq(State.MOVE)]
            with m.If(kind == Kind.MATRIX):
                m.d.comb += [self._reader.once.eq(0), self.done.eq(~self.stop & ~self.start)]
                m.d.sync += self._state.eq(State.STREAM)

    def _next(self, m: Module) -> None:
        """Go on in the list, or be done."""
        with m.If(self._listed & ~self._now.start.last):
            m.d.sync += [
                self._place.eq(self._place + ENTRY_BYTES),
                self._state.eq(State.FETCH),
            ]
        with m.Elif(self._gear.level != 0):
            self._give_up(m, misfit=True)  # bits that make no group
        with m.Else():
            m.d.comb += self.done.eq(~self.stop & ~self.start)
            self._give_up(m)

    def _give_up(self, m: Module, misfit: bool = False) -> None:
        """Rest; what is on its way is dropped."""
        m.d.comb += self._reader.stop.eq(1)
        m.d.sync += self._state.eq(State.IDLE)
        if misfit:
            m.d.comb += self.failed.eq(1)
            m.d.sync += self.misfit.eq(1)
