"""A screen unit with planes outside as Verilog, with memory and ends as in the other benches."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compiler.array.screen.bus import ScreenBus
from compiler.array.screen.design import ScreenDesign
from compiler.lower.screen import ScreenImage, plane_bytes
from csb_format.fixed import IntArray
from hdl.dram.reader import ReadBus
from hdl.dram.screen.unit import FetchedScreen
from hdl.verilog import VerilogFiles, emit_block

from ..run.verilog import SIMULATOR, run_bench
from .memory import AxiMemory, Lateness
from .screen_bench import ADDRESS_BITS, ScreenRun

__all__ = ["TOP", "ScreenJob", "emit_screen", "read_screen_job", "simulate_screen_verilog"]

#: Name of its module.
TOP = "sparseflow_fetched_screen"


@dataclass(frozen=True, eq=False)
class ScreenJob:
    """States for a unit, and how memory and ends behave.

    Parameters
    ----------
    design : ScreenDesign
    bits : int
        Of a beat.
    blocks : list of int
        Words of the memory of blocks.
    planes : bytes
    base : int
        Their address.
    lateness : Lateness
    states : int64 array (T, H)
    pauses : float
        Share of cycles in which an end does not take part.
    """

    design: ScreenDesign
    bits: int
    blocks: list[int]
    planes: bytes
    base: int
    lateness: Lateness
    states: IntArray
    pauses: float = 0.0

    @classmethod
    def of(
        cls,
        image: ScreenImage,
        bus: ScreenBus,
        states: IntArray,
        *,
        base: int = 0,
        lateness: Lateness | None = None,
        pauses: float = 0.0,
    ) -> ScreenJob:
        """A job for an image; the memory is as late as ``bus`` says if nothing else is said."""
        late = lateness or Lateness((bus.latency, bus.latency))
        planes, blocks = plane_bytes(image, bus.bits), image.memories["blocks"]
        return cls(image.design, bus.bits, blocks, planes, base, late, states, pauses)

    @property
    def memory(self) -> AxiMemory:
        """A new memory that holds the planes."""
        return AxiMemory(ReadBus(self.bits, ADDRESS_BITS), self.planes, self.base, self.lateness)


def emit_screen(design: ScreenDesign, bus: ScreenBus, folder: Path) -> VerilogFiles:
    """Verilog of a :class:`~hdl.dram.screen.unit.FetchedScreen` alone."""
    return emit_block(
        lambda hierarchy: FetchedScreen(design, bus, None, hierarchy, ADDRESS_BITS), folder, TOP
    )


def simulate_screen_verilog(
    files: VerilogFiles, job: ScreenJob, work: Path, simulator: str = SIMULATOR
) -> ScreenRun:
    """Build (once for the same Verilog) and run a job; see :func:`sim.run.verilog.run_bench`.

    Raises
    ------
    SimulationError
        If a tool is missing, or the build or the run fails.
    """
    found, _ = run_bench(
        files,
        work,
        "sim.dram.screen_cocotb",
        lambda run: _write(run, job),
        lambda run: json.loads((run / "outcome.json").read_text()),
        simulator=simulator,
    )
    pairs = [[(index, logit) for index, logit in state] for state in found.pop("pairs")]
    return ScreenRun(pairs, **found)


def _write(run: Path, job: ScreenJob) -> None:
    """Write a job for the simulator's process."""
    plain: dict[str, Any] = {
        "design": asdict(job.design),
        "lateness": asdict(job.lateness),
        "states": job.states.tolist(),
    }
    plain |= {name: getattr(job, name) for name in ("bits", "blocks", "base", "pauses")}
    (run / "planes.bin").write_bytes(job.planes)
    (run / "screen.json").write_text(json.dumps(plain, allow_nan=False))


def read_screen_job(run: Path) -> ScreenJob:
    """Read a job back."""
    plain = json.loads((run / "screen.json").read_text())
    late = plain.pop("lateness")
    late["latency"] = tuple(late["latency"])
    return ScreenJob(
        design=ScreenDesign(**plain.pop("design")),
        lateness=Lateness(**late),
        states=np.array(plain.pop("states"), np.int64),
        planes=(run / "planes.bin").read_bytes(),
        **plain,
    )
