"""Sigmoid or tanh, one a cycle, by interpolation in a table of segments."""

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from csb_format.piecewise import GUARD_BITS, Piecewise

__all__ = ["Activation", "rounded", "saturated"]


def rounded(value: Value, shift: int) -> Value:
    """``floor(value / 2**shift + 1/2)``: the hardware of :func:`csb_format.fixed.round_shift`."""
    return (value + (1 << (shift - 1))) >> shift if shift else value


def saturated(m: Module, value: Value, width: int, name: str) -> Signal:
    """``value`` clipped to ``width`` bits, combinational."""
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    clipped = Signal(signed(width), name=name)
    m.d.comb += clipped.eq(Mux(value > high, high, Mux(value < low, low, value)))
    return clipped


class Activation(wiring.Component):
    """Piecewise-linear sigmoid or tanh, bit for bit :class:`csb_format.piecewise.Piecewise`.

    Parameters
    ----------
    piecewise : Piecewise
    function : {"sigmoid", "tanh"}

    Members
    -------
    argument : In
        In ``state`` format, one a cycle.
    result : Out
        In ``gate`` format, ``latency`` cycles later.
    """

    latency = 3

    argument: Signal
    result: Signal

    def __init__(self, piecewise: Piecewise, function: str):
        if function not in ("sigmoid", "tanh"):
            raise ValueError(f"function {function!r}: choose 'sigmoid' or 'tanh'")
        self.piecewise, self.function = piecewise, function
        super().__init__(
            {
                "argument": In(signed(piecewise.state.width)),
                "result": Out(signed(piecewise.gate.width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Table read; product; sum, rounding and sign."""
        m = Module()
        table = self.piecewise
        z = self._magnitude(m)
        segment = self._segment(m, z)
        offset = Signal(table.offset_bits, reset_less=True)
        product = Signal(segment.rise.shape().width + table.offset_bits, reset_less=True)
        base = Signal(segment.base.shape(), reset_less=True)
        negative = Signal(2, reset_less=True)
        m.d.sync += [
            offset.eq(z[: table.offset_bits]),
            product.eq(segment.rise * offset),
            base.eq(segment.base),
            negative.eq(negative << 1 | (self.argument < 0)),
        ]
        size = Signal(table.table_frac + 1)
        m.d.comb += size.eq(base + rounded(product, table.offset_bits))
        m.d.sync += self.result.eq(self._finish(size, negative[1]))
        return m

    def _magnitude(self, m: Module) -> Signal:
        """Argument of the table, clipped to its domain."""
        table = self.piecewise
        scale = 1 if self.function == "tanh" else 0
        z = Signal(table.magnitude_bits)
        size = Signal(table.state.width + scale)
        m.d.comb += size.eq(
            Mux(self.argument < 0, -self.argument, self.argument).as_unsigned() << scale
        )
        m.d.comb += z.eq(Mux(size >> table.magnitude_bits, (1 << table.magnitude_bits) - 1, size))
        return z

    def _segment(self, m: Module, z: Signal) -> data.View:
        """The table's entry for ``z``, one cycle later."""
        table = self.piecewise
        base, rise = table.table
        layout = data.StructLayout(
            {
                "base": unsigned(int(base.max()).bit_length()),
                "rise": unsigned(int(rise.max()).bit_length()),
            }
        )
        init = [{"base": int(b), "rise": int(r)} for b, r in zip(base, rise, strict=True)]
        m.submodules.table = rom = Memory(shape=layout, depth=len(init), init=init)
        read = rom.read_port()
        m.d.comb += read.addr.eq(z[table.offset_bits :])
        return read.data

    def _finish(self, size: Signal, negative: Value) -> Value:
        """Round to gate format, below 1, with the function's symmetry."""
        table = self.piecewise
        if self.function == "tanh":
            value = rounded(size, GUARD_BITS)
            value = Mux(value > table.gate.max, table.gate.max, value)
            return Mux(negative, -value, value)
        one = 1 << table.table_frac
        value = rounded(Mux(negative, one - size, one + size).as_unsigned(), GUARD_BITS + 1)
        return Mux(value > table.gate.max, table.gate.max, value)
