"""Runs one case again with waveforms, and keeps everything."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.abi.states import WireError
from csb_format.files.folders import cache_folder, shared_folder

from ...run.errors import SimulationError
from ...run.scenario import Job
from ...run.verilog import simulate_verilog
from ..jobs import jobs
from ..jobs.bus import SLOWER, run_bus
from ..jobs.runner import Places
from ..suite.hardware import CACHED, Hardware
from ..suite.suite import ModelRecipe, Suite
from .waves import groups, write_gtkwave, write_surfer

__all__ = ["Replay", "replay"]

PERIOD_PS, RESET = 10_000, 3  # of the bench in sim.run.cocotb_bench


@dataclass(frozen=True)
class Replay:
    """What a replay left.

    Parameters
    ----------
    passed : bool
    story : str
        What is wrong, or that nothing is.
    folder : Path
    waves : tuple of Path
        FST, GTKWave's save file, Surfer's commands; none for kinds without frames.
    """

    passed: bool
    story: str
    folder: Path
    waves: tuple[Path, ...]


def replay(suite: Suite, places: Places, simulator: str = "icarus") -> Replay:
    """Run the one case of a suite as it was, then on a simulator that writes waveforms.

    Parameters
    ----------
    suite : Suite
        Of one case.
    places : Places
    simulator : {"icarus", "verilator"}
    """
    with shared_folder(places.out, ("replay",), living=("replay",)):
        cache_folder(places.cache, CACHED)
        return _replay(suite, places, simulator)


def _replay(suite: Suite, places: Places, simulator: str) -> Replay:
    (case,) = suite.cases
    folder = places.out / "replay" / case.slug
    shutil.rmtree(folder, ignore_errors=True)
    recipe = suite.models.get(case.model, ModelRecipe())
    hardware = Hardware(case, recipe, suite.folder.resolve(), places.cache.resolve())
    task = {"case": asdict(case), "recipe": asdict(recipe), "action": "run"}
    task |= {"folder": str(hardware.folder), "cache": str(hardware.cache)}
    found = jobs.run(task | {"work": str(folder.resolve())})
    failure = found["failure"] or {"kind": "", "text": "all is as it should be", "details": {}}
    story = f"{case.name}: {failure['kind']} {failure['text']}".replace(":  ", ": ")
    waves = () if case.kind == "command" else _waves(hardware, folder, failure, simulator)
    return Replay(found["failure"] is None, story, folder, waves)


def _waves(
    hardware: Hardware, folder: Path, failure: dict[str, Any], simulator: str
) -> tuple[Path, ...]:
    """Waveforms and the files that say what to look at."""
    work, marker = folder / "waves", 0
    try:
        if hardware.case.kind == "bus":
            run_bus(hardware, work, simulator)
        else:
            marker = _traced(hardware, work, failure["details"], simulator)
    except WireError as error:  # a hang: its waveforms are what is wanted
        (folder / "waves.log").write_text(str(error))
    fst, save, commands = (folder / f"waves.{kind}" for kind in ("fst", "gtkw", "sucl"))
    written = sorted(work.rglob("*.fst"), key=lambda path: path.stat().st_mtime)
    if not written:
        raise SimulationError(f"{simulator} wrote no waveforms: {folder / 'waves.log'}")
    shutil.move(written[-1], fst)
    chosen = groups(hardware.verilog(work), failure["text"])
    write_gtkwave(save, fst, chosen, marker)
    write_surfer(commands, chosen, marker)
    return fst, save, commands


def _traced(hardware: Hardware, work: Path, details: dict[str, Any], simulator: str) -> int:
    """Run the program that went wrong, up to where it did; when that was, in picoseconds."""
    part = next(
        (n for n, p in enumerate(hardware.image.parts) if details.get("layer") in p.layers), 0
    )
    given = hardware.stimuli()[part]
    last = _last_frame(given, details)
    job = _cut(hardware.job(given), given, last) if last is not None else hardware.job(given)
    files, limit = hardware.verilog(work), SLOWER * hardware.case.timeout
    run = simulate_verilog(files, job, work, simulator=simulator, waves=True, timeout=limit,
                           builds=hardware.builds)  # fmt: skip
    if "cycle" not in details:
        return 0
    start = run.outcome.total - 1 - run.outcome.cycles[-1]
    return (RESET + start + int(details["cycle"])) * PERIOD_PS + PERIOD_PS // 2


def _last_frame(given: Stimulus, details: dict[str, Any]) -> int | None:
    """The frame that went wrong, by its place in the order."""
    if "frame" in details:
        return int(details["frame"])
    if "step" not in details:
        return None
    places = (given.sequence == details["sequence"]) & (given.step == details["step"])
    found = np.flatnonzero(places)
    return int(found[0]) if len(found) else None


def _cut(job: Job, given: Stimulus, last: int) -> Job:
    """The job up to a frame; the next one fills its waits."""
    part = given.image.parts[given.part]
    frames = min(last + 2, len(given.frames))
    kept = job.frames[: frames * part.frame_beats]
    return replace(job, frames=kept, beats_out=(last + 1) * part.beats_out)
