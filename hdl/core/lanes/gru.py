"""The element-wise lane of a GRU: it takes the rows of a unit one after the other."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from compiler.array.design import Design
from compiler.array.latency import (
    RAM,
    biased_delay,
    block_stage,
    candidate_delay,
    gates_delay,
    gru_latency,
    pre_delay,
    reset_delay,
)
from csb_format.cells.gru import GUARD

from ..activation import rounded, saturated
from ..pipeline import delayed, registered
from .ports import lane_ports
from .preactivation import preactivation
from .reaches import activation

__all__ = ["GruLane"]

R, Z, N = range(3)  # turns
NX, NH = 2, 3  # sums of the last


class GruLane(wiring.Component):
    """Bias, sigmoid and tanh, and the update of the state; one row of a unit a cycle.

    Gates r and z of the units of a slot are kept until the rows of n come, two slots later.

    Parameters
    ----------
    design : Design

    Members
    -------
    sums : In
        Of the ``units_per_slot`` units that this lane serves in a slot: the sum of a row, and
        beside it the one that was parked, where both go their own ways.
    unit : In
        Control of one row: which of the sums (``select``), its ``turn`` (r, z, n), whether the
        sums of n are ``swapped``; its cell, whether its old state is zero, and all shifts to
        ``state`` format; in a design of several reaches that of its layer. No backpressure.
    load : In
        Writes a kept state, while no unit is under way.
    bias : In
        Biases of r, z, n of the input and n of the state, ``bias_delay`` cycles after ``unit``.
    hidden, cell : Out
        New state, and as the lane keeps it, ``latency`` cycles after the ``unit`` of row n.
    taped : Out, of a design that trains recurrent layers
        Gates, and the recurrent sum of n, with them.
    clipped : Out
        With them, and as late behind the other rows: a value was saturated.
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
    latency = staticmethod(gru_latency)

    def __init__(self, design: Design):
        self.design = design
        self._deep = int(design.deep)
        self._gates_delay, self._reset_delay = gates_delay(design), reset_delay(design)
        self._candidate_delay, self._latency = candidate_delay(design), self.latency(design)
        super().__init__(lane_ports(design))

    @staticmethod
    def pre_signal(name: str) -> str:
        """The signal with the pre-activation of a sum, ``pre_delay`` cycles after ``unit``."""
        return "pre_nx" if name == "nx" else "pre"

    def elaborate(self, platform: object) -> Module:
        """Pre-activations, gates, candidate, state: each a few registers."""
        m = Module()
        self._clips: list[tuple[int, Value, bool]] = []  # cycles after `unit`, flag, only of n
        last = self.unit.turn == N
        found = self.sums[self.unit.select]
        result, beside = found[0], found[1]
        crossed = last & self.unit.swapped
        turn = delayed(m, self.unit.turn, biased_delay(self.design))
        # of r and z there is one sum, of n that of the recurrent matrix
        chosen = [(R, R), (Z, Z), (N, NH)]
        given = Mux(crossed, beside, result), chosen
        pre = self._preactivation(m, "pre", *given, turn)
        given = Mux(crossed, result, beside), [(R, NX), (Z, NX), (N, NX)]
        input_ = self._preactivation(m, "pre_nx", *given, turn, only_last=True)
        r, z = self._gates(m, pre)
        candidate = self._candidate(m, r, pre, input_)
        self._state(m, z, candidate)
        if self.design.backward:
            self._tape(m, r, z, candidate, pre)
        self._count_clips(m)
        return m

    def _tape(self, m: Module, r: Value, z: Value, candidate: Signal, pre: Signal) -> None:
        """What a step back needs waits for the new state."""
        there = {
            "r": (r, self._gates_delay),
            "z": (z, self._gates_delay + 1),
            "n": (candidate, self._candidate_delay),
            "nh": (pre, self.pre_delay(self.design)),
        }
        for name, (value, at) in there.items():
            m.d.comb += self.taped[name].eq(delayed(m, value, self._latency - at))

    def _preactivation(
        self,
        m: Module,
        name: str,
        given: Value,
        chosen: list[tuple[int, int]],
        turn: Value,
        only_last: bool = False,
    ) -> Signal:
        """Shift a sum, add its bias, saturate; ``chosen`` are turns and the sums they have."""
        design = self.design
        of_sum = _choice(m, self.unit.turn, [(t, self.unit.shift[s]) for t, s in chosen], name)
        late = delayed(m, self.bias, biased_delay(design) - self.bias_delay)
        bias = _choice(m, turn, [(t, late[s]) for t, s in chosen], f"bias_{name}")
        pre, clips = preactivation(m, design, (name, name), given, of_sum, bias)
        self._clips.append((self.pre_delay(design) - 1, clips, only_last))
        return pre

    def _gates(self, m: Module, pre: Signal) -> tuple[Value, Value]:
        """Gates r, ``gates_delay`` cycles after the unit of row n, and z, one later."""
        design = self.design
        reach = self._reach_at(m, self.pre_delay(design))
        gates = activation(m, design, "activation_gate", "sigmoid", pre, reach)
        done = delayed(m, self.unit, self._gates_delay, reset=True)
        stage = block_stage(design.deep, design.units_per_slot)
        early = delayed(m, self.unit.select, self._gates_delay - 1 - stage)
        found = []
        for turn, name, late in ((R, "r", 0), (Z, "z", 1)):
            kept = Memory(
                shape=signed(design.gate.width), depth=max(2, design.units_per_slot), init=[]
            )
            m.submodules[f"kept_{name}"] = kept
            write, read = kept.write_port(), kept.read_port(transparent_for=())
            m.d.comb += [
                write.en.eq(done.valid & (done.turn == turn)),
                write.addr.eq(done.select),
                write.data.eq(gates.result),
                read.addr.eq(delayed(m, early, late)),
            ]
            found.append(delayed(m, read.data, stage))
        return found[0], found[1]

    def _candidate(self, m: Module, r: Value, pre: Signal, input_: Signal) -> Signal:
        """``tanh(nx + r * nh)``."""
        design, gate, state = self.design, self.design.gate, self.design.state
        wait = self._gates_delay - self.pre_delay(design)
        reset = Signal(signed(gate.width + state.width), reset_less=True)
        summed = Signal(signed(gate.width + state.width + 1), reset_less=True)
        argument = Signal(signed(state.width), reset_less=True)
        m.d.sync += [
            reset.eq(r * delayed(m, pre, wait)),
            summed.eq(reset + (delayed(m, input_, wait + 1) << gate.frac)),
        ]
        total = delayed(m, rounded(summed, gate.frac), self._deep)
        clipped = saturated(m, total, state.width, "clipped_n")
        self._clips.append((self._reset_delay - 1, clipped != total, True))
        m.d.sync += argument.eq(clipped)
        reach = self._reach_at(m, self._reset_delay)
        return activation(m, design, "activation_n", "tanh", argument, reach).result

    def _reach_at(self, m: Module, cycles: int) -> Value | None:
        """Of the layer of the unit that came so many cycles ago, where a design has several."""
        return delayed(m, self.unit.reach, cycles) if self.design.wider else None

    def _state(self, m: Module, z: Value, candidate: Signal) -> None:
        """Keep ``n + z * (h - n)``, and round it to h."""
        gate, kept = self.design.gate, self.design.arithmetic.kept
        read_ahead = self._candidate_delay - self._gates_delay
        old = self._old(m)
        n = candidate << GUARD
        apart = Signal(signed(kept.width + 1), reset_less=True)
        product = Signal(signed(gate.width + len(apart)), reset_less=True)
        summed = Signal(signed(kept.width + gate.frac + 1), reset_less=True)
        new = Signal(signed(kept.width), reset_less=True)
        m.d.sync += [
            apart.eq(old - n),
            product.eq(delayed(m, z, read_ahead) * apart),
            summed.eq(product + (delayed(m, n, 2) << gate.frac)),
            new.eq(delayed(m, rounded(summed, gate.frac), self._deep)),
        ]
        total = rounded(new, GUARD)
        clipped = saturated(m, total, gate.width, "clipped_h")
        self._clips.append((self._latency - 1, clipped != total, True))
        m.d.comb += [
            self.hidden.eq(registered(m, clipped)),
            self.cell.eq(registered(m, new)),
        ]
        self._keep(m, new)

    def _old(self, m: Module) -> Value:
        """The kept state, ``candidate_delay`` cycles after the unit of row n."""
        design, depth = self.design, self.design.state_depth
        shape = signed(design.state.width)
        m.submodules.cells = self._cells = cells = Memory(shape=shape, depth=depth, init=[])
        read, stage = cells.read_port(), block_stage(design.deep, depth)
        unit = delayed(m, self.unit, self._candidate_delay - 1 - stage, reset=True)
        m.d.comb += read.addr.eq(unit.cell)
        return Mux(delayed(m, unit.zero, 1 + stage), 0, delayed(m, read.data, stage))

    def _keep(self, m: Module, new: Signal) -> None:
        """Write the new state back, or what is loaded."""
        write = self._cells.write_port()
        unit = delayed(m, self.unit, self._latency - 1, reset=True)
        load = delayed(m, self.load, self._deep, reset=True)
        m.d.comb += [
            write.en.eq(unit.valid & unit.ready | load.en),
            write.addr.eq(Mux(load.en, load.addr, unit.cell)),
            write.data.eq(Mux(load.en, load.data, new)),
        ]

    def _count_clips(self, m: Module) -> None:
        """Whether any value of a row was clipped, when it leaves."""
        valid = delayed(m, self.unit.valid, self._latency, reset=True)
        last = delayed(m, self.unit.ready, self._latency)
        flags = [
            delayed(m, flag, self._latency - at) & (last if only_last else 1)
            for at, flag, only_last in self._clips
        ]
        m.d.comb += self.clipped.eq(valid & Cat(*flags).any())


def _choice(m: Module, turn: Value, of: list[tuple[int, Value]], name: str) -> Signal:
    """The value of a turn."""
    found = Signal(of[0][1].shape(), name=f"of_{name}")
    with m.Switch(turn):
        for at, value in of:
            with m.Case(at):
                m.d.comb += found.eq(value)
    return found
