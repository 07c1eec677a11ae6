"""Runs a model's Verilog on real sequences and holds it against model and cycle model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from csb_format import IntArray
from hdl.compiler import Image
from hdl.verilog import VerilogFiles

from .compare import Comparison, Mismatch, compare
from .cycle_model import CycleModel
from .diagnose import diagnose
from .integer_model import IntegerModel
from .scenario import Job, Progress, SimulationError
from .streams import Pauses
from .verilog import VerilogRun, simulate_verilog

__all__ = ["CycleMismatch", "Verification", "verify"]


@dataclass(frozen=True)
class CycleMismatch:
    """A frame that did not leave in the cycle that the model says."""

    frame: int
    expected: int
    got: int

    def __str__(self) -> str:
        return f"frame {self.frame} left in cycle {self.got}, the cycle model says {self.expected}"


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
    """

    simulator: str
    sequences: int
    frames: int
    comparison: Comparison
    run: VerilogRun
    steps: IntArray
    cycle_mismatch: CycleMismatch | None

    @property
    def exact(self) -> bool:
        """Whether every state and every cycle is as predicted."""
        return self.comparison.mismatches == 0 and self.cycle_mismatch is None

    @property
    def first(self) -> Mismatch | None:
        """The first mismatch."""
        return self.comparison.first


def verify(
    model: IntegerModel,
    image: Image,
    files: VerilogFiles,
    sequences: Sequence[IntArray],
    work: Path,
    *,
    simulator: str = "verilator",
    load: bool = False,
    idle: Pauses | None = None,
    stall: Pauses | None = None,
    progress: Progress | None = None,
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
    simulator : {"verilator", "icarus"}
    load : bool
        Load the memories through the ``load`` stream first.
    idle, stall : Pauses, optional
        Of the source and the sink; cycles are not checked then.
    progress : callable, optional
        Told the number of output beats.

    Returns
    -------
    Verification
        A mismatch is diagnosed down to gate, row, bank and cycle, where a replay of its
        sequence from the images shows it.
    """
    job = Job.of(image, sequences, load=load, idle=idle, stall=stall)
    run = simulate_verilog(files, job, work, simulator=simulator, progress=progress)
    comparison = compare(image, run.outcome, model.run(sequences))
    first = comparison.first
    if first is not None and files.images:
        sequence = sequences[first.sequence]
        comparison = replace(
            comparison, first=_diagnosed(model, image, files, sequence, first, work)
        )
    cycles = run.outcome.frame_cycles(image)
    paused = bool((idle and idle.share) or (stall and stall.share))
    wrong = None if paused else _check_cycles(image, cycles)
    return Verification(
        simulator, len(sequences), len(cycles), comparison, run, np.diff(cycles), wrong
    )


def _diagnosed(
    model: IntegerModel,
    image: Image,
    files: VerilogFiles,
    sequence: IntArray,
    first: Mismatch,
    work: Path,
) -> Mismatch:
    """The mismatch with its cause; as it is, with the reason, where a replay is impossible."""
    try:
        return diagnose(model, image, files, sequence, first, work)
    except SimulationError as error:
        reason = str(error).partition("\n")[0]
        return replace(first, where=f"not diagnosed ({reason})")


def _check_cycles(image: Image, cycles: IntArray) -> CycleMismatch | None:
    """The first frame out of schedule."""
    expected = CycleModel(image).run(len(cycles)).frame_done
    wrong = np.flatnonzero(cycles != expected)
    if not len(wrong):
        return None
    frame = int(wrong[0])
    return CycleMismatch(frame, int(expected[frame]), int(cycles[frame]))
