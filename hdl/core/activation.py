"""Sigmoid or tanh, one a cycle, by interpolation in a table of segments."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from compiler.array.latency import activation_delay
from csb_format.cells.piecewise import GUARD_BITS, Piecewise

from .pipeline import delayed, registered

__all__ = ["Activation", "rounded", "saturated"]


def rounded(value: Value, shift: int) -> Value:
    """``floor(value / 2**shift + 1/2)``: the hardware of :func:`csb_format.fixed.round_shift`."""
    return (value + (1 << (shift - 1))) >> shift if shift else value


def saturated(m: Module, value: Value, width: int, name: str) -> Signal:
    """``value`` clipped to ``width`` bits, combinational.

    It fits where all bits from the sign of the result upwards are equal: no carry chain.
    """
    value = Value.cast(value)
    clipped = Signal(signed(width), name=name)
    if len(value) <= width:
        m.d.comb += clipped.eq(value)
        return clipped
    top = value[width - 1 :]
    limit = Cat((~value[-1]).replicate(width - 1), value[-1])
    fits = top.all() | ~top.any()
    m.d.comb += clipped.eq(Mux(fits, value[:width], limit))
    return clipped


class Activation(wiring.Component):
    """Piecewise-linear sigmoid or tanh, bit for bit :class:`csb_format.cells.piecewise.Piecewise`.

    Of several formats of the argument, all of one width, arguments are shifted to the finest, whose
    table serves all: segments and offsets stay as they were. In the last segment, which takes all
    beyond the table's domain, tanh does not rise: what is clipped there may have any offset.

    Parameters
    ----------
    piecewise : Piecewise
        Or several, that of the finest ``state`` first.
    function : {"sigmoid", "tanh", "both"}
        "both" has a further port, ``tanh``.
    deep : bool
        With registers between the steps of its first and its last part.
    shallow : bool
        Without those of the table and of the sum.

    Members
    -------
    argument : In
        In ``state`` format, one a cycle.
    tanh : In
        Of both: which of them this argument is for.
    reach : In
        Of several: which of them this argument is for.
    result : Out
        In ``gate`` format, ``delay(deep, shallow)`` cycles later.
    """

    argument: Signal
    result: Signal

    delay = staticmethod(activation_delay)

    def __init__(
        self,
        piecewise: Piecewise | Sequence[Piecewise],
        function: str,
        deep: bool = False,
        shallow: bool = False,
    ):
        if function not in ("sigmoid", "tanh", "both"):
            raise ValueError(f"function {function!r}: choose 'sigmoid', 'tanh' or 'both'")
        self.all = (piecewise,) if isinstance(piecewise, Piecewise) else tuple(piecewise)
        self.piecewise, self.function, self.deep = self.all[0], function, deep
        self._table, self._summed = (int(not shallow),) * 2  # registers
        self._tables = sorted({one.index_bits for one in self.all}, reverse=True)
        self._offset_bits = self.piecewise.magnitude_bits - self._tables[-1]
        chosen = {"tanh": In(1)} if function == "both" else {}
        if len(self.all) > 1:
            chosen["reach"] = In(range(len(self.all)))
        super().__init__(
            {
                "argument": In(signed(self.piecewise.state.width)),
                **chosen,
                "result": Out(signed(self.piecewise.gate.width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Table read; its register; product; sum; rounding and sign."""
        m = Module()
        table = self.piecewise
        z = delayed(m, self._magnitude(m), int(self.deep))
        negative = delayed(m, self.argument < 0, self._sized)
        # a block memory is slow to give its word, and has a register for it
        place, within = self._places(m, z)
        segment = self._segment(m, place)
        if self._table:
            segment = registered(m, segment)
        bits = self._offset_bits
        offset = delayed(m, within, 1 + self._table)
        product = Signal(segment.rise.shape().width + bits, reset_less=True)
        base = Signal(segment.base.shape(), reset_less=True)
        size = Signal(table.table_frac + 1, reset_less=True)
        # half of the last kept bit lies below the base: one adder rounds and sums
        start = Cat(Const(1 << (bits - 1), bits), base) if bits else base
        result = self._finish(m, size, negative)
        m.d.sync += [product.eq(segment.rise * offset), base.eq(segment.base)]
        summed = m.d.sync if self._summed else m.d.comb
        summed += size.eq((start + product) >> bits)
        m.d.comb += self.result.eq(registered(m, result))
        return m

    @property
    def _sized(self) -> int:
        """Cycles from an argument to its size: entry, register, product, sum."""
        return 2 + self._table + self._summed + self.deep

    def _magnitude(self, m: Module) -> Signal:
        """Argument of the table, clipped to its domain."""
        table = self.piecewise
        scale = 0 if self.function == "sigmoid" else 1
        z = Signal(table.magnitude_bits)
        finer = [table.state.frac - one.state.frac for one in self.all]
        size = Signal(table.state.width + scale + max(finer))
        positive = Mux(self.argument < 0, -self.argument, self.argument).as_unsigned()
        scaled = positive << scale
        if self.function == "both":
            scaled = Mux(self.tanh, positive << 1, positive)
        m.d.comb += size.eq(scaled)
        if len(self.all) > 1:
            with m.Switch(self.reach):
                for n, places in enumerate(finer):
                    with m.Case(n):
                        m.d.comb += size.eq(scaled << places)
        m.d.comb += z.eq(Mux(size >> table.magnitude_bits, (1 << table.magnitude_bits) - 1, size))
        return z

    def _places(self, m: Module, z: Value) -> tuple[Value, Value]:
        """Of ``z`` the segment's place in the memory, and the offset in it.

        Formats of few fraction bits have a table of fewer segments, behind the larger ones.
        """
        most, bits = self.piecewise.magnitude_bits, self._offset_bits
        if len(self._tables) == 1:
            return z[bits:], z[:bits]
        place, offset = Signal(range(sum(1 << n for n in self._tables))), Signal(bits)
        with m.Switch(delayed(m, self.reach, int(self.deep))):
            for number, one in enumerate(self.all):
                before = sum(1 << n for n in self._tables if n > one.index_bits)
                own = most - one.index_bits
                with m.Case(number):
                    m.d.comb += [
                        place.eq(before | z[own:]),
                        offset.eq(z[:own] << (bits - own)),
                    ]
        return place, offset

    def _segment(self, m: Module, place: Value) -> data.View:
        """The entry of a place, one cycle later."""
        every = {one.index_bits: one.table for one in self.all}
        base, rise = (np.concatenate([every[n][k] for n in self._tables]) for k in range(2))
        layout = data.StructLayout(
            {
                "base": unsigned(int(base.max()).bit_length()),
                "rise": unsigned(int(rise.max()).bit_length()),
            }
        )
        init = [{"base": int(b), "rise": int(r)} for b, r in zip(base, rise, strict=True)]
        m.submodules.table = rom = Memory(shape=layout, depth=len(init), init=init)
        read = rom.read_port()
        m.d.comb += read.addr.eq(place)
        return read.data

    def _finish(self, m: Module, size: Signal, negative: Value) -> Value:
        """Round to gate format, below 1, with the function's symmetry."""
        if self.function != "both":
            return self._symmetric(m, size, negative, self.function)
        tanh, sigmoid = (self._symmetric(m, size, negative, f) for f in ("tanh", "sigmoid"))
        return Mux(delayed(m, self.tanh, self._sized + self.deep), tanh, sigmoid)

    def _symmetric(self, m: Module, size: Signal, negative: Value, function: str) -> Value:
        table = self.piecewise
        most, deep = table.gate.max, int(self.deep)
        if function == "tanh":
            value = rounded(size, GUARD_BITS)
            value = delayed(m, Mux(value > most, most, value), deep)
            return Mux(delayed(m, negative, deep), -value, value)
        shift = GUARD_BITS + 1
        one = (1 << table.table_frac) + (1 << (shift - 1))
        value = delayed(m, Mux(negative, one - size, one + size).as_unsigned() >> shift, deep)
        return Mux(value > most, most, value)
