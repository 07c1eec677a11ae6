"""Runs a model's Verilog on real sequences and holds it against model and cycle model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.lower.image import Image
from compiler.timing.cycle_model import Schedule
from csb_format import IntArray
from engine.levels import run_levels
from engine.reference import IntegerModel, Trace
from hdl.verilog import VerilogFiles

from ..run.errors import Hang, SimulationError
from ..run.scenario import Job, Progress, Stage
from ..run.streams import Pauses
from ..run.verilog import VerilogRun
from . import engines
from .checks import Bench
from .compare import Comparison, Mismatch, compare, states_screened
from .diagnose import diagnose, diagnose_program

__all__ = ["CycleMismatch", "Verification", "verify"]

Simulate = Callable[..., VerilogRun]
BATCHED = "replays do not follow frames of several streams that are worked on together"
SLACK = 5000  # cycles beyond the schedule in which nothing moves, and it is not yet a hang


@dataclass(frozen=True)
class CycleMismatch:
    """A frame that did not leave in the cycle that the model says.

    Parameters
    ----------
    frame, expected, got : int
    where : str
        What the controller first did otherwise, and in which cycle.
    """

    frame: int
    expected: int
    got: int
    where: str = ""

    def __str__(self) -> str:
        text = f"frame {self.frame} left in cycle {self.got}, the cycle model says {self.expected}"
        return text + (f"; {self.where}" if self.where else "")


@dataclass(frozen=True)
class Verification:
    """What a run has shown.

    Parameters
    ----------
    simulator : str
    sequences, frames : int
    comparison : Comparison
        Of all states.
    run : VerilogRun
        Its cycles and times.
    steps : int64 array (frames - 1,)
        Cycles from frame to frame, measured.
    cycle_mismatch : CycleMismatch, optional
        The first frame whose cycle differs from the model; not checked with stalls.
    stimulus : Stimulus
        What went in, with the cycles in which the model says it runs (``schedule``).
    traces : list of lists of Trace
        What the model makes of it, of each level all sequences.
    before : tuple of Verification
        Of two directions each level is a run of its own: those of the levels before.
    beside : tuple of Verification
        Of first sequences that other engines have run too.
    apart : str
        Where another engine first gave something else, or in another cycle; empty if none did.
    """

    simulator: str
    sequences: int
    frames: int
    comparison: Comparison
    run: VerilogRun
    steps: IntArray
    cycle_mismatch: CycleMismatch | None
    stimulus: Stimulus
    traces: list[list[Trace]]
    before: tuple[Verification, ...] = ()
    beside: tuple[Verification, ...] = ()
    apart: str = ""

    @property
    def exact(self) -> bool:
        """Whether every state and every cycle is as predicted, on all engines that ran."""
        mine = self.comparison.mismatches == 0 and self.cycle_mismatch is None
        return mine and not self.apart and all(other.exact for other in self.beside)

    @property
    def mismatches(self) -> int:
        """States of this run that differ."""
        return self.comparison.mismatches

    @property
    def first(self) -> Mismatch | None:
        """The first mismatch."""
        return self.comparison.first

    @property
    def runs(self) -> tuple[Verification, ...]:
        """All runs, this one last."""
        return (*self.before, self)

    @property
    def schedule(self) -> Schedule:
        """When everything happens without pauses, by the cycle model."""
        return self.stimulus.schedule


def verify(
    model: IntegerModel,
    image: Image,
    files: VerilogFiles,
    sequences: Sequence[IntArray],
    work: Path,
    *,
    simulator: str = engines.ENGINE,
    load: bool = False,
    idle: Pauses | None = None,
    stall: Pauses | None = None,
    contexts: int = 1,
    progress: Progress | None = None,
    simulate: Simulate | None = None,
    builds: Path | None = None,
    stage: Stage | None = None,
) -> Verification:
    """Simulate sequences, compare every state with the model and every cycle with its schedule.

    Parameters
    ----------
    model : IntegerModel
    image : Image
        Of the same model.
    files : VerilogFiles
        Emitted from the image's design.
    sequences : sequence of int64 arrays (T, X)
        At least one, each starting from a zero state.
    work : Path
        Folder for the simulator.
    simulator : {"verilator-free", "verilator", "icarus"}
        See :mod:`sim.check.engines`.
    load : bool
        Load the memories through the ``load`` stream first.
    idle, stall : Pauses, optional
        Of the source and the sink; cycles are not checked then.
    contexts : int
        Sequences that run at a time, a frame of each in turn.
    progress : callable, optional
        Told the number of output beats.
    simulate : callable, optional
        What runs a job, with the parameters of :func:`sim.check.engines.simulate`, which runs it by
        default.
    builds : Path, optional
        Where builds are kept, if not in ``work``.
    stage : callable, optional
        Told ``models``, ``build``, ``run``, ``compare`` and ``diagnose`` as each begins, for every
        level.

    Returns
    -------
    Verification
        A mismatch is diagnosed down to layer, step, gate, row, bank and cycle, a frame out of
        schedule down to the instruction, where a replay without pauses shows it.

    Raises
    ------
    SimulationError
        If a simulator cannot be run.
    Hang
        If the accelerator hangs; the message ends with where its controller first left the
        schedule.
    WireError
        If what it gives cannot be read.
    """
    tell = stage or (lambda name: None)
    tell("models")
    traces = run_levels(model, sequences)
    paused = bool((idle and idle.share) or (stall and stall.share))
    bench = Bench(files, work, load=load, builds=builds)
    before: tuple[Verification, ...] = ()
    for part in range(len(image.parts)):
        if part:
            tell("models")
        inputs = [trace.output for trace in traces[part - 1]] if part else sequences
        stimulus = Stimulus.of(image, inputs, part, contexts=contexts)
        if image.screen:
            stimulus = stimulus.screening(states_screened(stimulus, traces))
        schedule = stimulus.schedule
        job = Job.of(image, stimulus, load=load, idle=idle, stall=stall)
        if not paused:  # something moves in every step
            longest = int(np.diff(schedule.frame_done, prepend=0).max())
            job = replace(job, limit=2 * longest + SLACK)
        try:
            if simulate is not None:
                run = simulate(files, job, work, progress=progress)
            else:
                run = engines.simulate(
                    files, job, work, simulator=simulator, progress=progress, builds=builds,
                    stage=stage,
                )  # fmt: skip
        except Hang as error:
            tell("diagnose")
            raise _explained(error, stimulus, bench) from error
        tell("compare")
        comparison = compare(stimulus, run.outcome, traces)
        if comparison.first is not None:
            tell("diagnose")
            first = _diagnosed(model, stimulus, traces, comparison.first, bench)
            comparison = replace(comparison, first=first)
        cycles = run.outcome.frame_cycles(image, part)
        wrong = None if paused else _check_cycles(stimulus, cycles, bench)
        steps, counts = np.diff(cycles), (len(sequences), len(cycles))
        now = Verification(
            simulator, *counts, comparison, run, steps, wrong, stimulus, traces, before
        )
        if not now.exact:
            return now
        before = (*before, now)
    return before[-1]


def _explained(error: Hang, stimulus: Stimulus, bench: Bench) -> Hang:
    """A hang with the reason."""
    if stimulus.image.design.batched:
        return Hang(f"{error}\nnot diagnosed ({BATCHED})")
    try:
        reason = diagnose_program(stimulus, bench)
    except SimulationError:  # not even a frame is taken
        reason = "no frame is taken; look at the first instructions of the program"
    return Hang(f"{error}\n{reason}" if reason else str(error))


def _diagnosed(
    model: IntegerModel,
    stimulus: Stimulus,
    traces: list[list[Trace]],
    first: Mismatch,
    bench: Bench,
) -> Mismatch:
    """The mismatch with its cause; as it is, with the reason, where a replay is impossible."""
    if not model.model.equals(stimulus.image.model):
        return replace(first, where="not diagnosed (the image is of another model)")
    if stimulus.image.design.batched:
        return replace(first, where=f"not diagnosed ({BATCHED})")
    if first.state in ("index", "logit"):
        return replace(first, where="all states up to here are right; look at the screen unit")
    try:
        return diagnose(stimulus, traces, first, bench)
    except SimulationError as error:
        reason = str(error).partition("\n")[0]
        return replace(first, where=f"not diagnosed ({reason})")


def _check_cycles(stimulus: Stimulus, cycles: IntArray, bench: Bench) -> CycleMismatch | None:
    """The first frame out of schedule."""
    schedule = stimulus.schedule
    wrong = np.flatnonzero(cycles != schedule.frame_done)
    if not len(wrong):
        return None
    frame = int(wrong[0])
    found = CycleMismatch(frame, int(schedule.frame_done[frame]), int(cycles[frame]))
    if stimulus.image.design.batched:
        return replace(found, where=f"not diagnosed ({BATCHED})")
    try:
        # with one frame more, as its passes run in the waits of the one before
        where = diagnose_program(stimulus.only(np.arange(len(cycles)) < frame + 2), bench)
    except SimulationError as error:
        where = f"not diagnosed ({str(error).partition(chr(10))[0]})"
    return replace(found, where=where)
