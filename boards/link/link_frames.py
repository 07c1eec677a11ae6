"""Frames of the link in hardware: bytes of the serial line to requests, replies to bytes."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc import Processor, catalog
from amaranth.lib.wiring import In, Out

from compiler.array.design import bits_for
from hdl.core.hierarchy import Hierarchy, Ram

from .protocol import ESCAPE, ESCAPED, FLAG, HEADER, MAX_WORDS, NAK

__all__ = ["FrameReceiver", "FrameSender", "reply_layout", "request_layout"]

WORD = 32
ADDRESS = bits_for(MAX_WORDS)
COUNT = bits_for(MAX_WORDS + 1)


def request_layout() -> data.StructLayout:
    """Bytes of a request before its words, the first lowest."""
    return data.StructLayout({"sequence": 8, "command": 8, "count": 16, "argument": 16})


def reply_layout() -> data.StructLayout:
    """Bytes of a reply before its words, the first lowest."""
    return data.StructLayout({"sequence": 8, "command": 8, "code": 8, "flags": 8, "count": 16})


def _crc() -> Processor:
    return catalog.CRC16_IBM_SDLC(data_width=8).create()


class FrameReceiver(wiring.Component):
    """Finds frames in the bytes of the line and keeps one.

    Parameters
    ----------
    hierarchy : Hierarchy

    Members
    -------
    valid, data, bad : In
        A byte, and after ``valid`` for at least four cycles; ``bad``: it was no byte.
    ready : Out
        A good frame is kept; bytes are thrown away until it is released.
    release : In
    request : Out
        Its header.
    words : Out
        Its words.
    address : In
    word : Out
        The word addressed two cycles before.
    damaged : Out
        Something that was no frame ended (a pulse).
    """

    valid: Signal
    data: Signal
    bad: Signal
    ready: Signal
    release: Signal
    request: data.View
    words: Signal
    address: Signal
    word: Signal
    damaged: Signal

    def __init__(self, hierarchy: Hierarchy):
        self._hierarchy = hierarchy
        super().__init__(
            {
                "valid": In(1),
                "data": In(8),
                "bad": In(1),
                "ready": Out(1),
                "release": In(1),
                "request": Out(request_layout()),
                "words": Out(COUNT),
                "address": In(ADDRESS),
                "word": Out(WORD),
                "damaged": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Escapes, check sequence, header register and word memory."""
        m = Module()
        m.submodules.crc = crc = _crc()
        m.submodules.ram = ram = Ram(WORD, MAX_WORDS, hierarchy=self._hierarchy)
        whole = HEADER + 2 + 4 * MAX_WORDS
        self._header = Signal(8 * HEADER)
        length, escaped, poisoned = Signal(range(whole + 4)), Signal(), Signal()
        hunting = Signal(init=1)  # for a flag, after bytes that were not listened to
        byte, taken, forget = Signal(8), Signal(), Signal()
        valid, at_flag, escape, good, full = (Signal() for _ in range(5))
        whole_words = ~poisoned & ~escaped & (length[:2] == 0) & (length >= HEADER + 2)
        # a byte stays for many cycles: what it is, and what came before it, is looked at first
        m.d.sync += [
            valid.eq(self.valid),
            at_flag.eq(self.valid & ~self.bad & (self.data == FLAG)),
            escape.eq(self.data == ESCAPE),
            full.eq(length == whole),
            good.eq(whole_words & crc.match_detected),
        ]
        m.d.comb += [
            byte.eq(Mux(escaped, self.data ^ ESCAPED, self.data)),
            crc.data.eq(byte),
            crc.valid.eq(taken),
            crc.start.eq(forget),
            self.request.eq(self._header),
            self.word.eq(ram.read_data),
            ram.read_addr.eq(self.address),
            self.words.eq((length - (HEADER + 2))[2:]),
            forget.eq(self.release | (at_flag & ~self.ready & ~good)),
        ]
        m.d.sync += self.damaged.eq(0)
        with m.If(valid & (self.ready | hunting)):
            m.d.sync += hunting.eq(~at_flag)
        with m.Elif(valid):
            with m.If(self.bad):
                m.d.sync += poisoned.eq(1)
            with m.Elif(at_flag):
                m.d.sync += [
                    self.ready.eq(good),
                    self.damaged.eq(forget & (poisoned | escaped | length.any())),
                ]
            with m.Elif(full):
                m.d.sync += poisoned.eq(1)
            with m.Elif(escape):
                m.d.sync += escaped.eq(1)
            with m.Else():
                m.d.comb += taken.eq(1)
                m.d.sync += [length.eq(length + 1), escaped.eq(0)]
                self._keep(m, ram, byte, length)
        with m.If(forget):
            m.d.sync += [length.eq(0), escaped.eq(0), poisoned.eq(0), self.ready.eq(0)]
            m.d.sync += good.eq(0)
        return m

    def _keep(self, m: Module, ram: Ram, byte: Signal, length: Signal) -> None:
        """A byte of the header, or of a word; the header's length is no multiple of 4."""
        header, word = self._header, Signal(WORD - 8)
        with m.If(length < HEADER):
            m.d.sync += header.eq(Cat(header[8:], byte))
        m.d.sync += word.eq(Cat(word[8:], byte))
        m.d.comb += [
            ram.write_en.eq((length >= HEADER) & (length[:2] == (HEADER + 3) % 4)),
            ram.write_addr.eq((length - HEADER)[2:]),
            ram.write_data.eq(Cat(word, byte)),
        ]


class FrameSender(wiring.Component):
    """Sends a reply, or a NAK, and keeps the reply to send it again.

    Parameters
    ----------
    hierarchy : Hierarchy

    Members
    -------
    write_en, address, word : In
        A word of the reply.
    reply : In
        Its header; constant while it may be sent.
    words : In
        Words that it carries.
    nak : In
        With ``start``: send a NAK with this code instead; 0 sends the reply.
    start : In
        While not ``busy``.
    busy : Out
    bytes : Out, stream
    """

    write_en: Signal
    address: Signal
    word: Signal
    reply: data.View
    words: Signal
    nak: Signal
    start: Signal
    busy: Signal
    bytes: stream.Interface

    def __init__(self, hierarchy: Hierarchy):
        self._hierarchy = hierarchy
        super().__init__(
            {
                "write_en": In(1),
                "address": In(ADDRESS),
                "word": In(WORD),
                "reply": In(reply_layout()),
                "words": In(COUNT),
                "nak": In(8),
                "start": In(1),
                "busy": Out(1),
                "bytes": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Flag, header, words, check sequence, flag; a byte that needs it takes two turns."""
        m = Module()
        m.submodules.crc = self._crc = crc = _crc()
        m.submodules.ram = ram = Ram(WORD, MAX_WORDS, hierarchy=self._hierarchy)
        shifted, left = Signal(8 * HEADER), Signal(range(HEADER))
        place = Signal(COUNT)
        m.d.comb += [
            ram.write_en.eq(self.write_en),
            ram.write_addr.eq(self.address),
            ram.write_data.eq(self.word),
            ram.read_addr.eq(place),
        ]
        self._escaped, self._done = Signal(), Signal()
        self._gone, self._special, self._next = Signal(), Signal(), Signal(8)
        self._offering = Signal()
        words = Signal(COUNT)
        self._offer(m)
        with m.FSM() as fsm:
            with m.State("rest"), m.If(self.start):
                m.d.sync += [
                    shifted.eq(self._header()),
                    words.eq(Mux(self.nak.any(), 0, self.words)),
                    left.eq(HEADER - 1),
                    place.eq(0),
                ]
                m.d.comb += crc.start.eq(1)
                m.next = "open"
            with m.State("open"):
                m.d.comb += [self._offering.eq(1), self._next.eq(FLAG)]
                with m.If(self._gone):
                    m.next = "body"
            with m.State("body"):
                self._escape(m, shifted[:8])
                m.d.comb += [crc.data.eq(shifted), crc.valid.eq(self._done)]
                with m.If(self._done):
                    m.d.sync += [shifted.eq(shifted >> 8), left.eq(left - 1)]
                    with m.If(left == 0):
                        m.next = "more"
            with m.State("more"):  # the memory has had many cycles for the next word
                m.d.sync += [shifted.eq(ram.read_data), left.eq(3), place.eq(place + 1)]
                m.next = "body"
                with m.If(place == words):
                    m.d.sync += [shifted.eq(crc.crc), left.eq(1)]
                    m.next = "check"
            with m.State("check"):
                self._escape(m, shifted[:8])
                with m.If(self._done):
                    m.d.sync += [shifted.eq(shifted >> 8), left.eq(left - 1)]
                    with m.If(left == 0):
                        m.next = "close"
            with m.State("close"):
                m.d.comb += [self._offering.eq(1), self._next.eq(FLAG)]
                with m.If(self._gone):
                    m.next = "rest"
        m.d.comb += self.busy.eq(~fsm.ongoing("rest"))
        return m

    def _header(self) -> Value:
        """Of the reply, or of a NAK, which has the reply's sequence number."""
        nak = Cat(self.reply.sequence, Const(NAK, 8), self.nak)
        return Mux(self.nak.any(), nak, self.reply.as_value())

    def _offer(self, m: Module) -> None:
        """A register for the byte on offer: the line takes one in hundreds of cycles."""
        valid, taken = self.bytes.valid, self.bytes.valid & self.bytes.ready
        m.d.sync += self._gone.eq(taken)
        with m.If(self._offering & ~valid & ~self._gone):
            m.d.sync += [valid.eq(1), self.bytes.payload.eq(self._next)]
        with m.If(taken):
            m.d.sync += valid.eq(0)

    def _escape(self, m: Module, byte: Value) -> None:
        """Offer a byte; ``done`` when all of it was taken."""
        special = ((byte == FLAG) | (byte == ESCAPE)) & ~self._escaped
        plain = Mux(self._escaped, byte ^ ESCAPED, byte)
        m.d.comb += [
            self._offering.eq(1),
            self._next.eq(Mux(special, ESCAPE, plain)),
            self._done.eq(self._gone & ~self._special),
        ]
        with m.If(~self.bytes.valid & ~self._gone):
            m.d.sync += self._special.eq(special)
        with m.If(self._gone):
            m.d.sync += self._escaped.eq(self._special)
