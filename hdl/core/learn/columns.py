"""The transposed product of a PE for N sequences at once: a column is a row of one memory."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design
from compiler.array.widths import sum_bits
from compiler.learn.transposed import COLUMN, COLUMNS_APART, column_bits
from csb_format.scales import DesignError

from ..array.bank import UNGUARDED
from ..pipeline import registered

__all__ = ["Columns"]


class Columns(wiring.Component):
    """Accumulators of all columns, N sums wide; a link of the chain that adds up PEs.

    Weights come one after the other, in the order in which they lie: those of a row are of other
    columns, and the next row begins with another bank, so that the same column never follows
    before it is written. A weight meets the gradients of its row in N sequences.

    Parameters
    ----------
    design : Design
        Of ``COLUMNS_APART`` lanes at least.
    bits : int
        Of gradients, or of what they are with their row's shift.
    rows : int
        Most weights of a column among the rows of a PE.
    pes : int
        Whose sums the chain adds up.

    Members
    -------
    valid, column, products : In
        A weight times N gradients, one weight a cycle, no backpressure; its bank and place.
    drain : In
        The sums of ``column`` leave and become 0; not while ``valid``, nor within
        ``COLUMNS_APART`` cycles of it.
    incoming : In
        Sums of the PEs before, a cycle after ``drain``.
    sums : Out
        With those of this one, ``COLUMN`` cycles after ``drain``.
    """

    valid: Signal
    column: Signal
    products: data.View
    drain: Signal
    incoming: data.View
    sums: data.View

    latency = COLUMN

    def __init__(self, design: Design, bits: int, rows: int, pes: int = 1):
        if design.lanes < COLUMNS_APART:
            raise DesignError(
                f"lanes = {design.lanes}: recurrent layers learn on arrays of at least "
                f"{COLUMNS_APART} lanes, as a column takes so many cycles to be written; pack a "
                "model of more banks, or let it learn on a CPU"
            )
        self.design = design
        self._bits = sum_bits(design, bits, rows * pes)
        self._own = sum_bits(design, bits, rows)  # of this PE
        sums = data.ArrayLayout(signed(self._bits), design.lanes)
        product = signed(design.value_bits + bits)
        super().__init__(
            {
                "valid": In(1),
                "column": In(column_bits(design)),
                "products": In(data.ArrayLayout(product, design.lanes)),
                "drain": In(1),
                "incoming": In(sums),
                "sums": Out(sums),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Read; add; write, or pass on and write zeros."""
        m = Module()
        size = self._own * self.design.lanes
        depth = 1 << column_bits(self.design)
        # no column is read in the cycle in which it is written
        cells = Memory(shape=size, depth=depth, init=[], attrs=UNGUARDED)
        m.submodules.cells = cells
        write, read = cells.write_port(), cells.read_port(transparent_for=())
        products, drain = registered(m, self.products), registered(m, self.drain, reset=True)
        active = registered(m, self.valid | self.drain, reset=True)
        place = registered(m, self.column)
        back = Signal(size, reset_less=True)
        for n in range(self.design.lanes):
            old = read.data.word_select(n, self._own).as_signed()
            total = Signal(signed(self._bits), name=f"total{n}")
            m.d.comb += total.eq(old + Mux(drain, self.incoming[n], products[n]))
            # a register of its own, whose reset writes the zeros, takes no logic
            kept = back.word_select(n, self._own)
            m.d.sync += [self.sums[n].eq(total), kept.eq(Mux(drain, 0, total[: self._own]))]
        m.d.comb += [
            read.addr.eq(self.column),
            write.en.eq(registered(m, active, reset=True)),
            write.addr.eq(registered(m, place)),
            write.data.eq(back),
        ]
        return m
