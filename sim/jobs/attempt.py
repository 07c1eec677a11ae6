"""A task as a process with a limit; an engine may run them on any machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..run.logs import logged, tail
from ..run.processes import environment
from .task import Outcome, Task

__all__ = ["KEPT", "Attempts"]

GRACE = 10.0  # seconds for a process to kill what it has started
RESULT = "execution.json"
KEPT = "kept"  # what lies there comes back with the result


class Attempts:
    """Processes of tasks that end together."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._starting = threading.Lock()

    def run(self, task: Task, inputs: Mapping[str, Path]) -> Outcome:
        """Run a task to its end, whatever it does.

        Parameters
        ----------
        task : Task
            Each attempt makes a folder of its own in ``work``, and leaves it only if it fails, or
            with ``keep``; none is left of a task without ``work``.
        inputs : mapping of str to Path
            Its inputs, on this machine.

        Returns
        -------
        Outcome
            Never an exception for what the task does.
        """
        for number in range(1, task.retries + 2):
            found = replace(self._attempt(task, inputs), attempts=number)
            if self._stopped or not found.failure or found.failure["kind"] != "crash":
                break
        return found

    def stop(self) -> None:
        """End all of them, with what they have started; none begins any more."""
        with self._starting:
            self._stopped = True
        for process in list(self._running):
            _kill(process)

    def _attempt(self, task: Task, inputs: Mapping[str, Path]) -> Outcome:
        started = time.monotonic()
        parent = Path(task.work) if task.work else None
        if parent:
            parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        path, log = work / "task.json", work / "case.log"
        path.write_text(json.dumps(_given(task, inputs, work), allow_nan=False))
        with logged(log) as output:
            status = self._watched(path, output, task)
        found = _outcome(work, log, status, task.limit)
        kept = bool(parent and (found.failure or task.keep))
        if not kept:
            shutil.rmtree(work, ignore_errors=True)
        return replace(found, work=str(work) if kept else "", seconds=time.monotonic() - started)

    def _watched(self, path: Path, output: int, task: Task) -> int | None:
        """Run the process; its exit status (below 0 a signal), None if it had to be killed."""
        with self._starting:
            if self._stopped:
                return -signal.SIGTERM
            process = _begun(path, output, task.environment)
            self._running.add(process)
        try:
            process.wait(task.limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                _kill(process)
            self._running.discard(process)
        return process.returncode


def _given(task: Task, inputs: Mapping[str, Path], work: Path) -> dict[str, Any]:
    """What the process reads."""
    found: dict[str, Any] = {"call": task.call, "arguments": task.arguments, "folder": str(work)}
    found |= {"inputs": {name: str(path) for name, path in inputs.items()}}
    return found | {"result": str(work / RESULT)}


def _begun(path: Path, output: int, more: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "sim.jobs.child", str(path)]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment() | dict(more),
        start_new_session=True,
    )


def _outcome(work: Path, log: Path, status: int | None, limit: float) -> Outcome:
    result = work / RESULT
    if result.exists():
        found = json.loads(result.read_text())
        files = {} if found["failure"] else _files(work / KEPT)
        return Outcome(**found, files=files, log=tail(log))
    kind, ended = "crash", f"ended with status {status}"
    if status is None:
        kind, ended = "timeout", f"killed after {limit:g} s"
    elif status < 0:
        ended = f"ended with signal {-status}"
    return Outcome(failure={"kind": kind, "text": f"its process {ended}"}, log=tail(log))


def _files(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that can still end what it has started; then whatever is left of them."""
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
