"""One case in a process of its own: ``python -m sim.regress.jobs.case_process TASK``.

A process of its own, because a case may crash, hang or eat all memory, and must take no
other case with it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...run.processes import hang_up
from ..suite.hardware import Hardware
from ..suite.suite import Case, ModelRecipe
from .execution import Execution, Failure, build, execute

__all__ = ["main", "run_task"]


def main(path: str) -> None:
    """Read a task, run it, write its result beside it."""
    # simulators are killed by what unwinds here
    hang_up()
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    task = json.loads(Path(path).read_text())
    result = run_task(task)
    beside = Path(task["result"]).with_suffix(".new")
    beside.write_text(json.dumps(result, allow_nan=False))
    os.replace(beside, task["result"])


def _follow(parent: int) -> None:
    """End with the process that asked: nobody would read the result."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def run_task(task: dict[str, Any]) -> dict[str, Any]:
    """Build for a case, or run it; whatever goes wrong becomes a failure."""
    case, work = Case(**task["case"]), Path(task["work"])
    recipe = ModelRecipe(**task["recipe"])
    hardware = Hardware(case, recipe, Path(task["folder"]), Path(task["cache"]))
    try:
        if task["action"] == "build":
            build(hardware, work)
            return asdict(Execution({}, {}, []))
        return asdict(execute(hardware, work))
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        return asdict(Execution({}, {}, [], Failure("error", text)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One case of a regression in this process.")
    parser.add_argument("task", help="JSON that sim.regress.jobs writes")
    given = parser.parse_args()
    if not os.path.isfile(given.task):
        parser.error(
            f"{given.task}: there is no such task: sparseflow regress writes and runs them"
        )
    main(given.task)
