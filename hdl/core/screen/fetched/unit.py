"""The screen unit with its planes in a memory outside."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import bits_for
from compiler.array.screen.bus import ScreenBus
from compiler.array.screen.design import PLANES_PORTS, ScreenDesign
from compiler.lower.screen import ScreenImage

from ....read_port import ReadPort, bus_members, forward_bus, read_errors_layout
from ...hierarchy import Hierarchy, Ram
from ..blocks import BlockStage
from ..query import QueryUnit
from ..refine import RefineStage
from ..unit import ScreenUnit, Sink
from .buffer import RowBuffer
from .fetcher import Fetcher, RowKind
from .stages import FetchedDigits, feed_digits, feed_refined

__all__ = ["FetchedScreen", "forward_planes", "plane_members", "plane_port"]


def plane_port(design: ScreenDesign) -> ReadPort:
    """The port over which the planes of a unit come that has them outside."""
    return ReadPort(design.bus_bits)


def plane_members(design: ScreenDesign) -> dict[str, wiring.Member]:
    """What a block has that such a unit lies in; none where it has its planes on the chip."""
    if not design.bus_bits:
        return {}
    port = plane_port(design)
    return bus_members(port, PLANES_PORTS) | {
        "planes_base": In(port.address_bits),
        "planes_errors": Out(read_errors_layout()),
    }


def forward_planes(
    m: Module, design: ScreenDesign, outer: wiring.Component, inner: wiring.Component
) -> None:
    """Let these ports be those of a block inside that has them too; nothing without planes."""
    if not design.bus_bits:
        return
    forward_bus(m, outer, inner, plane_port(design), PLANES_PORTS, PLANES_PORTS)
    m.d.comb += [
        inner.planes_base.eq(outer.planes_base),
        outer.planes_errors.eq(inner.planes_errors),
    ]


class FetchedScreen(ScreenUnit):
    """As :class:`~hdl.core.screen.unit.ScreenUnit`; rows come over AXI4, only blocks are here.

    Latency and throughput depend on data and memory. For one that takes every address at once and
    has exactly the latency of a :class:`~compiler.array.screen.bus.ScreenBus`,
    :class:`compiler.timing.screen_cycles.ScreenCycles` says both to the cycle; any other changes
    when rows come, and so how many are read, but no result. Only ``m_axi`` waits for the memory.

    Parameters
    ----------
    design : ScreenDesign
    bus : ScreenBus
        ``bits`` and ``outstanding``; its latency is not looked at.
    image : ScreenImage, optional
        Contents of the memory of blocks at start.
    hierarchy : Hierarchy, optional
    address_bits : int
        Of a byte address.

    Members
    -------
    m_axi_* : AXI4 read channels, see :class:`~hdl.dram.reader.DramReader`
    base : In
        Address of :func:`~compiler.lower.screen.plane_bytes`, a multiple of 4,096. It changes only
        while no state is under way.
    write : In
        A word of the memory of blocks: ``en``, ``address``, ``word``.
    errors : Out
        See :class:`~hdl.core.screen.fetched.fetcher.Fetcher`; of the last state, cleared when the
        next begins.
    hidden, largest, counts
        See :class:`~hdl.core.screen.unit.ScreenUnit`.
    """

    base: Signal
    write: data.View
    errors: data.View

    def __init__(
        self,
        design: ScreenDesign,
        bus: ScreenBus,
        image: ScreenImage | None = None,
        hierarchy: Hierarchy | None = None,
        address_bits: int = 40,
    ):
        self.bus, self.layout = bus, bus.layout(design)
        self._port = ReadPort(bus.bits, address_bits)
        write = data.StructLayout({"en": 1, "address": bits_for(design.blocks), "word": 32})
        source = bus_members(self._port) | {
            "base": In(address_bits),
            "write": In(write),
            "errors": Out(read_errors_layout()),
        }
        super().__init__(design, image, hierarchy, source)
        self._fetcher = Fetcher(self.layout, address_bits, bus.outstanding)

    def elaborate(self, platform: object) -> Module:
        """Wires between stages, queues, the fetcher and buffers of rows."""
        m = Module()
        design = self.design
        m.submodules.query = query = QueryUnit(design)
        m.submodules.list = sink = self._sink()
        m.submodules.blocks = blocks = BlockStage(design)
        m.submodules.digits = digits = FetchedDigits(self.layout)
        m.submodules.refine = refine = RefineStage(design)
        m.submodules.fetcher = fetcher = self._fetcher
        self._source(m, query, sink)
        for stage in (blocks, digits, refine):
            m.d.comb += stage.query.eq(query.query)
        m.d.comb += [
            digits.elements.eq(query.elements),
            refine.elements.eq(query.elements),
            sink.start.eq(refine.exact),
            sink.pair.eq(refine.pair),
        ]
        self._blocks(m, blocks)
        self._rows(m, digits, refine)
        idle = self._queues(m, blocks, digits, refine, sink) & blocks.ended
        most = self.bus.outstanding + 15
        clear = self._control(m, query, blocks, sink, idle, fetcher.begins, most)
        events = Cat(blocks.claim, fetcher.first_claim, fetcher.second_claim, fetcher.begins)
        self._count(m, clear, events, digits.reads, refine.reads)
        return m

    def _blocks(self, m: Module, blocks: BlockStage) -> None:
        """The memory of blocks."""
        ram = Ram(
            32, self.design.blocks, hierarchy=self.hierarchy, image="screen_blocks",
            init=self.image.memories["blocks"] if self.image else (),
        )  # fmt: skip
        m.submodules.blocks_words = ram
        m.d.comb += [
            ram.read_addr.eq(blocks.address),
            blocks.word.eq(ram.read_data),
            ram.write_en.eq(self.write.en & (self.write.address < self.design.blocks)),
            ram.write_addr.eq(self.write.address),
            ram.write_data.eq(self.write.word),
        ]

    def _rows(self, m: Module, digits: FetchedDigits, refine: RefineStage) -> None:
        """From the bus to the lanes."""
        fetcher, layout = self._fetcher, self.layout
        forward_bus(m, self, fetcher, self._port)
        m.submodules.first_row = first = RowBuffer(layout, (RowKind.FIRST,))
        m.submodules.refined_row = refined = RowBuffer(layout, (RowKind.SECOND, RowKind.WHOLE))
        of_first = fetcher.beat.kind == RowKind.FIRST
        for buffer, ready, here in (
            (first, fetcher.first_ready, of_first),
            (refined, fetcher.refine_ready, ~of_first),
        ):
            m.d.comb += [
                buffer.beat.eq(fetcher.beat),
                buffer.write.eq(fetcher.valid & here),
                ready.eq(buffer.ready),
            ]
        feed_digits(m, layout, first, digits)
        feed_refined(m, layout, refined, refine)
        m.d.comb += [
            fetcher.base.eq(self.base),
            fetcher.clear.eq(self.hidden.valid & self.hidden.ready),
            self.errors.eq(fetcher.errors),
        ]

    def _queues(
        self,
        m: Module,
        blocks: BlockStage,
        digits: FetchedDigits,
        refine: RefineStage,
        sink: Sink,
    ) -> Value:
        """Queues between stages and fetcher; whether nothing is in them or on its way there."""
        design, fetcher = self.design, self._fetcher
        numbers, rows = bits_for(design.blocks), design.row_bits
        first, second = (
            (getattr(fetcher, f"{kind}_claim"), getattr(fetcher, f"{kind}_room"))
            for kind in ("first", "second")
        )
        queues = {
            "block": self._queue(m, "ahead", blocks, sink, numbers, design.blocks_ahead),
            "survivor": self._queue(m, "left", digits, sink, rows, design.survivors, first),
            "final": self._queue(m, "final", refine, sink, rows, design.finalists, second),
        }
        for name, queue in queues.items():
            m.d.comb += [
                getattr(fetcher, name).eq(queue.head),
                getattr(fetcher, f"{name}_valid").eq(queue.valid),
                getattr(fetcher, f"{name}_beaten").eq(queue.beaten),
                queue.pop.eq(getattr(fetcher, f"{name}_pop")),
            ]
        return queues["block"].idle & queues["survivor"].idle & queues["final"].idle
