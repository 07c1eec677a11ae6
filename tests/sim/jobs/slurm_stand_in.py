"""What of ``sbatch``, ``squeue`` and ``scancel`` the engine uses, on this machine alone.

``python slurm_stand_in.py STATE NAME ARGUMENTS``: jobs are files in the folder STATE for as long as
they wait or run. A file ``lose`` there holds elements whose first job ends without having run.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path


def sbatch(state: Path, arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parsable", action="store_true", required=True)
    for name in ("array", "output", "wrap", "time", "cpus-per-task", "job-name", "open-mode"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--mem")
    given = parser.parse_args(arguments)
    array = 1 + sum(1 for _ in state.glob("*.array"))
    span, _, at_once = given.array.partition("%")
    elements = range(int(span.partition("-")[2]) + 1)
    for number in elements:
        (state / f"{array}_{number}.job").touch()
    runner = [sys.executable, __file__, str(state), "run", str(array), str(len(elements)), at_once]
    runner += [given.output, given.wrap]
    process = subprocess.Popen(
        runner, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    (state / f"{array}.array").write_text(str(process.pid))
    print(array)


def run(state: Path, arguments: list[str]) -> None:
    array, count, at_once, output, wrap = arguments
    lost = state / "lose"
    losing = set(lost.read_text().split()) if lost.exists() else set()
    lost.unlink(missing_ok=True)
    running: dict[int, subprocess.Popen[bytes]] = {}
    waiting = list(range(int(count)))
    while waiting or running:
        while waiting and len(running) < int(at_once):
            number = waiting.pop(0)
            command = "true" if str(number) in losing else wrap
            with open(output.replace("%a", str(number)), "ab") as log:
                running[number] = subprocess.Popen(
                    ["sh", "-c", command],
                    stdout=log,
                    stderr=log,
                    env=os.environ | {"SLURM_ARRAY_TASK_ID": str(number)},
                )
        for number in [n for n, process in running.items() if process.poll() is not None]:
            del running[number]
            (state / f"{array}_{number}.job").unlink(missing_ok=True)
        time.sleep(0.02)


def squeue(state: Path, arguments: list[str]) -> None:
    asked = arguments[arguments.index("--jobs") + 1].split(",")
    for path in sorted(state.glob("*.job")):
        if path.stem.partition("_")[0] in asked:
            print(path.stem)


def scancel(state: Path, arguments: list[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(int((state / f"{arguments[0]}.array").read_text()), signal.SIGTERM)
    for path in state.glob(f"{arguments[0]}_*.job"):
        path.unlink(missing_ok=True)


def install(folder: Path, state: Path) -> None:
    """Make the three commands in a folder."""
    folder.mkdir()
    state.mkdir()
    for name in ("sbatch", "squeue", "scancel"):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{state}" {name} "$@"\n')
        path.chmod(0o755)


if __name__ == "__main__":
    {"sbatch": sbatch, "run": run, "squeue": squeue, "scancel": scancel}[sys.argv[2]](
        Path(sys.argv[1]), sys.argv[3:]
    )
