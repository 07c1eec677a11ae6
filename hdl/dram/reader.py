"""Reads a memory image over AXI4, from its first byte to its last, again and again."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from csb_format.scales import DesignError

from ..core.hierarchy import Hierarchy
from ..read_port import (
    BOUNDARY,
    DECERR,
    EXOKAY,
    INCREMENTING,
    NORMAL_BUFFERABLE,
    SLVERR,
    ReadPort,
    bus_members,
    read_errors_layout,
)
from .beat_fifo import BeatFifo

__all__ = ["DramReader", "ReadBus"]


@dataclass(frozen=True)
class ReadBus(ReadPort):
    """An AXI4 read port, how far it reads ahead, and how long a latency that hides.

    Parameters
    ----------
    data_bits : int
        Width of a beat: 64, 128, 256 or 512.
    address_bits : int
        Width of a byte address, 13..64.
    burst_beats : int
        Most beats of a burst, a power of two up to 256 and 4096 bytes.
    outstanding : int
        Most bursts asked for and not yet complete, 1..256.
    fifo_beats : int
        Beats that may be asked for and not yet taken, a power of two of at least
        ``burst_beats``: the prefetch.

    Raises
    ------
    DesignError
        If one of these does not hold; the message names the value.
    """

    burst_beats: int = 64
    outstanding: int = 8
    fifo_beats: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        most = min(256, BOUNDARY // self.beat_bytes)
        beats, fifo = self.burst_beats, self.fifo_beats
        _check(
            _is_power(beats) and beats <= most,
            "burst_beats",
            beats,
            f"a power of two of at most {most} at {self.data_bits} bits",
        )
        _check(
            _is_power(fifo) and fifo >= max(2, beats),
            "fifo_beats",
            fifo,
            f"a power of two of at least max(2, burst_beats) = {max(2, beats)}",
        )
        _check(1 <= self.outstanding <= 256, "outstanding", self.outstanding, "1 to 256")

    @property
    def covered_latency(self) -> int:
        """Longest memory latency that costs no beat, in cycles; below 0: not even none.

        Latency: cycles from the accepted address to the first beat of its burst. It holds for
        bursts of full length; the beats behind the end of an image ask for a little more,
        which :mod:`sim.dram.stream_cycles` counts.
        """
        by_places = self.fifo_beats - self.burst_beats - DramReader.loop
        by_bursts = (self.outstanding - 1) * self.burst_beats - 1
        return min(by_places, by_bursts)


def _is_power(number: int) -> bool:
    return number >= 1 and number & (number - 1) == 0


def _check(holds: bool, name: str, value: int, need: str) -> None:
    if not holds:
        raise DesignError(f"{name} = {value}: must be {need}")


class DramReader(wiring.Component):
    """An AXI4 read master for one image that is read cyclically, or once.

    Bursts are cut at multiples of ``burst_beats`` and at the end of the image, so none
    crosses 4 KiB. A burst is asked for only when the buffer has places for all of its beats;
    so ``rready`` is always high and the memory is never made to wait.

    Parameters
    ----------
    bus : ReadBus
    hierarchy : Hierarchy
    stops : bool
        Whether there is ``once``.

    Members
    -------
    m_axi_* : AXI4 read address and read data channels
    start : In
        A pulse: give up what is under way, then read the image from its start.
    stop : In
        A pulse: give up what is under way. Addresses offered stay until they are accepted,
        beats on their way are taken and dropped. ``start`` wins over ``stop``.
    base, length : In
        First byte and bytes of the image, multiples of the bus width; looked at while
        ``start`` is high.
    once : In
        Looked at with them: read the image once. It stays ``running`` until ``stop``.
    running : Out
        Reading ahead, from two cycles after ``start`` or when the old bursts have drained.
    busy : Out
        Running, or not yet drained.
    errors : Out
        ``read_errors_layout``; ``start`` clears them.
    beats : Out, stream
        ``data`` and ``last`` (the image's last beat). Falls silent when not ``running``.
    """

    # cycles of a place in the buffer that are neither a burst nor the memory's latency:
    # taken, freed, asked again and through the buffer
    loop = 1 + BeatFifo.latency

    def __init__(self, bus: ReadBus, hierarchy: Hierarchy, *, stops: bool = False):
        self.bus, self._stops = bus, stops
        self._low = bus.beat_bytes.bit_length() - 1
        self._fifo = BeatFifo(bus.data_bits, bus.fifo_beats, hierarchy)
        # bursts of the old image end where that one does, also while a new one waits for them
        self._image, self._coming = _Image(bus, "image"), _Image(bus, "coming")
        self._wanted = Signal()
        self._asked, self._arrived = _Walk(bus, "asked"), _Walk(bus, "arrived")
        self._free = Signal(range(bus.fifo_beats + 1))  # places not promised to a beat
        self._outstanding = Signal(range(bus.outstanding + 1))
        super().__init__(
            bus_members(bus)
            | {
                "start": In(1),
                "stop": In(1),
                "base": In(bus.address_bits),
                "length": In(bus.address_bits),
                "running": Out(1),
                "busy": Out(1),
                "errors": Out(read_errors_layout()),
                "beats": Out(stream.Signature(BeatFifo.layout(bus.data_bits))),
            }
            | ({"once": In(1)} if stops else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Places and bursts are counted at the address, beats at the data channel."""
        m = Module()
        m.submodules.fifo = fifo = self._fifo
        load = self._control(m)
        asked = self._ask(m, load)
        ended = self._receive(m, load)
        m.d.sync += self._outstanding.eq(self._outstanding + asked - ended)
        m.d.comb += [
            self.beats.payload.eq(fifo.beats.payload),
            self.beats.valid.eq(fifo.beats.valid & self.running),
            fifo.beats.ready.eq(self.beats.ready & self.running),
            fifo.clear.eq(~self.running),
            self.m_axi_arsize.eq(self._low),
            self.m_axi_arburst.eq(INCREMENTING),
            self.m_axi_arcache.eq(NORMAL_BUFFERABLE),
            self.m_axi_rready.eq(1),
        ]
        return m

    def _control(self, m: Module) -> Signal:
        """Start and stop; a pulse with which reading begins."""
        wanted, load = self._wanted, Signal()
        m.d.comb += [
            load.eq(wanted & ~self.running & (self._outstanding == 0)),
            self.busy.eq(wanted | self.running | (self._outstanding != 0)),
        ]
        with m.If(load):
            m.d.sync += [self.running.eq(1), wanted.eq(0)]
            self._image.become(m, self._coming)
        with m.If(self.start | self.stop):
            m.d.sync += [self.running.eq(0), wanted.eq(0)]
        with m.If(self.start):
            wrong = self._is_wrong()
            m.d.sync += [
                wanted.eq(~wrong),
                self.errors.eq(0),
                self.errors.setup.eq(wrong),
                self._coming.first.eq(self.base[self._low :]),
                self._coming.beats.eq(self.length[self._low :]),
            ]
        return load

    def _is_wrong(self) -> Value:
        """Whether no image can lie at ``base`` and ``length``."""
        low = self.base[: self._low] | self.length[: self._low]
        beyond = (self.base + self.length) > (1 << self.bus.address_bits)
        return low.any() | (self.length == 0) | beyond

    def _ask(self, m: Module, load: Value) -> Signal:
        """The address channel; high with every burst asked for."""
        bus, walk, asked = self.bus, self._asked, Signal()
        count = Signal(range(bus.burst_beats + 1))
        may = (
            self.running
            & (~self.m_axi_arvalid | self.m_axi_arready)
            & (self._free >= bus.burst_beats)
            & (self._outstanding < bus.outstanding)
        )
        if self._stops:
            may &= ~self._all_asked(m, load, asked & (walk.left == count))
        m.d.comb += [count.eq(walk.to_cut), asked.eq(may)]
        with m.If(asked):
            m.d.sync += [
                self.m_axi_araddr.eq(walk.address << self._low),
                self.m_axi_arlen.eq(count - 1),
            ]
            walk.go(m, count, self._image)
        m.d.sync += self.m_axi_arvalid.eq(asked | (self.m_axi_arvalid & ~self.m_axi_arready))
        taken = self.beats.valid & self.beats.ready
        m.d.sync += self._free.eq(self._free + taken - Mux(asked, count, 0))
        with m.If(load):
            walk.begin(m, self._coming)
            m.d.sync += self._free.eq(bus.fifo_beats)
        return asked

    def _all_asked(self, m: Module, load: Value, last: Value) -> Signal:
        """Whether all of an image that is read once was asked for."""
        once, done = Signal(), Signal()
        with m.If(self.start):
            m.d.sync += once.eq(self.once)
        with m.If(last & once):
            m.d.sync += done.eq(1)
        with m.If(load):
            m.d.sync += done.eq(0)
        return done

    def _receive(self, m: Module, load: Value) -> Signal:
        """The data channel; high with every burst's last beat."""
        walk, fifo = self._arrived, self._fifo
        beat, last, ended = Signal(), Signal(), Signal()
        m.d.comb += [
            beat.eq(self.m_axi_rvalid & (self._outstanding != 0)),
            last.eq(walk.to_cut == 1),
            ended.eq(beat & last),
            fifo.write_en.eq(beat & self.running),
            fifo.write_data.data.eq(self.m_axi_rdata),
            fifo.write_data.last.eq(walk.left == 1),
        ]
        with m.If(beat):
            walk.go(m, 1, self._image)
        with m.If(load):
            walk.begin(m, self._coming)
        # what an earlier image still had on its way is no fault of this one
        judged = self.running | (self._outstanding == 0)
        with m.If(self.m_axi_rvalid & judged & ~self.start):
            self._note_errors(m, last)
        return ended

    def _note_errors(self, m: Module, last: Value) -> None:
        response = self.m_axi_rresp
        strange = (self._outstanding == 0) | (self.m_axi_rlast != last)
        strange |= (response == EXOKAY) | (self.m_axi_rid != self.m_axi_arid)
        with m.If(response == SLVERR):
            m.d.sync += self.errors.slave.eq(1)
        with m.If(response == DECERR):
            m.d.sync += self.errors.decode.eq(1)
        with m.If(strange):
            m.d.sync += self.errors.protocol.eq(1)


class _Image:
    """First beat of an image and its beats."""

    def __init__(self, bus: ReadBus, name: str):
        bits = bus.address_bits - (bus.beat_bytes.bit_length() - 1)
        self.first = Signal(bits, name=f"{name}_first")
        self.beats = Signal(bits, name=f"{name}_beats")

    def become(self, m: Module, other: "_Image") -> None:
        """Be another image from the next cycle on."""
        m.d.sync += [self.first.eq(other.first), self.beats.eq(other.beats)]


class _Walk:
    """A place in an image: a beat's address, and the beats from there to the image's end."""

    def __init__(self, bus: ReadBus, name: str):
        bits = bus.address_bits - (bus.beat_bytes.bit_length() - 1)
        self._burst = bus.burst_beats
        self.address = Signal(bits, name=f"{name}_address")
        self.left = Signal(bits, name=f"{name}_left")

    @property
    def to_cut(self) -> Value:
        """Beats from here to the end of the burst that this beat belongs to."""
        within = self.address[: self._burst.bit_length() - 1]
        room = self._burst - within
        return Mux(self.left < room, self.left, room)

    def begin(self, m: Module, image: _Image) -> None:
        """Go to the image's start."""
        m.d.sync += [self.address.eq(image.first), self.left.eq(image.beats)]

    def go(self, m: Module, count: Value | int, image: _Image) -> None:
        """Go ``count`` beats on, from the image's end to its start."""
        with m.If(self.left == count):
            self.begin(m, image)
        with m.Else():
            m.d.sync += [self.address.eq(self.address + count), self.left.eq(self.left - count)]
