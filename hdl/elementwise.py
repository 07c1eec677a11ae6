"""The element-wise lane: from four sums of products to a hidden and a cell state."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from csb_format.cell import Gates
from csb_format.design import Design, PerGate
from csb_format.fixed import IntArray

from .activation import Activation, rounded, saturated
from .hierarchy import Ram
from .layouts import gate_sums_layout, unit_layout
from .pipeline import delayed

__all__ = ["ElementwiseLane"]

GATES = "ifgo"


class ElementwiseLane(wiring.Component):
    """Bias, sigmoid and tanh, cell and hidden update of one unit a cycle.

    Parameters
    ----------
    design : Design

    Members
    -------
    sums : In
        Gate sums of the ``units_per_slot`` units that this lane serves in a slot.
    unit : In
        Control of one unit: which of the sums (``select``), its cell (``addr``), whether
        its old state is zero, its gates' shifts to ``state`` format. No backpressure.
    bias : In
        Four biases, ``bias_delay`` cycles after ``unit``.
    hidden, cell : Out
        New state, ``latency`` cycles after ``unit``; the cell state is kept in the lane.
    """

    sums: Signal
    unit: Signal
    bias: Signal
    hidden: Signal
    cell: Signal

    bias_delay = Ram.latency
    gates_delay = 4 + Activation.latency  # select, shift, bias, saturate; activation
    cell_delay = gates_delay + 2  # products; sum
    latency = cell_delay + Activation.latency + 2  # tanh; product; rounding

    def __init__(self, design: Design):
        self.design = design
        sums = data.ArrayLayout(gate_sums_layout(design), design.units_per_slot)
        super().__init__(
            {
                "sums": In(sums),
                "unit": In(unit_layout(design)),
                "bias": In(data.ArrayLayout(signed(design.state.width), 4)),
                "hidden": Out(signed(design.gate.width)),
                "cell": Out(signed(design.state.width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Pre-activation, gates, cell, hidden: each a few registers."""
        m = Module()
        gates = [self._gate(m, i, name) for i, name in enumerate(GATES)]
        cell = self._cell(m, gates)
        self._hidden(m, gates[3], cell)
        return m

    def _gate(self, m: Module, index: int, name: str) -> Signal:
        """Select, shift, add the bias, saturate, activate."""
        design = self.design
        selected = Signal(signed(design.acc_bits), name=f"sum_{name}", reset_less=True)
        doubled = Signal(signed(design.acc_bits + 1), name=f"shifted_{name}", reset_less=True)
        biased = Signal(signed(design.acc_bits + 1), name=f"biased_{name}", reset_less=True)
        pre = Signal(signed(design.state.width), name=f"pre_{name}", reset_less=True)
        shift = Signal.like(self.unit.shift[index], name=f"shift_{name}", reset_less=True)
        m.d.sync += [
            selected.eq(self.sums[self.unit.select][index]),
            shift.eq(self.unit.shift[index]),
            # one bit more than the result, so that a half can be rounded up below
            doubled.eq((selected << 1) >> shift),
            biased.eq(rounded(doubled, 1) + self.bias[index]),
            pre.eq(saturated(m, biased, design.state.width, f"clipped_{name}")),
        ]
        function = "tanh" if name == "g" else "sigmoid"
        m.submodules[f"activation_{name}"] = activation = Activation(
            design.arithmetic.piecewise, function
        )
        m.d.comb += activation.argument.eq(pre)
        return activation.result

    def _cell(self, m: Module, gates: list[Signal]) -> Signal:
        """Read c, form ``f * c + i * g``, write it back."""
        design, gate, state = self.design, self.design.gate, self.design.state
        m.submodules.cells = cells = Memory(shape=signed(state.width), depth=design.cells, init=[])
        read, write = cells.read_port(), cells.write_port()
        unit = delayed(m, self.unit, self.gates_delay - 1, reset=True)
        m.d.comb += read.addr.eq(unit.addr)
        unit = delayed(m, unit, 1, reset=True)
        i, f, g, _ = gates
        kept = Signal(signed(gate.width + state.width), reset_less=True)
        added = Signal(signed(2 * gate.width), reset_less=True)
        old = Mux(unit.zero, 0, read.data)
        m.d.sync += [kept.eq(f * old), added.eq(i * g)]
        lift = gate.frac - state.frac
        total = rounded((kept << lift) + added, gate.frac + lift)
        cell = Signal(signed(state.width), reset_less=True)
        m.d.sync += cell.eq(saturated(m, total, state.width, "clipped_c"))
        unit = delayed(m, unit, 2, reset=True)
        m.d.comb += [write.en.eq(unit.valid), write.addr.eq(unit.addr), write.data.eq(cell)]
        return cell

    def _hidden(self, m: Module, o: Signal, cell: Signal) -> None:
        """Form ``o * tanh(c)``; the cell state waits for it."""
        gate = self.design.gate
        m.submodules.activation_c = activation = Activation(
            self.design.arithmetic.piecewise, "tanh"
        )
        m.d.comb += activation.argument.eq(cell)
        o = delayed(m, o, self.cell_delay - self.gates_delay + Activation.latency)
        product = Signal(signed(2 * gate.width), reset_less=True)
        total = rounded(product, gate.frac)
        m.d.sync += [
            product.eq(o * activation.result),
            self.hidden.eq(saturated(m, total, gate.width, "clipped_h")),
        ]
        m.d.comb += self.cell.eq(delayed(m, cell, self.latency - self.cell_delay))

    def model(
        self, sums: Gates, bias: Gates, shift: PerGate, c: IntArray
    ) -> tuple[IntArray, IntArray]:
        """Bit-exact update of any number of units; see :class:`csb_format.cell.CellArithmetic`.

        Parameters
        ----------
        sums, bias : four int64 arrays
            For gates i, f, g, o: exact sums of products, biases in ``state`` format.
        shift : four int
        c : int64 array

        Returns
        -------
        h, c : int64 arrays
        """
        arithmetic = self.design.arithmetic
        i, f, g, o = (
            arithmetic.preactivation(s, b, n) for s, b, n in zip(sums, bias, shift, strict=True)
        )
        return arithmetic.step((i, f, g, o), c)
