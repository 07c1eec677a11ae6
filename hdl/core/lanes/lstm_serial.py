"""The element-wise lane of a compact design: one table and one multiplier for all of a unit."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design, bits_for
from compiler.array.latency import RAM, SERIAL, serial_latency
from compiler.array.widths import SHIFT_BITS

from ..activation import rounded, saturated
from ..layouts import cell_write_layout, gate_sums_layout, unit_layout
from ..pipeline import carried, held, registered
from .reaches import activation, lift_of, lifted

__all__ = ["SerialLane"]

SELECT, SHIFTED, PRE, STEPS = SERIAL.select, SERIAL.shifted, SERIAL.pre, SERIAL.steps
ACTIVATED, KEEP, ADD, SUMMED = SERIAL.activated, SERIAL.keep, SERIAL.add, SERIAL.summed
CELL, LAST, HIDDEN = SERIAL.cell, SERIAL.last, SERIAL.hidden


class SerialLane(wiring.Component):
    """Bias, sigmoid and tanh, cell and hidden update of a unit, one step a cycle.

    Gates and then the cell state go through one table, and products through one multiplier of
    ``STEPS`` cycles, while the next unit does so as well. Bit for bit an
    :class:`~hdl.core.lanes.lstm.ElementwiseLane`.

    Parameters
    ----------
    design : Design
        Compact: its ``lane_period`` cycles lie between units, or at least ``lane_pause``.

    Members
    -------
    sums : In
        Gate sums of a unit, held for 12 cycles.
    unit : In
        Control of a unit, when ``unit.valid``.
    place : In
        With it: its place in the bias memory.
    bias_addr : Out, bias : In
        The bias memory, which holds those of gates i, f, g, o one after the other.
    load : In
        Writes a cell state, while no unit is under way.
    hidden, cell : Out
        New state, ``latency`` cycles after ``unit``; the cell state is kept in the lane.
    clipped : Out
        With them: one of the unit's values was saturated.
    """

    sums: Signal
    unit: Signal
    place: Signal
    bias_addr: Signal
    bias: Signal
    load: Signal
    hidden: Signal
    cell: Signal
    clipped: Signal

    def __init__(self, design: Design):
        self.design = design
        place = bits_for(design.cells)
        super().__init__(
            {
                "sums": In(gate_sums_layout(design)),
                "unit": In(unit_layout(design)),
                "place": In(place),
                "bias_addr": Out(place + 2),
                "bias": In(signed(design.state.width)),
                "load": In(cell_write_layout(design)),
                "hidden": Out(signed(design.gate.width)),
                "cell": Out(signed(design.state.width)),
                "clipped": Out(1),
            }
        )

    latency = staticmethod(serial_latency)

    @staticmethod
    def pre_signal(name: str) -> str:
        """The signal that pre-activations go through."""
        return "pre"

    @staticmethod
    def bias_gate(cycle: int) -> int | None:
        """The gate whose bias is on ``bias``, so many cycles after ``unit``; None for no one's."""
        wanted = {at + RAM: gate for gate, at in enumerate(SELECT)}
        return wanted.get(cycle)

    def elaborate(self, platform: object) -> Module:
        """Pulses that follow a unit say who takes what."""
        m = Module()
        self._at = [self.unit.valid]
        for _ in range(HIDDEN):
            self._at.append(registered(m, self._at[-1], reset=True))
        self._held = held(m, self.unit, self._at[0])
        self._late = self._late_reach(m)
        biased = self._preactivation(m)
        summed = self._products(m)
        cell, total = self._cell(m, summed)
        self._hidden(m)
        self._count_clips(m, biased, (cell != total))
        return m

    def _late_reach(self, m: Module) -> Value | None:
        """Of the unit's layer, while its cell state is made and its tanh begins.

        Nothing of a design of one reach.
        """
        if not self.design.wider:
            return None
        return carried(m, self._at[0], self.unit.reach, CELL, self.design.lane_period)

    def _preactivation(self, m: Module) -> tuple[Value, Value]:
        """Select a gate, shift its sum, add its bias, saturate."""
        design, at = self.design, self._at
        # as choices: an index into the layouts would become a shift by a product
        sums = Array(self.sums[n] for n in range(self.design.gates))
        shifts = Array(self._held.shift[n] for n in range(self.design.gates))
        gate, place = Signal(2), held(m, self.place, at[0])
        m.d.comb += [
            gate.eq(Cat(at[SELECT[1]] | at[SELECT[3]], at[SELECT[2]] | at[SELECT[3]])),
            self.bias_addr.eq(Cat(gate, place)),
        ]
        selected = Signal(signed(design.acc_bits), reset_less=True)
        shift = Signal(SHIFT_BITS, reset_less=True)
        shifted = Signal(signed(design.acc_bits + 1), reset_less=True)
        pre = Signal(signed(design.state.width), reset_less=True)
        # rounding and bias in one adder
        biased = (shifted + Cat(Const(1, 1), self.bias).as_signed()) >> 1
        clipped = saturated(m, biased, design.state.width, "clipped_pre")
        m.d.sync += [
            selected.eq(sums[gate]),
            shift.eq(shifts[gate]),
            # one bit more than the result, so that a half can be rounded up below
            shifted.eq((selected << 1) >> shift),
            pre.eq(clipped),
        ]
        from_cell = at[CELL]
        reach = Mux(from_cell, self._late, self._held.reach) if design.wider else None
        argument = Mux(from_cell, self.cell, pre)
        self._activation = activation(m, design, "activation", "both", argument, reach)
        m.d.comb += self._activation.tanh.eq(from_cell | at[SELECT[2] + PRE])
        return clipped, biased

    def _products(self, m: Module) -> tuple[Signal, Signal]:
        """``f * c``, ``i * g`` and ``o * tanh(c)``: a gate in [0, 1) times a signed number."""
        design, at, result = self.design, self._at, self._activation.result
        gate, state = design.gate, design.state
        gates = [Signal(gate.width - 1, name=f"kept_{name}", reset_less=True) for name in "io"]
        for kept, select in zip(gates, (SELECT[0], SELECT[3]), strict=True):
            with m.If(at[select + ACTIVATED]):
                m.d.sync += kept.eq(result)
        bits = -(-(gate.width - 1) // STEPS)
        left = Signal(STEPS * bits, reset_less=True)  # of the gate, highest bits first
        factor = Signal(signed(max(state.width, gate.width)), reset_less=True)
        self._product = product = Signal(signed(gate.width + len(factor)), reset_less=True)
        old = self._old_cell(m)
        m.d.sync += left.eq(left << bits)
        for start, one, other in (
            (KEEP, result[:-1], old), (ADD, gates[0], result), (LAST, gates[1], result)
        ):  # fmt: skip
            with m.If(at[start]):
                m.d.sync += [left.eq(one), factor.eq(other)]
        fresh = at[KEEP + 1] | at[ADD + 1] | at[LAST + 1]
        rows = [Mux(left[-1 - n], factor << (bits - 1 - n), 0) for n in range(bits)]
        m.d.sync += product.eq(sum(rows, Mux(fresh, 0, product << bits)))
        return product, held(m, product, at[KEEP + STEPS + 1])

    def _old_cell(self, m: Module) -> Value:
        """The unit's cell state, as gate f is there."""
        design = self.design
        m.submodules.cells = cells = Memory(
            shape=signed(design.state.width), depth=design.state_depth, init=[]
        )
        self._write, read = cells.write_port(), cells.read_port()
        m.d.comb += read.addr.eq(self._held.cell)
        return Mux(self._held.zero, 0, read.data)

    def _cell(self, m: Module, products: tuple[Signal, Signal]) -> tuple[Value, Value]:
        """Sum, round, saturate and keep the new cell state."""
        design, at, write = self.design, self._at, self._write
        gate, state = design.gate, design.state
        added, kept = products
        lift = lift_of(design)
        summed = Signal(signed(gate.width + state.width + lift + 1), reset_less=True)
        m.d.sync += summed.eq((kept << lift) + lifted(m, design, added, self._late))
        total = rounded(summed, gate.frac + lift)
        clipped = saturated(m, total, state.width, "clipped_c")
        address = carried(m, at[0], self.unit.cell, CELL, design.lane_period)
        m.d.comb += [
            self.cell.eq(held(m, clipped, at[SUMMED])),
            write.en.eq(at[CELL] | self.load.en),
            write.addr.eq(Mux(self.load.en, self.load.addr, address)),
            write.data.eq(Mux(self.load.en, self.load.data, self.cell)),
        ]
        return clipped, total

    def _hidden(self, m: Module) -> None:
        """Round ``o * tanh(c)``."""
        gate = self.design.gate
        self._hidden_total = rounded(self._product, gate.frac)
        self._hidden_clipped = saturated(m, self._hidden_total, gate.width, "clipped_h")
        m.d.comb += self.hidden.eq(registered(m, self._hidden_clipped))

    def _count_clips(self, m: Module, pre: tuple[Value, Value], cell: Value) -> None:
        """Whether any value of a unit was clipped, when the unit leaves."""
        at, clipped, biased = self._at, *pre
        gates, kept, both = Signal(), Signal(), Signal()
        now = clipped != biased
        first, *others = (at[n + SHIFTED] for n in SELECT)
        with m.If(first):
            m.d.sync += gates.eq(now)
        with m.Elif(Cat(others).any()):
            m.d.sync += gates.eq(gates | now)
        with m.If(at[SELECT[-1] + SHIFTED + 1]):
            m.d.sync += kept.eq(gates)
        with m.If(at[SUMMED]):
            m.d.sync += both.eq(kept | cell)
        hidden = self._hidden_clipped != self._hidden_total
        m.d.sync += self.clipped.eq(at[HIDDEN - 1] & (both | hidden))
