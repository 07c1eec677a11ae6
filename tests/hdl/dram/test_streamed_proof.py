"""What holds in every cycle whatever the memory and the array do: by induction on the RTL."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.core.hierarchy import Hierarchy
from hdl.dram.beat_fifo import QUEUE
from hdl.dram.gearbox import Gearbox
from hdl.dram.reader import DramReader, ReadBus
from hdl.read_port import BOUNDARY
from sim.check.proof import ProofError, prove_by_induction, prove_up_to

INPUTS = ("start", "stop", "base", "length", "m_axi_arready", "m_axi_rvalid", "m_axi_rlast")
ONCE = "once"


def holds(m: Module, *facts: Value) -> None:
    m.d.comb += [Assert(fact) for fact in facts]


def population(bits: Value) -> Value:
    return sum((bits[i] for i in range(len(bits))), start=Value.cast(0))


class ReaderSpec(wiring.Component):
    """A reader between a memory that sends only what was accepted and a taker that may stall.

    ``owed`` counts beats of accepted bursts that have not come. The chain of bursts from the
    next beat to come, as many as are outstanding, ends at the next beat to be asked for, and
    its beats are those owed and those of the address on offer: so no burst is lost, none is
    counted twice, and a reader that is drained is owed nothing.
    """

    def __init__(self, bus: ReadBus, reader: Callable[[ReadBus], DramReader]):
        self.reader = reader(bus)
        members = {
            n: In(m.shape) for n, m in self.reader.signature.members.items() if n in (*INPUTS, ONCE)
        }
        super().__init__(members | {"take": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reader = r = self.reader
        names = [name for name in (*INPUTS, ONCE) if name in r.signature.members]
        m.d.comb += [getattr(r, name).eq(getattr(self, name)) for name in names]
        m.d.comb += r.beats.ready.eq(self.take)
        owed = Signal(12)
        accepted = r.m_axi_arvalid & r.m_axi_arready
        m.d.sync += owed.eq(owed + Mux(accepted, r.m_axi_arlen + 1, 0) - r.m_axi_rvalid)
        m.d.comb += Assume(~r.m_axi_rvalid | (owed != 0))
        on_offer = Mux(r.m_axi_arvalid, r.m_axi_arlen + 1, 0)
        self._channel(m)
        total = self._chain(m, owed + on_offer)
        self._places(m, total)
        return m

    def _channel(self, m: Module) -> None:
        """An address stays until it is accepted; no burst crosses 4 KiB."""
        r, waits = self.reader, Signal()
        now, before = Cat(r.m_axi_araddr, r.m_axi_arlen), Signal(r.bus.address_bits + 8)
        m.d.sync += [waits.eq(r.m_axi_arvalid & ~r.m_axi_arready), before.eq(now)]
        within = r.m_axi_araddr[: BOUNDARY.bit_length() - 1]
        end = within + (r.m_axi_arlen + 1) * r.bus.beat_bytes
        holds(m, ~waits | (r.m_axi_arvalid & (now == before)))
        holds(m, ~r.m_axi_arvalid | (end <= BOUNDARY))

    def _chain(self, m: Module, asked_for: Value) -> Signal:
        """Bursts between what came and what was asked for."""
        r, bus = self.reader, self.reader.bus
        image, address, left = r._image, r._arrived.address, r._arrived.left
        total = Value.cast(0)
        found, reached = Signal(12), Signal()
        for count in range(bus.outstanding + 1):
            with m.If(r._outstanding == count):
                m.d.comb += found.eq(total)
                here = (address == r._asked.address) & (left == r._asked.left)
                m.d.comb += reached.eq(here)
            within = address[: bus.burst_beats.bit_length() - 1]
            room = bus.burst_beats - within
            size, total_after = Signal(range(bus.burst_beats + 1)), Signal(12)
            m.d.comb += [size.eq(Mux(left < room, left, room)), total_after.eq(total + size)]
            next_address, next_left = Signal.like(image.first), Signal.like(image.beats)
            wraps = left == size
            m.d.comb += [
                next_address.eq(Mux(wraps, image.first, address + size)),
                next_left.eq(Mux(wraps, image.beats, left - size)),
            ]
            address, left, total = next_address, next_left, total_after
        active = r.running | (r._outstanding != 0)
        holds(m, ~active | reached, found == asked_for, r._outstanding <= bus.outstanding)
        for some, owner in ((image, active), (r._coming, r._wanted)):
            fits = some.first + some.beats <= 1 << len(image.first)
            holds(m, ~owner | (some.beats.any() & fits))
        for walk in (r._asked, r._arrived):
            inside = (walk.left != 0) & (walk.left <= image.beats)
            end = walk.address + walk.left == image.first + image.beats
            holds(m, ~active | (inside & end))
        return found

    def _places(self, m: Module, flying: Value) -> None:
        """Every place of the buffer is free, promised to a beat that flies, or holds one."""
        r, fifo, depth = self.reader, self.reader._fifo, self.reader.bus.fifo_beats
        held = fifo._stored + fifo._promised
        holds(m, ~r.running | (r._free + flying + held == depth))
        holds(m, held <= depth)
        holds(m, fifo._promised == fifo._filled + population(fifo._coming))
        holds(m, fifo._promised <= QUEUE)


class LeakyReader(DramReader):
    """A mutant: it believes that a place is free when its beat arrives."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.sync += self._free.eq(self._free + self.m_axi_rvalid)
        return m


BUSES = [ReadBus(64, 14, 4, 2, 8), ReadBus(64, 13, 1, 3, 2), ReadBus(512, 14, 8, 1, 16)]


def honest(bus: ReadBus) -> DramReader:
    return DramReader(bus, Hierarchy())


@pytest.mark.parametrize("bus", BUSES, ids=lambda b: f"{b.burst_beats}x{b.outstanding}")
def test_the_reader_never_loses_or_overruns(bus: ReadBus) -> None:
    prove_by_induction(ReaderSpec(bus, honest))


def test_one_that_may_read_once_neither() -> None:
    prove_by_induction(ReaderSpec(BUSES[0], lambda bus: DramReader(bus, Hierarchy(), stops=True)))


class HastyReader(DramReader):
    """A mutant: bursts of the old image are counted by the borders of the one that waits."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self._wanted):
            self._image.become(m, self._coming)
        return m


@pytest.mark.parametrize("mutant", [LeakyReader, HastyReader])
def test_the_proof_finds_mutants(mutant: type[DramReader]) -> None:
    spec = ReaderSpec(BUSES[0], lambda bus: mutant(bus, Hierarchy()))
    with pytest.raises(ProofError, match="not proved"):
        prove_up_to(spec, 14)


class GearboxSpec(wiring.Component):
    """Any one piece of the stream comes out where it went in, as it was."""

    def __init__(self, gearbox: Gearbox):
        self.gearbox = gearbox
        ports = {"valid": 1, "data": len(gearbox.beats.payload.data), "last": 1, "take": 1}
        ports |= {"padding": len(gearbox.padding), "clear": 1, "pick": 4}
        super().__init__({name: In(bits) for name, bits in ports.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.gearbox = g = self.gearbox
        ratio = g.ratio
        m.d.comb += [
            g.beats.valid.eq(self.valid),
            g.beats.payload.data.eq(self.data),
            g.beats.payload.last.eq(self.last),
            g.padding.eq(self.padding),
            g.groups.ready.eq(self.take),
            g.clear.eq(self.clear),
        ]
        padded = self.padding[ratio.piece.bit_length() - 1 :]
        kept = ratio.word - Mux(self.last, padded, 0)
        m.d.comb += Assume(padded < ratio.word)
        pick, first = Signal(4), Signal(init=1)
        m.d.comb += Assume(~(first & self.valid))
        m.d.sync += [first.eq(0), pick.eq(Mux(first, self.pick, pick))]
        came, went = Signal(6), Signal(6)  # pieces that went in and out since the clear
        piece, known = Signal(ratio.piece), Signal()
        begins, mark = (
            Signal(init=1),
            Signal(),
        )  # the next word is an image's first; as was the piece
        at, place = pick - came, pick - went
        with m.If(g.beats.valid & g.beats.ready):
            m.d.sync += [came.eq(came + kept), begins.eq(self.last)]
            with m.If((came <= pick) & (at < kept)):
                m.d.sync += [piece.eq(self.data.word_select(at[:4], ratio.piece)), known.eq(1)]
                m.d.sync += mark.eq(begins & (at == 0))
        with m.If(g.groups.valid & g.groups.ready):
            m.d.sync += went.eq(went + ratio.group)
        with m.If(g.groups.valid & (went <= pick) & (place < ratio.group)):
            seen = g.groups.payload.words.word_select(place[:4], ratio.piece)
            m.d.comb += [Assert(known), Assert(seen == piece)]
            with m.If(place == 0):
                m.d.comb += Assert(g.groups.payload.first == mark)
        with m.If(self.clear):
            m.d.sync += [came.eq(0), went.eq(0), known.eq(0), begins.eq(1)]
        return m


class GreedyGearbox(Gearbox):
    """A mutant: it takes a word when there is room for one piece less."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        full = Signal()
        m.d.comb += full.eq(self._level > self.pieces - self.ratio.word + 1)
        m.d.comb += self.beats.ready.eq(~full & ~self.clear)
        return m


# pieces of a group and of a word: 3 and 2, 1 and 1, 3 and 4 (two groups a row), 3 and 1;
# cycles: until the ring has been written all around
@pytest.mark.quick(3)
@pytest.mark.parametrize(
    ("group", "word", "cycles"), [(6, 4, 9), (4, 4, 9), (6, 8, 8), (12, 4, 15)]
)
def test_the_gearbox_keeps_every_piece(group: int, word: int, cycles: int) -> None:
    prove_up_to(GearboxSpec(Gearbox(group, word, 4)), cycles)


def test_the_proof_finds_an_overwritten_piece() -> None:
    with pytest.raises(ProofError, match="not proved"):
        prove_up_to(GearboxSpec(GreedyGearbox(6, 4, 4)), 9)
