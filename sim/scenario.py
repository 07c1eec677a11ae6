"""One scenario for every simulator: load, stream frames in, take states out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from csb_format import IntArray
from csb_format.words import split_fields

from .streams import Pauses, Ports, Sink, Source

if TYPE_CHECKING:  # a simulator that starts need not import Amaranth
    from hdl.compiler import Emission, Image

    from .stimulus import Stimulus

__all__ = ["Emitted", "Job", "Outcome", "SimulationError", "run_job"]

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
    cycles : int
        With probes: cycles to sample, after which the run ends, whatever came out by then;
        0 to end it with the last payload, as without probes.
    """

    frames: list[int]
    load: list[int]
    beats_out: int
    idle: Pauses = Pauses()
    stall: Pauses = Pauses()
    limit: int = 100_000
    probes: list[str] = field(default_factory=list)
    cycles: int = 0

    @classmethod
    def of(
        cls,
        image: Image,
        frames: Stimulus | Sequence[IntArray],
        *,
        load: bool = False,
        idle: Pauses | None = None,
        stall: Pauses | None = None,
    ) -> Job:
        """The job that runs frames, or sequences (T_i, X) each from a zero state."""
        from .stimulus import Stimulus

        given = frames if isinstance(frames, Stimulus) else Stimulus.of(image, frames)
        start = image.start_words(given.part) if given.part else []
        return cls(
            given.payloads(),
            image.load_words(given.part) if load else start,
            len(given.frames) * image.parts[given.part].beats_out,
            idle or Pauses(),
            stall or Pauses(),
        )


@dataclass(frozen=True)
class Emitted:
    """What one pass gave for every frame.

    Parameters
    ----------
    emission : Emission
    values : dict
        ``h`` and ``c``, int64 arrays (frames, H), of an element-wise pass; ``r`` (frames, R)
        of a projection; ``y`` (frames, O) of a linear layer. By unit.
    """

    emission: Emission
    values: dict[str, IntArray]


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

    def emitted(self, image: Image, part: int = 0) -> list[Emitted]:
        """What left the accelerator, pass by pass.

        Raises
        ------
        SimulationError
            If a payload has unknown bits, or ``last`` marks are not where frames end.
        """
        if -1 in self.payloads:
            beat = self.payloads.index(-1)
            raise SimulationError(f"beat {beat} on `states` has unknown bits (X)")
        beats_out = image.parts[part].beats_out
        self._check_last(image, beats_out)
        found, at = [], 0
        for emission in image.parts[part].emissions:
            beats = emission.placement.beats
            frames = range(at, len(self.payloads), beats_out)
            mine = [p for start in frames for p in self.payloads[start : start + beats]]
            found.append(Emitted(emission, _values(image, emission, mine)))
            at += beats
        return found

    def states(self, image: Image) -> tuple[IntArray, IntArray]:
        """Hidden and cell states of the (first) layer that leaves, int64 (frames, H), by unit."""
        values = self.emitted(image)[0].values
        return values["h"], values["c"]

    def _check_last(self, image: Image, beats_out: int) -> None:
        from hdl.layouts import output_layout

        bits = output_layout(image.design).size - 1
        last = np.array([payload >> bits for payload in self.payloads]).reshape(-1, beats_out)
        expected = np.zeros(last.shape, bool)
        expected[:, -1] = True
        if not np.array_equal(last != 0, expected):
            frame, beat = np.argwhere((last != 0) != expected)[0]
            raise SimulationError(f"`last` is wrong at beat {beat} of frame {frame} on `states`")

    def frame_cycles(self, image: Image, part: int = 0) -> IntArray:
        """Cycle at which each frame's last beat left, int64 (frames,)."""
        beats = image.parts[part].beats_out
        return np.array(self.cycles[beats - 1 :: beats], np.int64)


def _values(image: Image, emission: Emission, payloads: list[int]) -> dict[str, IntArray]:
    """Fields of an emission's beats, in the order of the vector."""
    from hdl.layouts import projected_layout

    design, placement = image.design, emission.placement
    if emission.kind == "states":
        widths = [design.gate.width] * design.units + [design.state.width] * design.units
        names = ["h", "c"]
    else:
        exact = projected_layout(design).size // design.projectors
        widths, names = [exact] * design.projectors, ["r" if emission.kind == "output" else "y"]
    mask = (1 << sum(widths)) - 1
    fields = split_fields([payload & mask for payload in payloads], widths)
    lanes = fields.reshape(-1, placement.beats, len(names), placement.lanes)
    return {
        name: placement.from_order(lanes[:, :, n].reshape(len(lanes), -1))
        for n, name in enumerate(names)
    }


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
    while not _over(job, states, probed):
        if loads.done:
            states.step(ports, cycle)
            frames.step(ports, cycle)
        loads.step(ports, cycle)
        now = loads.sent + frames.sent + len(states.payloads)
        if now != moved:
            moved, moved_at = now, cycle
        elif cycle - moved_at > job.limit and not (job.cycles and frames.sent):
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


def _over(job: Job, states: Sink, probed: dict[str, list[int]]) -> bool:
    """Whether all has come that was asked for."""
    if job.cycles and probed:
        return len(next(iter(probed.values()))) >= job.cycles
    return len(states.payloads) >= job.beats_out


def _hung(job: Job, loads: Source, frames: Source, states: Sink, cycle: int) -> str:
    return (
        f"nothing moved for {job.limit} cycles (now {cycle}): loaded {loads.sent} of "
        f"{len(job.load)} words, took {frames.sent} of {len(job.frames)} frame beats, gave "
        f"{len(states.payloads)} of {job.beats_out} state beats"
    )
