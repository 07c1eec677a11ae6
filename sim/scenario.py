"""One scenario for every simulator: load, stream frames in, take states out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from csb_format import IntArray
from csb_format.words import join_fields, split_fields

from .streams import Pauses, Ports, Sink, Source

if TYPE_CHECKING:  # a simulator that starts need not import Amaranth
    from hdl.compiler import Image

__all__ = ["Job", "Outcome", "SimulationError", "run_job"]

Progress = Callable[[int], None]


class SimulationError(RuntimeError):
    """A simulation that could not be run, or that hung."""


@dataclass(frozen=True)
class Job:
    """What a simulator is to do, in plain integers.

    Parameters
    ----------
    frames : list of int
        Payloads of the ``frames`` stream.
    load : list of int
        Words for the ``load`` stream before anything else; none if memories start loaded.
    beats_out : int
        Payloads to take from ``states``.
    idle, stall : Pauses
        Of the source of frames and the sink of states.
    limit : int
        Cycles without a transfer on any stream after which the run is given up.
    probes : list of str
        Signals inside the design (``pe3.product5``) to sample in every cycle from the
        first frame beat on; Verilog simulators only.
    """

    frames: list[int]
    load: list[int]
    beats_out: int
    idle: Pauses = Pauses()
    stall: Pauses = Pauses()
    limit: int = 100_000
    probes: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        image: Image,
        sequences: Sequence[IntArray],
        *,
        load: bool = False,
        idle: Pauses | None = None,
        stall: Pauses | None = None,
    ) -> Job:
        """The job that runs sequences of frames (T_i, X), each from a zero state."""
        payloads: list[int] = []
        for sequence in sequences:
            payloads += frame_payloads(image, sequence)
        frames = sum(len(sequence) for sequence in sequences)
        return cls(
            payloads,
            image.load_words() if load else [],
            frames * image.placement.units_per_lane,
            idle or Pauses(),
            stall or Pauses(),
        )


@dataclass(frozen=True)
class Outcome:
    """What the streams carried.

    Parameters
    ----------
    payloads : list of int
        From ``states``; -1 where bits were unknown.
    cycles : list of int
        Cycle of each, counted from the first frame beat taken (cycle 0).
    total : int
        Clock cycles simulated, loading included.
    probed : dict
        Of each probe its value in every cycle, -1 where it was unknown.
    """

    payloads: list[int]
    cycles: list[int]
    total: int
    probed: dict[str, list[int]] = field(default_factory=dict)

    def states(self, image: Image) -> tuple[IntArray, IntArray]:
        """Hidden and cell states, int64 arrays (frames, H), by unit.

        Raises
        ------
        SimulationError
            If a payload has unknown bits, or ``last`` marks are not where frames end.
        """
        if -1 in self.payloads:
            beat = self.payloads.index(-1)
            raise SimulationError(f"beat {beat} on `states` has unknown bits (X)")
        design, units = image.design, image.placement.units_per_lane
        widths = [design.gate.width] * design.units + [design.state.width] * design.units + [1]
        fields = split_fields(self.payloads, widths).reshape(-1, units, len(widths))
        expected = np.zeros(fields.shape[:2], bool)
        expected[:, -1] = True
        if not np.array_equal(fields[..., -1] != 0, expected):
            frame, beat = np.argwhere((fields[..., -1] != 0) != expected)[0]
            raise SimulationError(f"`last` is wrong at beat {beat} of frame {frame} on `states`")
        ordered = fields[..., :-1].reshape(len(fields), units, 2, design.units)
        hidden, cell = (ordered[:, :, i].reshape(len(fields), -1) for i in (0, 1))
        return image.placement.from_order(hidden), image.placement.from_order(cell)

    def frame_cycles(self, image: Image) -> IntArray:
        """Cycle at which each frame's last beat left, int64 (frames,)."""
        units = image.placement.units_per_lane
        return np.array(self.cycles[units - 1 :: units], np.int64)


def frame_payloads(image: Image, sequence: IntArray) -> list[int]:
    """Payloads of the beats of one sequence (T, X); its first frame is marked."""
    beats = image.beats(sequence)
    first = np.zeros((*beats.shape[:2], 1), np.int64)
    first[0] = 1
    widths = [image.design.act_bits] * image.design.lanes + [1]
    words: list[int] = join_fields(np.concatenate([beats, first], axis=-1), widths).ravel().tolist()
    return words


async def run_job(job: Job, ports: Ports, progress: Progress | None = None) -> Outcome:
    """Run a job on any simulator.

    Parameters
    ----------
    job : Job
    ports : Ports
        Just after reset.
    progress : callable, optional
        Told the number of payloads taken, now and then.

    Returns
    -------
    Outcome

    Raises
    ------
    SimulationError
        If nothing moves on any stream for ``job.limit`` cycles.
    """
    loads = Source("load", job.load)
    frames = Source("frames", job.frames, job.idle)
    states = Sink("states", job.stall)
    probed: dict[str, list[int]] = {name: [] for name in job.probes}
    cycle = moved_at = moved = 0
    while len(states.payloads) < job.beats_out:
        if loads.done:
            states.step(ports, cycle)
            frames.step(ports, cycle)
        loads.step(ports, cycle)
        now = loads.sent + frames.sent + len(states.payloads)
        if now != moved:
            moved, moved_at = now, cycle
        elif cycle - moved_at > job.limit:
            raise SimulationError(_hung(job, loads, frames, states, cycle))
        if frames.first_sent_at is not None:
            for name, samples in probed.items():
                samples.append(ports.get(name))
        if progress and cycle % 4096 == 0:
            progress(len(states.payloads))
        await ports.tick()
        cycle += 1
    start = frames.first_sent_at or 0
    return Outcome(states.payloads, [c - start for c in states.cycles], cycle, probed)


def _hung(job: Job, loads: Source, frames: Source, states: Sink, cycle: int) -> str:
    return (
        f"nothing moved for {job.limit} cycles (now {cycle}): loaded {loads.sent} of "
        f"{len(job.load)} words, took {frames.sent} of {len(job.frames)} frame beats, gave "
        f"{len(states.payloads)} of {job.beats_out} state beats"
    )
