"""One scenario for every simulator: load, stream frames in, take states out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.abi.states import Outcome
from compiler.array.screen.design import PLANES_PORTS
from csb_format import IntArray

from .errors import Hang, SimulationError
from .streams import Pauses, Ports, Repeated, Sink, Source

if TYPE_CHECKING:  # a simulator that starts need not import Amaranth
    from compiler.abi.frames import Stimulus
    from compiler.lower.image import Image

    from ..axi_memory import AxiMemory

__all__ = ["Job", "Planes", "read_job", "run_job", "write_job"]

PLANES_FILE = "planes.bin"

Progress = Callable[[int], None]
Stage = Callable[[str], None]


@dataclass(frozen=True)
class Planes:
    """A memory with the planes of a screen unit, behind the ports ``m_axi_planes_*``.

    Parameters
    ----------
    data : bytes
    bits : int
        Of a beat.
    base : int
        Address of the first byte.
    latency : tuple of 2 int
        Least and most cycles from an address to its first beat; cycles are those of the model where
        both are the latency of :class:`~compiler.array.screen.bus.ScreenBus`.
    waits, gaps : float
        Probability that an address waits a cycle, that a beat does.
    seed : int
    """

    data: bytes
    bits: int
    base: int = 1 << 13
    latency: tuple[int, int] = (64, 64)
    waits: float = 0.0
    gaps: float = 0.0
    seed: int = 0

    def memory(self) -> AxiMemory:
        """A new one, in which nothing is under way."""
        from hdl.read_port import ReadPort

        from ..axi_memory import AxiMemory, Lateness

        late = Lateness(self.latency, self.waits, self.gaps, self.seed)
        return AxiMemory(ReadPort(self.bits), self.data, self.base, late, name=PLANES_PORTS)


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
    matrix : list of int
        Of a streamed design: the payloads of its ``matrix`` stream for a frame; they are on
        offer again and again, one in every cycle.
    planes : Planes, optional
        Of a design with a screen unit whose planes lie outside.
    """

    frames: list[int]
    load: list[int]
    beats_out: int
    idle: Pauses = Pauses()
    stall: Pauses = Pauses()
    limit: int = 100_000
    probes: list[str] = field(default_factory=list)
    cycles: int = 0
    matrix: list[int] = field(default_factory=list)
    planes: Planes | None = None

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
        from compiler.abi.frames import Stimulus

        given = frames if isinstance(frames, Stimulus) else Stimulus.of(image, frames)
        start = image.start_words(given.part) if given.part else []
        bits = image.design.plane_bits
        return cls(
            given.payloads(),
            image.load_words(given.part) if load else start,
            len(given.frames) * image.parts[given.part].beats_out,
            idle or Pauses(),
            stall or Pauses(),
            matrix=image.stream_payloads(given.part) if image.design.streamed else [],
            planes=Planes(image.planes, bits) if bits else None,
        )


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
    Hang
        If nothing moves on any stream for ``job.limit`` cycles.
    """
    loads = Source("load", job.load)
    frames = Source("frames", job.frames, job.idle)
    states = Sink("states", job.stall)
    matrix = Repeated("matrix", job.matrix)
    memory = _memory(job, ports)
    probed: dict[str, list[int]] = {name: [] for name in job.probes}
    cycle = moved_at = moved = 0
    while not _over(job, states, probed):
        if loads.done:
            states.step(ports, cycle)
            frames.step(ports, cycle)
        loads.step(ports, cycle)
        if memory:
            memory.step(ports, cycle)
        now = loads.sent + frames.sent + len(states.payloads)
        if now != moved:
            moved, moved_at = now, cycle
        elif cycle - moved_at > job.limit and not (job.cycles and frames.sent):
            raise Hang(_hung(job, loads, frames, states, cycle))
        if frames.first_sent_at is not None:
            for name, samples in probed.items():
                samples.append(ports.get(name))
        if progress and cycle % 4096 == 0:
            progress(len(states.payloads))
        if job.matrix:  # whether a word is taken depends on its mark
            matrix.offer(ports)
            await ports.settle()
            matrix.take(ports, cycle)
        await ports.tick()
        cycle += 1
    if memory:
        _check(memory, ports)
    start = frames.first_sent_at or 0
    return Outcome(states.payloads, [c - start for c in states.cycles], cycle, probed)


def _memory(job: Job, ports: Ports) -> AxiMemory | None:
    """What a screen unit reads its planes from, if they lie outside."""
    if job.planes is None:
        return None
    ports.set("planes_base", job.planes.base)
    return job.planes.memory()


def _check(memory: AxiMemory, ports: Ports) -> None:
    """Whether both sides of the memory's bus have kept its rules."""
    if broken := memory.traffic.violations:
        raise SimulationError(f"a rule of AXI4 was broken on {PLANES_PORTS}: {broken[0]}")
    if errors := ports.get("planes_errors"):
        raise SimulationError(f"planes_errors = {errors:#x} after the last frame")


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


def write_job(path: Path, job: Job) -> None:
    """Write a job as JSON."""
    fields = asdict(job)
    # a payload may have more digits than Python writes in tens
    fields["matrix"] = [f"{payload:x}" for payload in job.matrix]
    if job.planes:
        path.with_name(PLANES_FILE).write_bytes(fields["planes"].pop("data"))
    path.write_text(json.dumps(fields, allow_nan=False))


def read_job(path: Path) -> Job:
    """Read a job that :func:`write_job` wrote."""
    fields = json.loads(path.read_text())
    for name in ("idle", "stall"):
        fields[name] = Pauses(**fields[name])
    fields["matrix"] = [int(payload, 16) for payload in fields["matrix"]]
    if found := fields["planes"]:
        found["latency"] = tuple(found["latency"])
        fields["planes"] = Planes(path.with_name(PLANES_FILE).read_bytes(), **found)
    return Job(**fields)
