"""Asks for rows of planes over AXI4, in the order of the queues, and hands out their beats."""

from __future__ import annotations

import enum

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import bits_for
from compiler.array.screen.bus import PlaneLayout
from csb_format.screening.bounds import BLOCK

from ....read_port import (
    DECERR,
    EXOKAY,
    INCREMENTING,
    NORMAL_BUFFERABLE,
    SLVERR,
    ReadPort,
    bus_members,
    read_errors_layout,
)

__all__ = ["Fetcher", "RowKind", "beat_layout"]


class RowKind(enum.IntEnum):
    """What of a row is asked for, as ``PlaneLayout.beats`` counts them."""

    FIRST = 0
    SECOND = 1
    WHOLE = 2


def beat_layout(layout: PlaneLayout) -> data.StructLayout:
    """A beat of a row: what of it, its number, which beat, the last."""
    return data.StructLayout(
        {
            "kind": 2,
            "row": layout.design.row_bits,
            "beat": range(max(2, *layout.beats)),
            "last": 1,
            "data": layout.bits,
        }
    )


class Fetcher(wiring.Component):
    """An AXI4 read master for rows: whole ones first, then second planes, then first planes.

    A row is a burst. It is asked for when the bus has had time for the one before, at most
    ``outstanding`` are under way, the queue behind it has room, and the lanes that take it will
    have done with the row before when it comes (``PlaneLayout.spacings``). What a queue offers
    and has been beaten meanwhile leaves in any cycle and is not asked for. Latency: an address
    stands on the bus a cycle after its row was taken from the queue. Answers must come in order;
    ``rready`` is low while the buffer of a row cannot take its beat, which a memory of constant
    latency never meets.

    Parameters
    ----------
    layout : PlaneLayout
    address_bits : int
        Of a byte address.
    outstanding : int
        Most bursts under way.

    Members
    -------
    m_axi_* : AXI4 read channels, see :class:`~hdl.dram.reader.DramReader`
    base : In
        Address of the first table, a multiple of 4,096. It changes only between states.
    block, block_valid, block_beaten, block_pop : In, In, In, Out
        The oldest block that is left.
    first_room, first_claim : In, Out
        Of the queue behind first planes; a row of the block is asked for.
    survivor, survivor_valid, survivor_beaten, survivor_pop : In, In, In, Out
    second_room, second_claim : In, Out
        The same for second planes.
    final, final_valid, final_beaten, final_pop : In, In, In, Out
    begins : Out
        A whole row is asked for.
    valid, beat, first_ready, refine_ready : Out, Out, In, In
        Beats of rows in the order in which these were asked for, :func:`beat_layout`; whether the
        buffer of first planes, of the others takes it.
    errors : Out
        :func:`~hdl.read_port.read_errors_layout` without ``setup``; sticky until ``clear``.
    clear : In
    """

    def __init__(self, layout: PlaneLayout, address_bits: int, outstanding: int):
        self.layout, self._outstanding = layout, outstanding
        design = layout.design
        rows = design.row_bits
        self._bus = ReadPort(layout.bits, address_bits)
        self._flying = Signal(range(outstanding + 1))
        # cycles until the bus, and either lanes, take a request
        most = max(*layout.beats, *layout.spacings)
        names = ("bus_wait", "first_wait", "refine_wait")
        self._counts = [Signal(range(most + 1), name=name) for name in names]
        queue = {"": rows, "_valid": 1, "_beaten": 1}
        numbers = {"block": bits_for(design.blocks), "survivor": rows, "final": rows}
        members: dict[str, wiring.Member] = {}
        for name, bits in numbers.items():
            members |= {name + part: In(bits if not part else 1) for part in queue}
            members[f"{name}_pop"] = Out(1)
        super().__init__(
            bus_members(self._bus)
            | members
            | {
                "base": In(address_bits),
                "first_room": In(1),
                "first_claim": Out(1),
                "second_room": In(1),
                "second_claim": Out(1),
                "begins": Out(1),
                "valid": Out(1),
                "beat": Out(beat_layout(layout)),
                "first_ready": In(1),
                "refine_ready": In(1),
                "errors": Out(read_errors_layout()),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """What is asked for, the rows under way in a FIFO, and their beats."""
        m = Module()
        # one more than can be under way: all may lie before the output register
        m.submodules.tags = tags = fifo.SyncFIFOBuffered(
            width=2 + self.layout.design.row_bits, depth=self._outstanding + 1
        )
        asks, kind, row = self._choose(m)
        self._ask(m, asks, kind, row)
        m.d.comb += [tags.w_data.eq(Cat(kind, row)), tags.w_en.eq(asks)]
        ended = self._receive(m, tags)
        m.d.sync += self._flying.eq(self._flying + asks - ended)
        return m

    def _choose(self, m: Module) -> tuple[Value, Value, Value]:
        """Whether a row is asked for in this cycle, what of it, and which."""
        free, first_free, refine_free = (count == 0 for count in self._counts)
        may, goes = Signal(), Signal(len(RowKind))
        first, second, whole = (goes[kind] for kind in RowKind)
        most = self._flying == self._outstanding
        m.d.comb += [
            may.eq(free & ~most & (~self.m_axi_arvalid | self.m_axi_arready)),
            whole.eq(may & refine_free & self.final_valid & ~self.final_beaten),
            second.eq(
                may & refine_free & ~self.final_valid & self.second_room
                & self.survivor_valid & ~self.survivor_beaten
            ),
            first.eq(
                may & first_free & ~second & ~whole & self.first_room
                & self.block_valid & ~self.block_beaten
            ),
        ]  # fmt: skip
        self._wait(m, goes)
        self._tell(m, first, second, whole)
        row = Mux(whole, self.final, Mux(second, self.survivor, self._row(m, first)))
        return goes.any(), Cat(second, whole), row  # a RowKind

    def _tell(self, m: Module, first: Value, second: Value, whole: Value) -> None:
        """To the queues: what leaves, and which places are claimed."""
        m.d.comb += [
            self.final_pop.eq(self.final_valid & (self.final_beaten | whole)),
            self.survivor_pop.eq(self.survivor_valid & (self.survivor_beaten | second)),
            self.begins.eq(whole),
            self.second_claim.eq(second),
            self.first_claim.eq(first),
        ]

    def _row(self, m: Module, asked: Value) -> Value:
        """The next row of the oldest block, which leaves with its last row or beaten."""
        place = Signal(range(BLOCK))
        row = (self.block << (BLOCK - 1).bit_length()) | place
        ends = (place == BLOCK - 1) | (row == self.layout.design.rows - 1)
        m.d.comb += self.block_pop.eq(self.block_valid & (self.block_beaten | (asked & ends)))
        with m.If(self.block_pop):
            m.d.sync += place.eq(0)
        with m.Elif(asked):
            m.d.sync += place.eq(place + 1)
        return row

    def _wait(self, m: Module, goes: Value) -> None:
        """Load the counts of cycles with every request."""
        bus, first, refine = self._counts
        beats, spacings = self.layout.beats, self.layout.spacings
        for count in self._counts:
            with m.If(count != 0):
                m.d.sync += count.eq(count - 1)
        for kind, lanes in zip(RowKind, (first, refine, refine), strict=True):
            with m.If(goes[kind]):
                m.d.sync += [bus.eq(beats[kind] - 1), lanes.eq(spacings[kind] - 1)]

    def _ask(self, m: Module, asks: Value, kind: Value, row: Value) -> None:
        """The address channel."""
        layout = self.layout
        first, refined = ((stride - 1).bit_length() for stride in layout.strides)
        place = Mux(kind == RowKind.FIRST, row << first, (row << refined) + layout.offset)
        lengths = Array(beats - 1 for beats in layout.beats)
        m.d.comb += [
            self.m_axi_arsize.eq((layout.beat_bytes - 1).bit_length()),
            self.m_axi_arburst.eq(INCREMENTING),
            self.m_axi_arcache.eq(NORMAL_BUFFERABLE),
        ]
        m.d.sync += self.m_axi_arvalid.eq(asks | (self.m_axi_arvalid & ~self.m_axi_arready))
        with m.If(asks):
            m.d.sync += [
                self.m_axi_araddr.eq(self.base + place),
                self.m_axi_arlen.eq(lengths[kind]),
            ]

    def _receive(self, m: Module, tags: fifo.SyncFIFOBuffered) -> Signal:
        """The data channel; high with every burst's last beat."""
        beat, count, ended, taken = self.beat, Signal.like(self.beat.beat), Signal(), Signal()
        last = Array(beats - 1 for beats in self.layout.beats)
        ready = Mux(beat.kind == RowKind.FIRST, self.first_ready, self.refine_ready)
        unasked = self._flying == 0
        m.d.comb += [
            Cat(beat.kind, beat.row).eq(tags.r_data),
            beat.beat.eq(count),
            beat.last.eq(count == last[beat.kind]),
            beat.data.eq(self.m_axi_rdata),
            self.m_axi_rready.eq((tags.r_rdy & ready) | unasked),
            taken.eq(self.m_axi_rvalid & tags.r_rdy & ready),
            self.valid.eq(taken),
            ended.eq(taken & beat.last),
            tags.r_en.eq(ended),
        ]
        with m.If(taken):
            m.d.sync += count.eq(Mux(beat.last, 0, count + 1))
        self._note_errors(m, taken, unasked)
        return ended

    def _note_errors(self, m: Module, taken: Value, unasked: Value) -> None:
        response, errors = self.m_axi_rresp, self.errors
        strange = (self.m_axi_rlast != self.beat.last) | (response == EXOKAY)
        strange |= self.m_axi_rid != self.m_axi_arid
        with m.If(self.clear):
            m.d.sync += errors.eq(0)
        with m.If(taken):
            m.d.sync += [
                errors.slave.eq(errors.slave | (response == SLVERR)),
                errors.decode.eq(errors.decode | (response == DECERR)),
                errors.protocol.eq(errors.protocol | strange),
            ]
        with m.Elif(self.m_axi_rvalid & unasked):
            m.d.sync += errors.protocol.eq(1)
