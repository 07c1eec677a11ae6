"""Runs one case in this process, and says what came out."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.abi.states import WireError
from csb_format.files.folders import locked
from engine.reference import IntegerModel
from hdl.verilog import VerilogFiles

from ...check.compare import Mismatch
from ...check.verify import CycleMismatch, Verification, verify
from ...run.builds import build_name, is_built
from ...run.errors import SimulationError
from ...run.free_running import free_name, simulate_free_running
from ...run.logs import tail
from ...run.processes import environment, watched
from ...run.scenario import Job, Progress
from ...run.verilog import VerilogRun, simulate_verilog
from ..suite.commands import filled
from ..suite.hardware import Hardware
from .bin_coverage import bins_of, bus_bins, reachable
from .figures import read_figures

__all__ = ["Execution", "Failure", "build", "execute"]

FREE = "verilator-free"


@dataclass(frozen=True)
class Failure:
    """Why a case is red.

    Parameters
    ----------
    kind : {"mismatch", "cycles", "timeout", "hang", "crash", "error", "figure"}
    text : str
        The story, for people.
    details : dict
        Layer, step, gate, row, bank, cycle, expected, got; what is known.
    """

    kind: str
    text: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Execution:
    """What a case gave.

    Parameters
    ----------
    figures : dict
        Numbers and digests by name, to be held against a baseline.
    times : dict of str to float
        Seconds, and simulated cycles a second; reported only.
    bins : list of str
        Of functional coverage.
    failure : Failure, optional
    reach : list of str
        Bins that it can hit; of a network also states that these frames did not bring about.
    """

    figures: dict[str, Any]
    times: dict[str, float]
    bins: list[str]
    failure: Failure | None = None
    reach: list[str] = field(default_factory=list)


def build(hardware: Hardware, work: Path) -> None:
    """Emit and build what a case needs, unless it is there; one process at a time.

    Parameters
    ----------
    hardware : Hardware
    work : Path
        The case's folder.
    """
    work.mkdir(parents=True, exist_ok=True)
    if hardware.case.kind != "network":
        return
    files = hardware.verilog(work)
    if _built(hardware, files):
        return
    with _build_lock(hardware):
        if not _built(hardware, files):
            first = Stimulus.of(hardware.image, [hardware.frames()[0][:1]])
            job = Job.of(hardware.image, first, load=hardware.blank)
            _Simulator(hardware, hardware.case.timeout)(files, job, work)


def _build_lock(hardware: Hardware) -> AbstractContextManager[None]:
    return locked(hardware.cache / "locks" / f"build-{hardware.build_key}")


def _built(hardware: Hardware, files: VerilogFiles) -> bool:
    kind = hardware.case.simulator
    name = free_name(files) if kind == FREE else build_name(files, kind)
    return is_built(hardware.builds / name)


class _Simulator:
    """The case's simulator within the case's time, with what is loaded before.

    The time begins with the first job: models and Verilog take theirs too.
    """

    def __init__(self, hardware: Hardware, seconds: float):
        self._hardware, self._seconds = hardware, seconds
        self._end = 0.0
        self.jobs: list[Job] = []

    def __call__(
        self, files: VerilogFiles, job: Job, work: Path, progress: Progress | None = None
    ) -> VerilogRun:
        self._end = self._end or time.monotonic() + self._seconds
        left = max(1.0, self._end - time.monotonic())
        self.jobs.append(job)
        simulator = self._hardware.case.simulator
        if simulator == FREE:
            return simulate_free_running(
                files, job, work, timeout=left, progress=progress, builds=self._hardware.builds
            )
        return simulate_verilog(
            files, job, work, simulator=simulator, timeout=left, progress=progress,
            builds=self._hardware.builds,
        )  # fmt: skip


class _Reloading(_Simulator):
    """Loads another model of the same shape first."""

    def __call__(
        self, files: VerilogFiles, job: Job, work: Path, progress: Progress | None = None
    ) -> VerilogRun:
        words = self._hardware.other().image.load_words()
        return super().__call__(files, replace(job, load=[*words, *job.load]), work, progress)


def execute(hardware: Hardware, work: Path) -> Execution:
    """Run a case.

    Parameters
    ----------
    hardware : Hardware
    work : Path
        The case's folder; what a failure leaves there is for people.
    """
    started = time.perf_counter()
    case = hardware.case
    kinds = {"network": _network, "bus": _bus, "command": _command}
    try:
        found = kinds[case.kind](hardware, work)
    except WireError as error:
        found = Execution({}, {}, [], Failure(error.kind, str(error)))
    wrong = _unexpected(found, case.expect)
    times = found.times | {"seconds": time.perf_counter() - started}
    return replace(found, times=times, failure=found.failure or wrong)


def _unexpected(found: Execution, expect: dict[str, float]) -> Failure | None:
    """Figures that are not what the suite says."""
    wrong = [
        f"{name} is {found.figures.get(name, 'not there')}, the suite expects {value}"
        for name, value in expect.items()
        if found.figures.get(name) != value
    ]
    return Failure("figure", "; ".join(wrong)) if wrong else None


def _network(hardware: Hardware, work: Path) -> Execution:
    case = hardware.case
    build(hardware, work)
    simulate = (_Reloading if case.reload else _Simulator)(hardware, case.timeout)
    files, sequences = hardware.verilog(work), hardware.frames()
    found = verify(
        IntegerModel(hardware.model),
        hardware.image,
        files,
        sequences,
        work,
        load=hardware.blank,
        idle=hardware.pauses[0],
        stall=hardware.pauses[1],
        contexts=case.contexts,
        simulate=simulate,
        builds=hardware.builds,
    )
    runs = list(found.runs)
    failure = _wrong(found)
    if failure:
        _keep_vectors(work, simulate.jobs)
    bins = bins_of(hardware, found)
    return Execution(_figures(runs), _times(runs), bins, failure, reachable(hardware))


def _figures(runs: list[Verification]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for run in runs:
        for payload in run.run.outcome.payloads:
            digest.update(f"{payload:x} ".encode())
    frames = sum(run.frames for run in runs)
    found: dict[str, Any] = {
        "mismatches": sum(run.comparison.mismatches for run in runs),
        "values": sum(run.comparison.values for run in runs),
        "frames": frames,
        "cycles": sum(run.run.outcome.cycles[-1] + 1 for run in runs),
        "total_cycles": sum(run.run.outcome.total for run in runs),
        "outputs": digest.hexdigest(),
    }
    steps = np.concatenate([run.steps for run in runs])
    if len(steps):
        found["cycles_per_step"] = float(np.median(steps))
    return found


def _times(runs: list[Verification]) -> dict[str, float]:
    seconds = sum(run.run.seconds for run in runs)
    cycles = sum(run.run.outcome.total for run in runs)
    built = sum(run.run.build_seconds for run in runs)
    rate = cycles / seconds if seconds else 0.0
    return {"simulation_seconds": seconds, "build_seconds": built, "cycles_per_second": rate}


def _wrong(found: Verification) -> Failure | None:
    if found.first is not None:
        return Failure("mismatch", str(found.first), _details(found.first))
    if found.cycle_mismatch is not None:
        return Failure("cycles", str(found.cycle_mismatch), _details(found.cycle_mismatch))
    return None


def _details(what: Mismatch | CycleMismatch) -> dict[str, Any]:
    return {key: value for key, value in asdict(what).items() if value not in (None, "")}


def _keep_vectors(work: Path, jobs: list[Job]) -> None:
    """What went in, for those who want to feed it elsewhere."""
    vectors = [
        {"frames": [f"{word:x}" for word in job.frames], "load": [f"{w:08x}" for w in job.load]}
        for job in jobs
    ]
    (work / "vectors.json").write_text(json.dumps(vectors, allow_nan=False))


def _bus(hardware: Hardware, work: Path) -> Execution:
    from .bus import run_bus

    work.mkdir(parents=True, exist_ok=True)
    built = _built(hardware, hardware.verilog(work))
    lock = nullcontext() if built else _build_lock(hardware)
    with lock:
        figures, failed = run_bus(hardware, work)
    failure = Failure("mismatch", failed) if failed else None
    return Execution(figures, {}, bus_bins(hardware), failure, reachable(hardware))


def _command(hardware: Hardware, work: Path) -> Execution:
    """Any program; its numbers are the figures."""
    case, out = hardware.case, (work / "figures.json").resolve()
    work.mkdir(parents=True, exist_ok=True)
    given = {"python": sys.executable, "out": str(out), "suite": str(hardware.folder.resolve())}
    given["seed"] = str(case.seed)
    words = [filled(word, given) for word in case.command]
    log = work / "command.log"
    _check_program(words[0], hardware.folder)
    watched(words[0], words, log, case.timeout, folder=hardware.folder)
    try:
        numbers = read_figures(out)
    except (OSError, ValueError) as error:
        why = str(error)
        if isinstance(error, FileNotFoundError):
            why = "its command has to write numbers as JSON to {out}"
        raise SimulationError(f"{case.name} wrote no figures: {why}\n{tail(log)}") from error
    if not numbers:
        raise SimulationError(
            f"{case.name} gave no figure: numbers in {{out}} are figures, texts, lists and true or "
            f"false are none; write at least one\n{tail(log)}"
        )
    chosen = {name: numbers[name] for name in case.figures or sorted(numbers) if name in numbers}
    missing = sorted(set(case.figures) - set(chosen))
    failure = Failure("error", f"no figure is called {', '.join(missing)}") if missing else None
    return Execution(chosen, {}, ["kind/command"], failure, reachable(hardware))


def _check_program(program: str, folder: Path) -> None:
    """Refuse a program that is not there."""
    here = str(folder / program) if "/" in program else program
    if shutil.which(here, path=environment().get("PATH")) is None:
        raise SimulationError(
            f"there is no program {program}, or it may not be run: install it, or give its path "
            "from the suite's folder"
        )
