"""A deep buffer of bus beats on a block memory, for a writer that knows there is room."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..core.hierarchy import Hierarchy, Ram

__all__ = ["BeatFifo"]

QUEUE = 4  # beats between memory and taker: one a cycle in spite of the memory's latency


class BeatFifo(wiring.Component):
    """First in, first out; one beat in and one out a cycle.

    Parameters
    ----------
    data_bits, depth : int
        Width of a beat; beats, a power of two.
    hierarchy : Hierarchy

    Members
    -------
    write_en, write_data : In
        A beat. Nothing guards the depth: the writer counts places.
    beats : Out, stream
        The beats in order, ``latency`` cycles after they were written.
    clear : In
        Forget everything; nothing may be written meanwhile.
    """

    latency = Ram.latency + 2

    write_en: Signal
    write_data: Signal
    beats: stream.Interface
    clear: Signal

    def __init__(self, data_bits: int, depth: int, hierarchy: Hierarchy):
        self._depth, self._hierarchy = depth, hierarchy
        self._layout = self.layout(data_bits)
        self._stored = Signal(range(depth + 1))  # beats in the memory that no read is after
        self._promised = Signal(range(QUEUE + 1))  # places of the queue, to beats or reads
        self._coming = Signal(Ram.latency)  # reads under way
        self._filled = Signal(range(QUEUE + 1))  # beats in the queue
        super().__init__(
            {
                "write_en": In(1),
                "write_data": In(self._layout),
                "beats": Out(stream.Signature(self._layout)),
                "clear": In(1),
            }
        )

    @staticmethod
    def layout(data_bits: int) -> data.StructLayout:
        """A beat: ``data``, and whether it is the ``last`` of an image."""
        return data.StructLayout({"data": data_bits, "last": 1})

    def elaborate(self, platform: object) -> Module:
        """A ring in the memory, and a short queue whose places are promised to reads."""
        m = Module()
        m.submodules.ram = ram = Ram(self._layout.size, self._depth, hierarchy=self._hierarchy)
        stored, promised, coming = self._stored, self._promised, self._coming
        fetch, taken = Signal(), Signal()
        m.d.comb += [
            fetch.eq(stored.any() & (promised != QUEUE)),
            taken.eq(self.beats.valid & self.beats.ready),
            ram.write_en.eq(self.write_en),
            ram.write_data.eq(self.write_data),
        ]
        m.d.sync += [
            ram.write_addr.eq(ram.write_addr + self.write_en),
            ram.read_addr.eq(ram.read_addr + fetch),
            stored.eq(stored + self.write_en - fetch),
            promised.eq(promised + fetch - taken),
            coming.eq(Cat(fetch, coming)),
        ]
        state = [stored, promised, coming, *self._queue(m, ram.read_data, coming[-1], taken)]
        with m.If(self.clear):
            m.d.sync += [register.eq(0) for register in (*state, ram.write_addr, ram.read_addr)]
        return m

    def _queue(self, m: Module, word: Value, arrives: Value, taken: Value) -> list[Signal]:
        """Beats that have left the memory; its counters."""
        queue = Signal(data.ArrayLayout(self._layout, QUEUE), reset_less=True)
        head, tail = Signal(range(QUEUE)), Signal(range(QUEUE))
        filled = self._filled
        with m.If(arrives):
            m.d.sync += queue[tail].eq(word)
        m.d.sync += [
            tail.eq(tail + arrives),
            head.eq(head + taken),
            filled.eq(filled + arrives - taken),
        ]
        m.d.comb += [self.beats.valid.eq(filled.any()), self.beats.payload.eq(queue[head])]
        return [head, tail, filled]
