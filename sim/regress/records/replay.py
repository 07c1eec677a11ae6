"""Runs one case again with waveforms, and keeps everything."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.abi.states import WireError
from csb_format.files.folders import cache_folder, shared_folder

from ...jobs.attempt import Attempts
from ...run.errors import SimulationError
from ...run.scenario import Job
from ...run.verilog import simulate_verilog
from ..jobs.bus import SLOWER, run_bus
from ..jobs.case_task import case_task, result_of
from ..jobs.runner import Places
from ..jobs.verdicts import CaseResult, judged
from ..suite.baseline import Baseline
from ..suite.hardware import CACHED, Hardware
from ..suite.suite import ModelRecipe, Suite
from .waves import groups, write_gtkwave, write_surfer

__all__ = ["Replay", "last_frame", "part_of", "record", "replay"]

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


def replay(
    suite: Suite, places: Places, simulator: str = "icarus", baseline: Baseline | None = None
) -> Replay:
    """Run the one case of a suite as it was, then on a simulator that writes waveforms.

    Parameters
    ----------
    suite : Suite
        Of one case.
    places : Places
    simulator : {"icarus", "verilator"}
    baseline : Baseline, optional
        Its figures make a case red here as they do in a run.
    """
    with shared_folder(places.out, ("replay",), living=("replay",)):
        cache_folder(places.cache, CACHED)
        return _replay(suite, places, simulator, baseline)


def _replay(suite: Suite, places: Places, simulator: str, baseline: Baseline | None) -> Replay:
    (case,) = suite.cases
    folder = places.out / "replay" / case.slug
    shutil.rmtree(folder, ignore_errors=True)
    recipe = suite.models.get(case.model, ModelRecipe())
    hardware = Hardware(case, recipe, suite.folder.resolve(), places.cache.resolve())
    task = {"case": asdict(case), "recipe": asdict(recipe), "action": "run"}
    task |= {"folder": str(hardware.folder), "cache": str(hardware.cache)}
    whole = case_task(case.name, task | {"work": str(folder.resolve()), "keep": True})
    found = result_of(Attempts().run(whole, {}))
    result = judged(suite, case, found | {"reach": []}, baseline, places.replay(case))
    story = f"red: {case.name}\n{indent(result.story, '  ')}"
    if result.passed:
        story = f"{case.name}: all is as it should be"
    if not case.traced:
        return Replay(result.passed, story, folder, ())
    try:
        waves = record(hardware, folder, result, simulator, SLOWER * case.timeout)
    except (SimulationError, ValueError, OSError) as error:
        if result.passed:
            raise
        story += f"\nno waveforms: {error}"  # what is red comes first
        waves = ()
    return Replay(result.passed, story, folder, waves)


def record(
    hardware: Hardware, folder: Path, result: CaseResult, simulator: str, seconds: float
) -> tuple[Path, ...]:
    """Run a case on a simulator that writes waveforms; with files that say what to look at.

    Parameters
    ----------
    hardware : Hardware
        Of a network or a bus.
    folder : Path
        Takes them.
    result : CaseResult
        Why it is red: of a mismatch only frames up to it are run.
    simulator : {"icarus", "verilator"}
    seconds : float
        That the simulator may take.

    Returns
    -------
    tuple of Path
        FST, GTKWave's save file, Surfer's commands.

    Raises
    ------
    SimulationError
        If no waveforms were written.
    """
    work, marker = folder / "waves", 0
    failure = result.failure or {"text": "", "details": {}}
    try:
        if hardware.case.kind == "bus":
            run_bus(hardware, work, simulator, seconds)
        else:
            marker = _traced(hardware, work, failure["details"], simulator, seconds)
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


def _traced(
    hardware: Hardware, work: Path, details: dict[str, Any], simulator: str, limit: float
) -> int:
    """Run the program that went wrong, up to where it did; when that was, in picoseconds."""
    given = part_of(hardware, details)
    last = last_frame(given, details)
    job = _cut(hardware.job(given), given, last) if last is not None else hardware.job(given)
    files = hardware.verilog(work)
    run = simulate_verilog(files, job, work, simulator=simulator, waves=True, timeout=limit,
                           builds=hardware.builds)  # fmt: skip
    if "cycle" not in details:
        return 0
    start = run.outcome.total - 1 - run.outcome.cycles[-1]
    return (RESET + start + int(details["cycle"])) * PERIOD_PS + PERIOD_PS // 2


def part_of(hardware: Hardware, details: dict[str, Any]) -> Stimulus:
    """What went into the program that went wrong; the first one's where nobody knows.

    Parameters
    ----------
    hardware : Hardware
    details : dict
        Of a failure.
    """
    parts = enumerate(hardware.image.parts)
    number = next((n for n, part in parts if details.get("layer") in part.layers), 0)
    return hardware.stimuli()[number]


def last_frame(given: Stimulus, details: dict[str, Any]) -> int | None:
    """The frame that went wrong, by its place in the order; None where nobody knows.

    Parameters
    ----------
    given : Stimulus
        As :func:`part_of` has it.
    details : dict
        Of a failure.
    """
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
