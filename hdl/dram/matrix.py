"""A matrix larger than the chip: its CSB groups from DRAM, in the order of the program."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design, bits_for
from compiler.lower.groups import MatrixImage, group_bits, lay_out

from ..core.hierarchy import Hierarchy
from ..core.layouts import words_layout
from ..read_port import bus_members, forward_bus, read_errors_layout
from .beat_fifo import BeatFifo
from .gearbox import ROWS, Gearbox
from .reader import DramReader, ReadBus

__all__ = ["MatrixImage", "StreamedMatrix", "group_bits", "lay_out"]


class StreamedMatrix(wiring.Component):
    """The ``matrix`` stream of a core whose matrix lies in DRAM.

    Parameters
    ----------
    design : Design
    bus : ReadBus
    rows : int
        Rows of the gearbox's ring: groups between bus and array (times ``groups_a_row``
        where a group is narrower than the bus). The bus goes on while the array pauses for
        as long as it takes to fill them.
    hierarchy : Hierarchy, optional

    Members
    -------
    m_axi_* : AXI4 read channels, see :class:`~hdl.dram.reader.DramReader`
    start, stop, base, length, running, busy, errors : see :class:`~hdl.dram.reader.DramReader`
        Pulse ``start`` with every start of the program; from that cycle on, no group of
        before is offered.
    padding : In
        :attr:`MatrixImage.padding`; looked at while ``start`` is high.
    matrix : Out, stream
        :func:`~hdl.core.layouts.words_layout`; from the start of the image again after its last
        group. The first group of each reading is marked; that costs no bit of the image.
    """

    start: Signal
    stop: Signal
    base: Signal
    length: Signal
    padding: Signal
    running: Signal
    busy: Signal
    errors: Signal
    matrix: stream.Interface

    # from a beat on the bus to the first cycle in which the group that it ends is offered
    latency = BeatFifo.latency + Gearbox.latency

    def __init__(
        self,
        design: Design,
        bus: ReadBus,
        rows: int = ROWS,
        hierarchy: Hierarchy | None = None,
    ):
        self.design, self.bus = design, bus
        self._hierarchy = hierarchy or Hierarchy()
        self._gearbox = Gearbox(group_bits(design), bus.data_bits, rows, self._hierarchy)
        super().__init__(
            bus_members(bus)
            | {
                "start": In(1),
                "stop": In(1),
                "base": In(bus.address_bits),
                "length": In(bus.address_bits),
                "padding": In(bits_for(bus.data_bits)),
                "running": Out(1),
                "busy": Out(1),
                "errors": Out(read_errors_layout()),
                "matrix": Out(stream.Signature(words_layout(group_bits(design)))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The reader, and the gearbox behind it."""
        m = Module()
        m.submodules.reader = reader = DramReader(self.bus, self._hierarchy)
        m.submodules.gearbox = gearbox = self._gearbox
        forward_bus(m, self, reader, self.bus)
        for name in ("start", "stop", "base", "length"):
            m.d.comb += getattr(reader, name).eq(getattr(self, name))
        for name in ("running", "busy", "errors"):
            m.d.comb += getattr(self, name).eq(getattr(reader, name))
        with m.If(self.start):
            m.d.sync += gearbox.padding.eq(self.padding)
        m.d.comb += gearbox.clear.eq(~reader.running | self.start | self.stop)
        wiring.connect(m, reader.beats, gearbox.beats)
        wiring.connect(m, gearbox.groups, wiring.flipped(self.matrix))
        return m
