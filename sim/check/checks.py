"""What must be on signals inside the accelerator, cycle by cycle, in a replay of some frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.abi.states import Outcome
from compiler.array.latency import Latencies, projector_exact
from compiler.array.program import Instruction, Place, Sink
from compiler.timing.issued import Issued, issued
from csb_format import IntArray
from engine.reference import LayerModel, Trace
from hdl.core.layouts import instruction_layout
from hdl.verilog import VerilogFiles

from ..run.scenario import Job
from ..run.verilog import simulate_verilog
from .compare import expected_states

__all__ = ["Bench", "Check", "ElementCheck", "ProgramCheck", "Replay", "first_wrong"]

WAITS = ("an input frame", "states", "room in the output buffer", "a word of the matrices")
WAITING = "controller.waits"
# a replay stands still no longer than it takes to fill the buffers
PATIENCE = 10_000


@dataclass(frozen=True)
class Check:
    """A value that must be on a signal in a cycle.

    Parameters
    ----------
    signal : str
    cycle : int
        From the first frame beat on.
    value : int
    width : int
        Bits that count.
    signed : bool
    low : int
        The lowest of them.
    """

    signal: str
    cycle: int
    value: int
    width: int
    signed: bool
    low: int = 0

    def got(self, outcome: Outcome) -> int | str:
        """What a run has on the signal."""
        raw = outcome.probed[self.signal][self.cycle]
        if raw < 0:
            return "unknown"
        raw = raw >> self.low & ((1 << self.width) - 1)
        return raw - (raw >> (self.width - 1) << self.width) if self.signed else raw


@dataclass(frozen=True, kw_only=True)
class ProgramCheck(Check):
    """Of what the controller does.

    Parameters
    ----------
    run : Issued
        What it must do then.
    """

    run: Issued


@dataclass(frozen=True, kw_only=True)
class ElementCheck(Check):
    """Of one element of a vector, as its lane puts it out.

    Parameters
    ----------
    run : Issued
        The pass that makes it.
    beat, lane : int
    element : int
        Of the vector.
    state : {"h", "c", "r", "y", "v", "a0", ...}
        As in :class:`~sim.check.compare.Mismatch`.
    """

    run: Issued
    beat: int
    lane: int
    element: int
    state: str


def first_wrong(outcome: Outcome, checks: Iterable[Check]) -> Check | None:
    """The earliest check that fails; of those in one cycle the first given."""
    wrong = (check for check in checks if check.got(outcome) != check.value)
    return min(wrong, key=lambda check: check.cycle, default=None)


@dataclass(frozen=True)
class Bench:
    """Hardware on which frames can be replayed.

    Parameters
    ----------
    files : VerilogFiles
    work : Path
        Folder for the simulator.
    simulator : {"icarus", "verilator"}
    load : bool
        Load the memories through the ``load`` stream first.
    builds : Path, optional
        Where builds are kept, if not in ``work``.
    """

    files: VerilogFiles
    work: Path
    simulator: str = "icarus"
    load: bool = False
    builds: Path | None = None

    def probe(self, stimulus: Stimulus, checks: Sequence[Check]) -> Outcome:
        """Run frames for what checks ask about, without pauses.

        Raises
        ------
        SimulationError
            If no frame is taken at all.
        """
        job = replace(
            Job.of(stimulus.image, stimulus, load=self.load),
            probes=sorted({WAITING, *(check.signal for check in checks)}),
            cycles=max(check.cycle for check in checks) + 1,
            limit=PATIENCE,
        )
        run = simulate_verilog(
            self.files, job, self.work, simulator=self.simulator, probe=True, builds=self.builds
        )
        return run.outcome


class Replay:
    """What must happen when frames run without pauses.

    Parameters
    ----------
    stimulus : Stimulus
    traces : sequence of sequences of Trace
        Of each level all sequences.
    """

    def __init__(self, stimulus: Stimulus, traces: Sequence[Sequence[Trace]]):
        self.stimulus, self.image, self.part = stimulus, stimulus.image, stimulus.part
        self.latencies = Latencies(self.image.design)
        self._traces = traces
        self._states: dict[tuple[int, str], IntArray] = {}

    @cached_property
    def runs(self) -> list[Issued]:
        """All passes."""
        return issued(self.image, self.part, self.stimulus.schedule)

    def layer(self, run: Issued) -> int:
        """Number, among the model's layers, of the one whose results a pass gives."""
        return self.image.parts[self.part].layers[run.given.layer]

    def states(self, layer: int, state: str) -> IntArray:
        """Of every frame a state of a layer; see :func:`~sim.check.compare.expected_states`."""
        if (layer, state) not in self._states:
            made = self._resets if state == "v" else self._given
            self._states[layer, state] = made(layer, state)
        return self._states[layer, state]

    def _given(self, layer: int, state: str) -> IntArray:
        return expected_states(self.stimulus, layer, state, self._traces)

    def _resets(self, layer: int, state: str) -> IntArray:
        """Of every frame ``r * h``, from its input and the states of the step before."""
        layers, fed = self.image.parts[self.part].layers, self.image.model.directions == 2
        index = layers.index(layer)
        frames = np.asarray(self.stimulus.frames)[:, index if fed else 0]
        x = frames if fed or index == 0 else self.states(layers[index - 1], "r")
        before = replace(self.stimulus, step=np.maximum(self.stimulus.step - 1, 0))
        r, c = (expected_states(before, layer, name, self._traces) for name in "rc")
        first = np.asarray(self.stimulus.first, bool)[:, None]
        r, c = np.where(first, 0, r), np.where(first, 0, c)
        return LayerModel(self.image.model.layers[layer]).reset(x, r, c)

    def vector(self, run: Issued) -> IntArray | None:
        """What a pass reads, int64 (columns,); None where the state before is taken as zero."""
        kind, index = run.given.reads
        frame = run.frame
        if kind == "frame":
            return np.asarray(self.stimulus.frames[frame, index])
        if kind == "linear":
            return np.asarray(self.states(self.layer(run), f"a{index}")[frame])
        layer = self.image.parts[self.part].layers[index]
        if run.instruction.source_kind != Place.OLD:
            name = {"hidden": "h", "reset": "v", "state": "r"}[kind]
            return np.asarray(self.states(layer, name)[frame])
        if self.stimulus.first[frame]:
            return None
        now = self.stimulus.only(np.array([frame]))
        before = replace(now, step=now.step - 1)
        return np.asarray(expected_states(before, layer, "r", self._traces)[0])

    def elements(self) -> Iterator[ElementCheck]:
        """Every element that lanes and projectors put out."""
        for run in self.runs:
            if run.given.sink == Sink.PARK:
                continue
            placement = run.given.placement
            order = placement.order[: placement.beats * placement.lanes]
            beats = order.reshape(placement.beats, placement.lanes)
            for signal, state, delay, width in self._outputs(run):
                cycles = run.deals(self.latencies) + delay
                values = self.states(self.layer(run), state)[run.frame]
                for beat, lane in np.argwhere(beats >= 0).tolist():
                    element = int(beats[beat, lane])
                    where = (signal.format(lane), int(cycles[beat]), int(values[element]), width)
                    yield ElementCheck(
                        *where,
                        signed=True,
                        run=run,
                        beat=beat,
                        lane=lane,
                        element=element,
                        state=state,
                    )

    def _outputs(self, run: Issued) -> list[tuple[str, str, int, int]]:
        """Signal, state, cycles after the deal and bits of what comes out of lanes."""
        design = self.image.design
        if run.given.sink == Sink.UNITS:
            after = self.latencies.lane(Sink.UNITS)
            if run.given.writes is None:  # a gate, which stays in the lanes
                return []
            if run.given.writes[0] == "reset":
                return [("lane{}.hidden", "v", after, design.gate.width)]
            return [
                ("lane{}.hidden", "h", after, design.gate.width),
                ("lane{}.cell", "c", after, design.state.width),
            ]
        if run.given.writes:
            kind, index = run.given.writes
            state = f"a{index}" if kind == "linear" else "r"
            after = self.latencies.lane(Sink.PROJECT)
            return [("projector{}.value", state, after, design.act_bits)]
        return [("projector{}.exact", "y", projector_exact(design), design.forward_bits)]

    def program(self) -> Iterator[ProgramCheck]:
        """Every instruction that starts, every group that is issued."""
        design = self.image.design
        words, width = self.image.memories["program"], instruction_layout(design).size
        for run in self.runs:
            start, word = run.issue.start, words[run.issue.address]
            yield ProgramCheck("controller.now", start, word, width, False, run=run)
            for slot in run.slots:
                for group in range(run.groups(slot)):
                    cycle, place = run.cycle(slot, group), run.word(slot, group)
                    # the lowest bit of `group` is `valid`
                    yield ProgramCheck("controller.group", cycle, 1, 1, False, run=run)
                    yield ProgramCheck("controller.address", cycle, place, 32, False, run=run)

    def explain(self, check: ProgramCheck, outcome: Outcome) -> str:
        """What a failed check of the program means."""
        run, address = check.run, check.run.issue.address
        who = f"instruction {address} ({run.given.name})"
        got = check.got(outcome)
        if got == "unknown":
            return f"{check.signal} is unknown, {who} should run"
        if check.signal == "controller.now":
            return self._difference(who, address, outcome.probed[check.signal][check.cycle])
        if check.signal == "controller.address":
            return f"{who} reads group {got} of the matrices, should read {check.value}"
        waits = outcome.probed[WAITING][check.cycle]
        reasons = [text for bit, text in enumerate(WAITS) if waits >> bit & 1]
        return f"{who} issues nothing" + (f", it waits for {reasons[0]}" if reasons else "")

    def _difference(self, who: str, address: int, word: int) -> str:
        design = self.image.design
        if word in self.image.memories["program"]:
            other = self.image.memories["program"].index(word)
            return f"instruction {other} runs, should be {who}"
        try:
            got = Instruction.decode(word, design)
        except ValueError as error:
            return f"{who} is 0x{word:x}: {error}"
        want = self.image.program[address]
        parts = [
            f"{field.name} is {_plain(getattr(got, field.name))}, "
            f"should be {_plain(getattr(want, field.name))}"
            for field in fields(Instruction)
            if getattr(got, field.name) != getattr(want, field.name)
        ]
        return f"{who}: {'; '.join(parts)}"


def _plain(value: object) -> str:
    """A field as people write it."""
    return str(getattr(value, "name", value))
