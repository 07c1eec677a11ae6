"""Tasks as processes with a limit; an engine may call :func:`run` on any machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...run.logs import logged, tail
from ...run.processes import environment
from .line_coverage import measuring

__all__ = ["run", "stop"]

GRACE = 10.0  # seconds for a process to kill its simulators
DIAGNOSIS = 4.0  # times its limit that a case may take with the replay that explains it
START = 60.0  # seconds in which Python starts and Verilog is emitted
_running: set[subprocess.Popen[bytes]] = set()


def run(task: dict[str, Any], *_: object) -> dict[str, Any]:
    """Run a task to its end, whatever it does.

    Parameters
    ----------
    task : dict
        ``case``, ``recipe``, ``folder``, ``cache``, ``work``, ``action``: plain values.
        With ``lines``, a folder, line coverage is noted there.
        Each attempt makes a folder of its own in ``work``, and leaves it only if it fails, or
        with ``keep``.
    *_
        Results of tasks that must be done before.

    Returns
    -------
    dict
        Of an :class:`~sim.regress.jobs.execution.Execution`, with ``log``: the last lines that the
        process printed, if it failed.
    """
    Path(task["work"]).mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="run-", dir=task["work"]))
    path, log = work / "task.json", work / "case.log"
    whole = {**task, "work": str(work), "result": str(work / "execution.json")}
    path.write_text(json.dumps(whole, allow_nan=False))
    limit = task["case"]["timeout"] * (1 + DIAGNOSIS) + START
    status = _watched(path, log, limit, task.get("lines", ""))
    found = _outcome(work, log, status, limit)
    if not found["failure"] and not task.get("keep"):
        shutil.rmtree(work, ignore_errors=True)
    return found | {"work": str(work)}


def _outcome(work: Path, log: Path, status: int | None, limit: float) -> dict[str, Any]:
    result = work / "execution.json"
    if result.exists():
        found: dict[str, Any] = json.loads(result.read_text())
        last = tail(log) if found["failure"] else ""
        return found | {"log": last}
    kind, ended = "crash", f"ended with status {status}"
    if status is None:
        kind, ended = "timeout", f"killed after {limit:g} s"
    elif status < 0:
        ended = f"ended with signal {-status}"
    failure = {"kind": kind, "text": f"the case's process {ended}", "details": {}}
    nothing: dict[str, Any] = {"figures": {}, "times": {}, "bins": [], "reach": []}
    return nothing | {"failure": failure, "log": tail(log)}


def _watched(path: Path, log: Path, limit: float, lines: str) -> int | None:
    """Run the process; its exit status (below 0 a signal), None if it had to be killed."""
    more = measuring(Path(lines)) if lines else {}
    command = [sys.executable, "-P", "-m", "sim.regress.jobs.case_process", str(path)]
    with logged(log) as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment() | more,
            start_new_session=True,
        )
        _running.add(process)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                _kill(process)
            _running.discard(process)
    return process.returncode


def stop() -> None:
    """End all tasks of this process, with their simulators."""
    for process in list(_running):
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that can still end its simulators; then whatever is left of them."""
    family = _family(process.pid)
    process.terminate()
    end = time.monotonic() + GRACE
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    left = _processes()
    for pid, begun in family.items():
        if pid in left and left[pid][1] == begun:  # else the number is another's by now
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()


def _family(pid: int) -> dict[int, int]:
    """A process and those that it has started, and theirs, with when each began."""
    every = _processes()
    found = {pid: every[pid][1]} if pid in every else {}
    size = 0
    while size < len(found):
        size = len(found)
        found |= {p: begun for p, (parent, begun) in every.items() if parent in found}
    return found


def _processes() -> dict[int, tuple[int, int]]:
    """Parent and beginning of all processes; none where there is no /proc."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = entry.read_text().rpartition(")")[2].split()
            found[int(entry.parent.name)] = int(fields[1]), int(fields[19])
    return found
