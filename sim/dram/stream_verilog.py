"""A streamed matrix on Verilator: the memory and the array of :mod:`sim.dram.stream_bench`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compiler.array.design import Design
from hdl.dram.gearbox import ROWS
from hdl.dram.matrix import MatrixImage, StreamedMatrix
from hdl.dram.reader import ReadBus
from hdl.verilog import VerilogFiles, emit_verilog

from ..axi_memory import AxiMemory, Lateness
from ..run.verilog import SIMULATOR, run_bench
from .stream_bench import GroupTaker

__all__ = ["StreamJob", "StreamOutcome", "emit_streamed", "simulate_streamed"]

TOP = "sparseflow_streamed"


@dataclass(frozen=True)
class StreamJob:
    """Frames of a streamed matrix, and how memory and array behave.

    Parameters
    ----------
    bus : ReadBus
    image : MatrixImage
    base : int
        Its address.
    lateness : Lateness
    passes : tuple of int
        Groups of every pass of a frame.
    pause : int
        Cycles that the array lets pass before each of them.
    frames : int
    waits, holds : tuple of int
        In the place of passes and pause, of each group of a frame: cycles that pass before the
        array is ready for it, and for which it is on offer then before it is taken.
    """

    bus: ReadBus
    image: MatrixImage
    base: int
    lateness: Lateness
    passes: tuple[int, ...]
    pause: int
    frames: int
    waits: tuple[int, ...] = ()
    holds: tuple[int, ...] = ()

    def pause_of(self, group: int) -> int:
        """Cycles before the array is ready for a group."""
        at = group % self.image.groups
        if self.waits:
            return self.waits[at]
        starts = {sum(self.passes[:n]) for n in range(len(self.passes))}
        return self.pause if at in starts else 0

    def hold_of(self, group: int) -> int:
        """Cycles for which it has a group before it takes it."""
        return self.holds[group % self.image.groups] if self.holds else 0

    @property
    def memory(self) -> AxiMemory:
        """A new memory that holds the image."""
        return AxiMemory(self.bus, self.image.data, self.base, self.lateness)

    @property
    def taker(self) -> GroupTaker:
        """A new array."""
        return GroupTaker(self.image, self.pause_of, self.hold_of)


@dataclass(frozen=True)
class StreamOutcome:
    """What happened; cycles count from the start.

    Parameters
    ----------
    taken, arrived : list of int
        Cycle of every group, of every beat.
    wrong : list of int
        Groups that were not what the image says.
    bursts : int
    violations : list of str
        Rules of AXI4 that the reader broke.
    errors : int
        Its error bits.
    """

    taken: list[int]
    arrived: list[int]
    wrong: list[int]
    bursts: int
    violations: list[str]
    errors: int


def emit_streamed(design: Design, bus: ReadBus, folder: Path, rows: int = ROWS) -> VerilogFiles:
    """Verilog of a :class:`~hdl.dram.matrix.StreamedMatrix` alone."""
    return emit_verilog(
        design,
        folder,
        top=lambda design, image, hierarchy: StreamedMatrix(design, bus, rows, hierarchy),
        name=TOP,
    )


def simulate_streamed(
    files: VerilogFiles, job: StreamJob, work: Path, simulator: str = SIMULATOR
) -> StreamOutcome:
    """Build (once for the same Verilog) and run a job; see :func:`sim.run.verilog.run_bench`."""
    found, _ = run_bench(
        files,
        work,
        "sim.dram.stream_cocotb",
        lambda run: write_stream_job(run, job),
        lambda run: json.loads((run / "outcome.json").read_text()),
        simulator=simulator,
    )
    return StreamOutcome(**found)


def write_stream_job(run: Path, job: StreamJob) -> None:
    """Write a job for the simulator's process."""
    plain: dict[str, Any] = asdict(job)
    (run / "image.bin").write_bytes(plain["image"].pop("data"))
    (run / "stream.json").write_text(json.dumps(plain, allow_nan=False))


def read_stream_job(run: Path) -> StreamJob:
    """Read a job back."""
    plain = json.loads((run / "stream.json").read_text())
    late = plain["lateness"]
    late["latency"] = tuple(late["latency"])
    return StreamJob(
        bus=ReadBus(**plain["bus"]),
        image=MatrixImage((run / "image.bin").read_bytes(), **plain["image"]),
        base=plain["base"],
        lateness=Lateness(**late),
        passes=tuple(plain["passes"]),
        pause=plain["pause"],
        frames=plain["frames"],
        waits=tuple(plain["waits"]),
        holds=tuple(plain["holds"]),
    )
