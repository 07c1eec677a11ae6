"""The element-wise lane: from four sums of products to a hidden and a cell state."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from compiler.array.design import Design
from compiler.array.latency import (
    RAM,
    biased_delay,
    block_stage,
    cell_delay,
    gates_delay,
    lane_latency,
    pre_delay,
    table_delay,
)
from csb_format.cells.lstm import CellArithmetic, Gates
from csb_format.fixed import IntArray
from csb_format.scales import PerGate

from ..activation import rounded, saturated
from ..pipeline import delayed, registered
from .ports import lane_ports
from .preactivation import preactivation
from .reaches import activation, lift_of, lifted

__all__ = ["ElementwiseLane"]


class ElementwiseLane(wiring.Component):
    """Bias, sigmoid and tanh, cell and hidden update of one unit a cycle.

    Parameters
    ----------
    design : Design

    Members
    -------
    sums : In
        Gate sums of the ``units_per_slot`` units that this lane serves in a slot. In a design that
        ``collects``, those that as many PEs four abreast present, each of all gates.
    unit : In
        Control of one unit: which of the sums (``select``, and of the PEs abreast ``places``), its
        cell, whether its old state is zero, its gates' shifts to ``state`` format; in a design of
        several reaches that of its layer. No backpressure.
    load : In
        Writes a cell state, while no unit is under way.
    bias : In
        Four biases, ``bias_delay`` cycles after ``unit``.
    hidden, cell : Out
        New state, ``latency`` cycles after ``unit``; the cell state is kept in the lane.
    taped : Out, of a design that trains recurrent layers
        Gates, with them.
    clipped : Out
        With them: one of the unit's values was saturated.
    """

    sums: Signal
    unit: Signal
    bias: Signal
    load: Signal
    hidden: Signal
    cell: Signal
    clipped: Signal

    bias_delay = RAM
    pre_delay = staticmethod(pre_delay)
    gates_delay = staticmethod(gates_delay)
    cell_delay = staticmethod(cell_delay)
    latency = staticmethod(lane_latency)

    def __init__(self, design: Design):
        self.design = design
        self._deep = int(design.deep)
        self._activation = table_delay(design)
        self._gates_delay = self.gates_delay(design)
        self._cell_delay = self.cell_delay(design)
        self._latency = self.latency(design)
        super().__init__(lane_ports(design))

    @staticmethod
    def pre_signal(name: str) -> str:
        """The signal with the pre-activation of a sum, ``pre_delay`` cycles after ``unit``."""
        return f"pre_{name}"

    def elaborate(self, platform: object) -> Module:
        """Pre-activation, gates, cell, hidden: each a few registers."""
        m = Module()
        self._clips: list[tuple[int, Value]] = []  # cycles after `unit`, what was clipped
        self._reach = self.unit.reach if self.design.wider else None
        self._reach_pre = self._later_reach(m, self._reach, self.pre_delay(self.design))
        gates = [self._gate(m, i, name) for i, name in enumerate(CellArithmetic.gate_names)]
        cell = self._cell(m, gates)
        self._hidden(m, gates[3], cell)
        if self.design.backward:
            rest = self._latency - self._gates_delay
            named = zip(CellArithmetic.gate_names, gates, strict=True)
            m.d.comb += [self.taped[name].eq(delayed(m, gate, rest)) for name, gate in named]
        self._count_clips(m)
        return m

    @staticmethod
    def _later_reach(m: Module, reach: Value | None, cycles: int) -> Value | None:
        """Of the unit's layer some cycles later, where a design has several."""
        return None if reach is None else delayed(m, reach, cycles)

    def _count_clips(self, m: Module) -> None:
        """Whether any value of a unit was clipped, when the unit leaves."""
        valid = delayed(m, self.unit.valid, self._latency, reset=True)
        flags = [delayed(m, flag, self._latency - at) for at, flag in self._clips]
        m.d.comb += self.clipped.eq(valid & Cat(*flags).any())

    def _gate(self, m: Module, index: int, name: str) -> Signal:
        """Select, shift, add the bias, saturate, activate."""
        design = self.design
        sums, shift = self.sums[self.unit.select], self.unit.shift[index]
        total = sums[self.unit.places[index]][index] if design.collects else sums[index]
        bias = delayed(m, self.bias[index], biased_delay(design) - self.bias_delay)
        pre, clips = preactivation(m, design, (f"pre_{name}", name), total, shift, bias)
        self._clips.append((self.pre_delay(design) - 1, clips))
        function = "tanh" if name == "g" else "sigmoid"
        of = f"activation_{name}"
        return activation(m, design, of, function, pre, self._reach_pre).result

    def _cell(self, m: Module, gates: list[Signal]) -> Signal:
        """Read c, form ``f * c + i * g``, write it back."""
        design, gate, state = self.design, self.design.gate, self.design.state
        depth = design.state_depth
        m.submodules.cells = cells = Memory(shape=signed(state.width), depth=depth, init=[])
        read, write = cells.read_port(), cells.write_port()
        stage = block_stage(design.deep, depth)
        unit = delayed(m, self.unit, self._gates_delay - 1 - stage, reset=True)
        m.d.comb += read.addr.eq(unit.cell)
        unit = delayed(m, unit, 1 + stage, reset=True)
        i, f, g, _ = gates
        kept = Signal(signed(gate.width + state.width), reset_less=True)
        added = Signal(signed(2 * gate.width), reset_less=True)
        old = Mux(unit.zero, 0, delayed(m, read.data, stage))
        m.d.sync += [kept.eq(f * old), added.eq(i * g)]
        lift = lift_of(design)
        summed = Signal(signed(gate.width + state.width + lift + 1), reset_less=True)
        early = self.pre_delay(design)
        reach = self._later_reach(m, self._reach_pre, self._gates_delay + 1 - early)
        sums = m.d.comb if design.shallow else m.d.sync
        sums += summed.eq((kept << lift) + lifted(m, design, added, reach))
        total = delayed(m, rounded(summed, gate.frac + lift), self._deep)
        cell = Signal(signed(state.width), reset_less=True)
        clipped = saturated(m, total, state.width, "clipped_c")
        self._clips.append((self._cell_delay - 1, clipped != total))
        m.d.sync += cell.eq(clipped)
        late = self._cell_delay - self._gates_delay - 1
        self._reach_cell = self._later_reach(m, reach, late)
        unit = delayed(m, unit, self._cell_delay - self._gates_delay, reset=True)
        load = delayed(m, self.load, self._deep, reset=True)
        m.d.comb += [
            write.en.eq(unit.valid | load.en),
            write.addr.eq(Mux(load.en, load.addr, unit.cell)),
            write.data.eq(Mux(load.en, load.data, cell)),
        ]
        return cell

    def _hidden(self, m: Module, o: Signal, cell: Signal) -> None:
        """Form ``o * tanh(c)``; the cell state waits for it."""
        gate = self.design.gate
        of = "activation_c"
        tanh = activation(m, self.design, of, "tanh", cell, self._reach_cell).result
        o = delayed(m, o, self._cell_delay - self._gates_delay + self._activation)
        product = Signal(signed(2 * gate.width), reset_less=True)
        total = delayed(m, rounded(product, gate.frac), self._deep)
        clipped = saturated(m, total, gate.width, "clipped_h")
        self._clips.append((self._latency - 1, clipped != total))
        m.d.sync += product.eq(o * tanh)
        m.d.comb += [
            self.hidden.eq(registered(m, clipped)),
            self.cell.eq(delayed(m, cell, self._latency - self._cell_delay)),
        ]

    def model(
        self, sums: Gates, bias: Gates, shift: PerGate, c: IntArray, reach: int = 0
    ) -> tuple[IntArray, IntArray]:
        """Bit-exact update of units; see :class:`csb_format.cells.lstm.CellArithmetic`.

        Parameters
        ----------
        sums, bias : four int64 arrays
            For gates i, f, g, o: exact sums of products, biases in ``state`` format.
        shift : four int
        c : int64 array
        reach : int
            Which of the design's.

        Returns
        -------
        h, c : int64 arrays
        """
        arithmetic = self.design.arithmetics[reach]
        i, f, g, o = (
            arithmetic.preactivation(s, b, n) for s, b, n in zip(sums, bias, shift, strict=True)
        )
        return arithmetic.step((i, f, g, o), c)
