"""The element-wise lane of a GRU whose reset comes first: a row of one gate a cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from compiler.array.design import Design, bits_for
from compiler.array.latency import (
    RAM,
    biased_delay,
    block_stage,
    gates_delay,
    pre_delay,
    reset_first_latency,
)
from csb_format.cells.gru import GUARD

from ..activation import rounded, saturated
from ..pipeline import delayed, registered
from .ports import lane_ports
from .preactivation import preactivation
from .reaches import activation

__all__ = ["ResetFirstGruLane"]

R, Z, N = range(3)  # passes, and sums


class ResetFirstGruLane(wiring.Component):
    """Bias, sigmoid or tanh, and one product: ``r * h``, or the update of the state.

    A pass has rows of one gate. Those of z are kept, for all units, until those of n come.

    Parameters
    ----------
    design : Design

    Members
    -------
    sums : In
        Of the ``units_per_slot`` units that this lane serves in a slot: the sum of a row.
    unit : In
        Control of one row: which of the sums (``select``), of which pass (``kind``: r, z, n); its
        cell, whether its old state is zero, and the shift to ``state`` format; in a design of
        several reaches that of its layer. No backpressure.
    load : In
        Writes a kept state, while no unit is under way.
    bias : In
        Biases of r, z and n, ``bias_delay`` cycles after ``unit``.
    hidden, cell : Out
        Of a row of n the new state, and as the lane keeps it, ``latency`` cycles after ``unit``;
        of a row of r ``hidden`` is ``r * h``, as late.
    clipped : Out
        As late, of all rows: a value was saturated.
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
    latency = staticmethod(reset_first_latency)

    def __init__(self, design: Design):
        self.design = design
        self._deep = int(design.deep)
        self._gates_delay, self._latency = gates_delay(design), self.latency(design)
        super().__init__(lane_ports(design))

    @staticmethod
    def pre_signal(name: str) -> str:
        """The signal with the pre-activation of a sum, ``pre_delay`` cycles after ``unit``."""
        return "pre"

    def elaborate(self, platform: object) -> Module:
        """Pre-activation, gate, product, rounding: each a few registers."""
        m = Module()
        self._clips: list[tuple[int, Value, bool]] = []  # cycles after `unit`, flag, only of n
        self._at = [self.unit]
        for _ in range(self._latency):
            self._at.append(registered(m, self._at[-1], reset=True))
        gate = self._gate(m)
        product = self._product(m, gate, self._old(m), self._update_gate(m, gate))
        self._results(m, product)
        self._count_clips(m)
        return m

    def _is(self, kind: int, cycle: int) -> Value:
        """Whether the row that came so many cycles ago is of a pass."""
        return self._at[cycle].kind == kind

    def _gate(self, m: Module) -> Signal:
        """The row's gate, ``gates_delay`` cycles after it."""
        design, ready = self.design, self.pre_delay(self.design)
        early = biased_delay(design)
        late = delayed(m, self.bias, early - self.bias_delay)
        bias = Signal(signed(design.state.width), name="of_bias")
        with m.Switch(self._at[early].kind):
            for kind in (R, Z, N):
                with m.Case(kind):
                    m.d.comb += bias.eq(late[kind])
        total = self.sums[self.unit.select][0]
        pre, clips = preactivation(m, design, ("pre", "pre"), total, self.unit.shift[0], bias)
        self._clips.append((ready - 1, clips, False))
        reach = self._at[ready].reach if design.wider else None
        found = activation(m, design, "activation", "both", pre, reach)
        m.d.comb += found.tanh.eq(self._is(N, ready))
        return found.result

    def _update_gate(self, m: Module, gate: Signal) -> Value:
        """Gate z, one cycle after a gate of n; that of the row before may be its own."""
        design = self.design
        stage, place = block_stage(design.deep, design.cells), bits_for(design.cells)
        m.submodules.kept_z = kept = Memory(
            shape=signed(design.gate.width), depth=design.cells, init=[]
        )
        write = kept.write_port()
        # of a memory with a register of its own a word is read in the cycle of its write
        read = kept.read_port(transparent_for=(write,) if stage else ())
        done, early = self._at[self._gates_delay], self._at[self._gates_delay - stage]
        m.d.comb += [
            write.en.eq(done.valid & self._is(Z, self._gates_delay)),
            write.addr.eq(done.cell[:place]),
            write.data.eq(gate),
            read.addr.eq(early.cell[:place]),
        ]
        return delayed(m, read.data, stage)

    def _old(self, m: Module) -> Value:
        """The kept state, with the gate."""
        design, depth = self.design, self.design.state_depth
        shape = signed(design.state.width)
        m.submodules.cells = self._cells = cells = Memory(shape=shape, depth=depth, init=[])
        read, stage = cells.read_port(), block_stage(design.deep, depth)
        m.d.comb += read.addr.eq(self._at[self._gates_delay - 1 - stage].cell)
        return Mux(self._at[self._gates_delay].zero, 0, delayed(m, read.data, stage))

    def _product(self, m: Module, gate: Signal, old: Value, z: Value) -> Signal:
        """``r * h``, or ``n + z * (h - n)``, exact, three cycles after the gate."""
        frac, kept, now = self.design.gate.frac, self.design.arithmetic.kept, self._gates_delay
        n = gate << GUARD
        apart = Signal(signed(kept.width + 1), reset_less=True)
        product = Signal(signed(self.design.gate.width + len(apart)), reset_less=True)
        summed = Signal(signed(kept.width + frac + 1), reset_less=True)
        m.d.sync += [
            apart.eq(Mux(self._is(N, now), old - n, old)),
            product.eq(Mux(self._is(N, now + 1), z, registered(m, gate)) * apart),
            summed.eq(product + Mux(self._is(N, now + 2), delayed(m, n, 2) << frac, 0)),
        ]
        return summed

    def _results(self, m: Module, summed: Signal) -> None:
        """Round the state and keep it, round it to h; or round ``r * h`` once."""
        gate, kept, last = self.design.gate, self.design.arithmetic.kept, self._latency - 1
        new = Signal(signed(kept.width), reset_less=True)
        reset = Signal(signed(gate.width), reset_less=True)
        m.d.sync += [
            new.eq(delayed(m, rounded(summed, gate.frac), self._deep)),
            reset.eq(delayed(m, rounded(summed, gate.frac + GUARD), self._deep)),
        ]
        total = rounded(new, GUARD)
        clipped = saturated(m, total, gate.width, "clipped_h")
        self._clips.append((last, clipped != total, True))
        m.d.comb += [
            self.hidden.eq(registered(m, Mux(self._is(N, last), clipped, reset))),
            self.cell.eq(registered(m, new)),
        ]
        self._keep(m, new)

    def _keep(self, m: Module, new: Signal) -> None:
        """Write the new state back, or what is loaded."""
        write, unit = self._cells.write_port(), self._at[self._latency - 1]
        load = delayed(m, self.load, self._deep, reset=True)
        m.d.comb += [
            write.en.eq(unit.valid & (unit.kind == N) | load.en),
            write.addr.eq(Mux(load.en, load.addr, unit.cell)),
            write.data.eq(Mux(load.en, load.data, new)),
        ]

    def _count_clips(self, m: Module) -> None:
        """Whether any value of a row was clipped, when it leaves."""
        last = self._is(N, self._latency)
        flags = [
            delayed(m, flag, self._latency - at) & (last if only_last else 1)
            for at, flag, only_last in self._clips
        ]
        m.d.comb += self.clipped.eq(self._at[self._latency].valid & Cat(*flags).any())
