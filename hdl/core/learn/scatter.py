"""The transposed product of a PE: every lane adds into places of its own bank, forwarded."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design
from compiler.learn.transposed import SCATTER, sum_bits

from ..pipeline import registered

__all__ = ["Scatter", "products_layout"]


def products_layout(design: Design, bits: int) -> data.ArrayLayout:
    """Of each lane a weight times the gradient of its row, and its place."""
    product = signed(design.value_bits + bits)
    lane = data.StructLayout({"product": product, "place": design.index_bits})
    return data.ArrayLayout(lane, design.lanes)


class Scatter(wiring.Component):
    """Accumulators of the columns, a memory for each lane; a link of the chain that adds up PEs.

    CSB as it lies serves both ways: lane b has weights of bank b alone, so that lanes never meet.
    A place is read in one cycle and written in the next, so only one that follows at once is not
    there yet: its sum is forwarded.

    Parameters
    ----------
    design : Design
    bits : int
        Of gradients.
    rows : int
        Most weights of a column among the rows of a PE.
    pes : int
        Whose sums the chain adds up.

    Members
    -------
    valid, lanes : In
        Products of a group, one a cycle, no backpressure.
    drain, place : In
        A place of all banks leaves and becomes 0; not while ``valid``, nor in the cycle after.
    incoming : In
        Sums of the PEs before, a cycle after ``drain``.
    sums : Out
        With those of this one, ``SCATTER`` cycles after ``drain``.
    """

    valid: Signal
    lanes: data.View
    drain: Signal
    place: Signal
    incoming: data.View
    sums: data.View

    latency = SCATTER

    def __init__(self, design: Design, bits: int, rows: int, pes: int = 1):
        self.design, self._rows = design, rows
        self._bits = sum_bits(design, bits, rows * pes)
        sums = data.ArrayLayout(signed(self._bits), design.lanes)
        super().__init__(
            {
                "valid": In(1),
                "lanes": In(products_layout(design, bits)),
                "drain": In(1),
                "place": In(design.index_bits),
                "incoming": In(sums),
                "sums": Out(sums),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Read; then add and write, or add and pass on."""
        m = Module()
        valid = registered(m, self.valid, reset=True)
        drain = registered(m, self.drain, reset=True)
        for n in range(self.design.lanes):
            self._lane(m, n, valid, drain)
        return m

    def _lane(self, m: Module, n: int, valid: Signal, drain: Signal) -> None:
        """A memory, its adder, and the sum of the cycle before."""
        shape, given = signed(self._bits), self.lanes[n]
        cells = Memory(shape=shape, depth=1 << self.design.index_bits, init=[])
        m.submodules[f"sums{n}"] = cells
        write, read = cells.write_port(), cells.read_port(transparent_for=())
        wanted = Mux(self.drain, self.place, given.place)
        place, product = registered(m, wanted), registered(m, given.product)
        total, before = Signal(shape), Signal(shape, reset_less=True)
        again = registered(m, self.valid & valid & (given.place == place), reset=True)
        old = Mux(again, before, read.data)
        m.d.comb += [
            read.addr.eq(wanted),
            total.eq(old + Mux(drain, self.incoming[n], product)),
            write.addr.eq(place),
            write.data.eq(Mux(drain, 0, total)),
            write.en.eq(valid | drain),
        ]
        m.d.sync += [before.eq(total), self.sums[n].eq(total)]
