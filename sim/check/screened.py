"""Runs the Verilog of an array with a screen unit, and holds it against model and cycle model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.array.screen import ScreenDesign
from compiler.lower.screened import ScreenedImage
from compiler.timing.screen_cycles import ScreenCycles, ScreenedSchedule
from csb_format import IntArray
from engine.levels import run_levels
from engine.reference import IntegerModel
from hdl.verilog import VerilogFiles

from ..run.scenario import Job
from ..run.streams import Pauses
from . import engines

__all__ = ["Pairs", "ScreenedVerification", "pairs_of", "verify_screened"]

Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class ScreenedVerification:
    """What a run has shown.

    Parameters
    ----------
    simulator : str
    frames, top : int
    wrong : tuple of int
        Frames whose outputs, order or logits are not those of the full layer.
    late : tuple of int
        Frames whose last result left in another cycle than the model says; none with pauses.
    cycles : int64 array (frames,)
        In which the last result of each left; cycle 0 takes the first beat.
    """

    simulator: str
    frames: int
    top: int
    wrong: tuple[int, ...]
    late: tuple[int, ...]
    cycles: IntArray

    @property
    def exact(self) -> bool:
        """Whether every result and every cycle is as predicted."""
        return not self.wrong and not self.late


def verify_screened(
    image: ScreenedImage,
    files: VerilogFiles,
    sequences: Sequence[IntArray],
    work: Path,
    *,
    simulator: str = engines.ENGINE,
    idle: Pauses | None = None,
    stall: Pauses | None = None,
    builds: Path | None = None,
) -> ScreenedVerification:
    """Simulate sequences, compare the largest logits of every frame, and its cycle.

    What is compared with are all logits of the full layer, sorted.

    Parameters
    ----------
    image : ScreenedImage
    files : VerilogFiles
        Of a :class:`~hdl.core.screen.core.ScreenedCore` with this image.
    sequences : sequence of int64 arrays (T, X)
        Each from a zero state.
    work : Path
        Folder for the simulator.
    simulator : {"verilator-free", "verilator", "icarus"}
    idle, stall : Pauses, optional
        Of source and sink; cycles are not checked then.
    builds : Path, optional
        Where builds are kept, if not in ``work``.

    Raises
    ------
    SimulationError
        If a simulator cannot be run, or the accelerator hangs.
    """
    design = image.screen.design
    stimulus = Stimulus.of(image.array, sequences)
    traces = run_levels(IntegerModel(image.array.model), sequences)[-1]
    places = zip(stimulus.sequence, stimulus.step, strict=True)
    states = np.stack([traces[n].output[step] for n, step in places])
    screened = ScreenCycles(design, image.screen.layer).run(states)
    schedule = ScreenedSchedule(image.array, screened)
    schedule.run(len(states), stimulus.first.tolist(), stimulus.context.tolist())
    pauses = idle or Pauses(), stall or Pauses()
    job = Job(stimulus.payloads(), [], design.top * len(states), *pauses)
    run = engines.simulate(files, job, work, simulator=simulator, builds=builds)
    found = [pairs_of(design, payload) for payload in run.outcome.payloads]
    wanted = _largest(image.screen.layer.logits(states), design.top)
    parts = (found[n : n + design.top] for n in range(0, len(found), design.top))
    wrong = [n for n, (a, b) in enumerate(zip(parts, wanted, strict=True)) if a != b]
    cycles = np.array(run.outcome.cycles[design.top - 1 :: design.top], np.int64)
    late = np.flatnonzero(cycles != schedule.results).tolist()
    paused = any(some.share for some in pauses)
    return ScreenedVerification(
        simulator, len(states), design.top, tuple(wrong), () if paused else tuple(late), cycles
    )


def pairs_of(design: ScreenDesign, payload: int) -> tuple[int, int]:
    """An output and its logit from a beat of results."""
    half = 1 << (design.logit_bits - 1)
    logit = payload >> design.row_bits & (2 * half - 1)
    return payload & ((1 << design.row_bits) - 1), (logit ^ half) - half


def _largest(logits: IntArray, top: int) -> list[Pairs]:
    order = np.argsort(-logits, axis=1, kind="stable")[:, :top]
    return [[(int(n), int(row[n])) for n in some] for some, row in zip(order, logits, strict=True)]
