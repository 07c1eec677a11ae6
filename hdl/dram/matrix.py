"""A matrix larger than the chip: its CSB groups from DRAM, in the order of the program."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design, bits_for
from csb_format.scales import DesignError

from ..core.hierarchy import Hierarchy
from ..core.layouts import words_layout
from .beat_fifo import BeatFifo
from .gearbox import ROWS, Gearbox
from .reader import DramReader, ReadBus, bus_members, forward_bus, read_errors_layout

__all__ = ["MatrixImage", "StreamedMatrix", "group_bits", "lay_out"]


def group_bits(design: Design) -> int:
    """Bits that all PEs take in a cycle: one word each."""
    return design.pes * design.word_bits


@dataclass(frozen=True)
class MatrixImage:
    """The bytes of a streamed matrix, and what the reader must be told of them.

    Parameters
    ----------
    data : bytes
        Groups in the order in which they are issued, without a bit between them; in a group
        the word of PE 0 lowest; bit i of the stream is bit ``i % 8`` of byte ``i // 8``.
        Zeros fill the last bus word. It should lie in memory at a multiple of 4 KiB: at any
        other multiple of the bus width only its first burst is shorter.
    groups : int
        Groups of a frame.
    group_bits, data_bits : int
        Width of a group and of the bus.
    """

    data: bytes
    groups: int
    group_bits: int
    data_bits: int

    @property
    def length(self) -> int:
        """Bytes, a multiple of the bus width: the reader's ``length``."""
        return len(self.data)

    @property
    def beats(self) -> int:
        """Bus words of a frame, the floor of its cycles: bytes / (bus bytes a cycle)."""
        return self.length * 8 // self.data_bits

    @property
    def padding(self) -> int:
        """Bits at its end that belong to no group: the reader's ``padding``."""
        return self.length * 8 - self.groups * self.group_bits

    def payload(self, number: int) -> int:
        """Group ``number`` of a frame as the core takes it: above it a bit that marks group 0."""
        return self.group(number) | int(number == 0) << self.group_bits

    def group(self, number: int) -> int:
        """Group ``number`` of a frame."""
        low, high = (n * self.group_bits for n in (number, number + 1))
        part = self.data[low // 8 : -(-high // 8)]
        mask = (1 << self.group_bits) - 1
        return int.from_bytes(part, "little") >> low % 8 & mask


def lay_out(words: Iterable[Sequence[int]], design: Design, data_bits: int) -> MatrixImage:
    """The image of a streamed matrix.

    Parameters
    ----------
    words : iterable of M ints
        For every group that a frame issues, in order, the words of PEs 0..M-1, each of
        ``design.word_bits``.
    design : Design
    data_bits : int
        Width of the bus.

    Raises
    ------
    DesignError
        If there is no group, or one that has not M words of that width.
    """
    rows = [_checked(n, row, design) for n, row in enumerate(words)]
    if not rows:
        raise DesignError("the frame issues no group: a streamed matrix needs at least one")
    size = -(-design.word_bits // 8)
    raw = b"".join(word.to_bytes(size, "little") for row in rows for word in row)
    table = np.frombuffer(raw, np.uint8).reshape(-1, size)
    bits = np.unpackbits(table, axis=1, count=design.word_bits, bitorder="little")
    data = np.packbits(bits.ravel(), bitorder="little").tobytes()
    data += bytes(-len(data) % (data_bits // 8))
    return MatrixImage(data, len(rows), group_bits(design), data_bits)


def _checked(number: int, row: Sequence[int], design: Design) -> list[int]:
    words = [int(word) for word in row]
    if len(words) != design.pes:
        raise DesignError(
            f"group {number} has {len(words)} words: must be one for each PE, {design.pes}"
        )
    for pe, word in enumerate(words):
        if word < 0 or word >> design.word_bits:
            raise DesignError(
                f"word {word:#x} of PE {pe} in group {number} must have "
                f"{design.word_bits} bits: is the image of another design?"
            )
    return words


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
