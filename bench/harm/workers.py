"""A parser in a process of its own: its time and its memory are measured, and bounded."""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.regress.fuzz import Parser

__all__ = ["MEMORY", "SECONDS", "Outcome", "Worker"]

SECONDS, MEMORY = 10.0, 1 << 30  # that one file may take; of memory beyond what the process has
Check = Callable[[Path, Any], bool]


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Parameters
    ----------
    kind : {"read", "refused", "escaped", "different", "hung", "died"}
    trace : str
        Of an exception that is not the room's own.
    peak : int
        Bytes of memory that the process held at most.
    """

    kind: str
    trace: str = ""
    peak: int = 0


class Worker:
    """Feeds one parser; a process that hangs or dies is replaced.

    Parameters
    ----------
    parser : Parser
    check : callable, optional
        Of a path and what was read: whether an independent reader finds the same.
    """

    def __init__(self, parser: Parser, check: Check | None = None):
        self._parser, self._check = parser, check
        self._start()

    def _start(self) -> None:
        # fork: parsers are closures, and a worker starts in moments
        context = multiprocessing.get_context("fork")
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other, self._parser, self._check), daemon=True
        )
        self._process.start()
        other.close()

    def feed(self, path: Path) -> Outcome:
        """What becomes of a file."""
        self._pipe.send(path)
        try:
            if self._pipe.poll(SECONDS):
                found: Outcome = self._pipe.recv()
                return found
            kind = "hung"
        except EOFError:
            kind = "died"
        self.stop()
        self._start()
        return Outcome(kind)

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Any, parser: Parser, check: Check | None) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # the parent's other threads are not in this process
    with contextlib.suppress(EOFError):
        while True:
            pipe.send(_outcome(pipe.recv(), parser, check))


def _outcome(path: Path, parser: Parser, check: Check | None) -> Outcome:
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    kind, trace = "refused", ""
    try:
        found = parser.read(path)
        kind = "read" if check is None or check(path, found) else "different"
    except parser.errors:
        pass
    except Exception:
        kind, trace = "escaped", traceback.format_exc()
    return Outcome(kind, trace, _peak())


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
