"""One task in a process of its own: ``python -m sim.jobs.child TASK``.

A process of its own, because a task may crash, hang or eat all memory, and must take no
other task with it. It imports little: most of a short task is the start of its process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

__all__ = ["main", "run_call"]


def main(path: str) -> None:
    """Read a task, run it, write its result beside it."""
    # what unwinds here kills what the task has started
    _hang_up()
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    task = json.loads(Path(path).read_text())
    text = json.dumps(run_call(task), allow_nan=False)
    beside = Path(task["result"]).with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, task["result"])


def _hang_up() -> None:
    """Let SIGTERM, and SIGHUP unless it is ignored, unwind: what was begun is cleared away."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))


def _follow(parent: int) -> None:
    """End with the process that asked: nobody would read the result."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def run_call(task: dict[str, Any]) -> dict[str, Any]:
    """Call what a task names; whatever it raises becomes a failure."""
    try:
        module, _, name = task["call"].partition(":")
        function = getattr(importlib.import_module(module), name)
        inputs = {name: Path(path) for name, path in task["inputs"].items()}
        value = function(task["arguments"], inputs, Path(task["folder"]))
        json.dumps(value, allow_nan=False)
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        return {"value": None, "failure": {"kind": "error", "text": text}}
    return {"value": value, "failure": None}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One task in this process.")
    parser.add_argument("task", help="JSON that sim.jobs writes")
    given = parser.parse_args()
    if not os.path.isfile(given.task):
        parser.error(f"{given.task}: there is no such task: sim.jobs writes and runs them")
    main(given.task)
