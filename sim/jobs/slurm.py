"""Slurm runs tasks: arrays of jobs, and a folder that all nodes see for what goes to and fro."""

from __future__ import annotations

import json
import math
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from csb_format.files.replace import replace_file

from ..run.logs import tail
from .attempt import Attempts
from .store import Store, check_store, paths_of
from .task import CORES, Outcome, Task, TaskError, checked

__all__ = ["MEMORY", "SlurmEngine", "run_element"]

MEMORY = "memory"  # of what tasks take: bytes
LOOK = 1.0  # seconds between two looks at the folder
SETTLED = 10.0  # seconds that a job is gone from the queue until its task is lost
SILENCE = 120.0  # seconds in which the queue cannot be asked
LARGEST = 1000  # elements of an array: what Slurm takes unless it is told otherwise
INSTALL = "apt-get install slurm-client, on a machine that may submit to a cluster"
#: What ``sbatch`` runs for each element of an array.
ELEMENT = ("-P", "-m", "sim.jobs.node")


class SlurmEngine:
    """A cluster of Slurm: tasks go there as arrays of jobs, by ``sbatch``.

    A task whose job ends without a result, as with its node, is submitted again. What Slurm itself
    is to be told, its own variables say: ``SBATCH_PARTITION``, ``SBATCH_ACCOUNT`` and others.

    Parameters
    ----------
    workers : int
        Elements of an array that run at a time.
    folder : str
        Where tasks of a run lie, seen by all nodes under this path; by default in the store.
    """

    def __init__(self, workers: int, folder: str = ""):
        self._workers, self._folder = workers, folder

    def results(
        self, tasks: Sequence[Task], store: Store | None = None
    ) -> Iterator[tuple[str, Outcome]]:
        """Run all tasks; leaving the iteration early cancels those that are left.

        Raises
        ------
        TaskError
            If Slurm is not there, refuses, cannot be asked for ``SILENCE`` seconds, or a task
            takes what it does not count: it knows ``cores`` and ``memory``.
        """
        left = checked(tasks)
        for task in left:
            _amounts(task)
        if shutil.which("sbatch") is None:
            raise TaskError(f"--engine slurm needs sbatch, which is not here: {INSTALL}")
        base = Path(self._folder) if self._folder else (store.folder if store else Path())
        base.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=base.resolve()))
        run = _Run(folder, self._workers, store)
        try:
            yield from run.results(left)
        finally:
            run.cancel()
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Element:
    """A task that Slurm has."""

    task: Task
    folder: Path
    number: int
    job: str
    lives: int  # how often it has been submitted

    @property
    def result(self) -> Path:
        return self.folder / f"{self.number}.result.json"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.number}.log"


class _Run:
    """The arrays of one run."""

    def __init__(self, folder: Path, workers: int, store: Store | None):
        self.folder, self.workers, self.store = folder, workers, store
        self._there: list[_Element] = []
        self._gone: dict[str, float] = {}  # jobs that the queue no longer has, since when
        self._asked = time.monotonic()
        self._arrays = 0

    def results(self, left: list[Task]) -> Iterator[tuple[str, Outcome]]:
        done = {""}
        while left or self._there:
            ready = [task for task in left if task.after in done]
            left = [task for task in left if task.after not in done]
            self._submit([(task, 1) for task in ready])
            ended = list(self._ended())
            for task, outcome in ended:
                done.add(task.key)
                yield task.key, outcome
            if not ended:
                time.sleep(LOOK)

    def cancel(self) -> None:
        """What is left of the arrays."""
        for array in sorted({element.job.partition("_")[0] for element in self._there}):
            subprocess.run(["scancel", array], capture_output=True, check=False)
        self._there = []

    def _submit(self, tasks: list[tuple[Task, int]]) -> None:
        """Arrays of tasks that take the same."""
        alike: dict[tuple[str, ...], list[tuple[Task, int]]] = {}
        for task, lives in tasks:
            alike.setdefault(tuple(_amounts(task)), []).append((task, lives))
        for amounts, same in alike.items():
            for start in range(0, len(same), LARGEST):
                self._array(amounts, same[start : start + LARGEST])

    def _array(self, amounts: tuple[str, ...], tasks: list[tuple[Task, int]]) -> None:
        folder = self.folder / f"array{self._arrays}"
        folder.mkdir()
        self._arrays += 1
        for number, (task, _) in enumerate(tasks):
            _write(folder / f"{number}.task.json", _given(task, self.store))
        command = ["sbatch", "--parsable", "--job-name", "sparseflow", *amounts]
        command += ["--array", f"0-{len(tasks) - 1}%{self.workers}"]
        command += ["--output", f"{folder}/%a.log", "--open-mode", "append"]
        command += ["--wrap", shlex.join([sys.executable, *ELEMENT, str(folder)])]
        array = _asked(command).partition(";")[0].strip()
        for number, (task, lives) in enumerate(tasks):
            self._there.append(_Element(task, folder, number, f"{array}_{number}", lives))

    def _ended(self) -> Iterator[tuple[Task, Outcome]]:
        """Elements that have a result, or will never have one; lost ones begin anew."""
        queue = self._queue()
        again: list[tuple[Task, int]] = []
        for element in list(self._there):
            found = _read(element, self.folder)
            if found is None and not self._lost(element, queue):
                continue
            self._there.remove(element)
            if found is not None:
                yield element.task, found
            elif element.lives <= element.task.retries:
                again.append((element.task, element.lives + 1))
            else:
                yield element.task, _crashed(element)
        self._submit(again)

    def _lost(self, element: _Element, queue: set[str] | None) -> bool:
        """Whether its job has been gone for long enough for its result to be seen."""
        if queue is None or element.job in queue:
            self._gone.pop(element.job, None)
            return False
        since = self._gone.setdefault(element.job, time.monotonic())
        return time.monotonic() - since > SETTLED

    def _queue(self) -> set[str] | None:
        """Elements that wait or run; None where Slurm does not answer."""
        arrays = ",".join(sorted({e.job.partition("_")[0] for e in self._there}))
        command = ["squeue", "--noheader", "--array", "--format", "%i", "--jobs", arrays]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        # arrays that have all ended are no jobs any more
        if said.returncode and "Invalid job id" not in said.stderr:
            if time.monotonic() - self._asked > SILENCE:
                raise TaskError(f"squeue has not answered for {SILENCE:g} s: {_last(said.stderr)}")
            return None
        self._asked = time.monotonic()
        return set(said.stdout.split())


def run_element(folder: Path, number: int) -> None:
    """On a node: run an element of an array, and leave its result."""
    given = json.loads((folder / f"{number}.task.json").read_text())
    found = _ran(Task(**given["task"]), Store(Path(given["store"])))
    kept = Store(folder.parent)
    files = {name: kept.put(data) for name, data in found.files.items()}
    fields = {name: getattr(found, name) for name in Outcome.__dataclass_fields__}
    _write(folder / f"{number}.result.json", fields | {"files": files})


def _ran(task: Task, store: Store) -> Outcome:
    try:
        paths = paths_of(task, store)
    except TaskError as error:  # a folder that this node does not see
        return Outcome(failure={"kind": "error", "text": f"on {platform.node()}: {error}"})
    return Attempts().run(task, paths)


def _given(task: Task, store: Store | None) -> dict[str, Any]:
    check_store(task, store)
    return {"task": asdict(task), "store": str(store.folder.resolve()) if store else ""}


def _read(element: _Element, folder: Path) -> Outcome | None:
    """Its result, if it is there."""
    if not element.result.exists():
        return None
    fields = json.loads(element.result.read_text())
    kept = Store(folder)
    files = {name: kept.get(digest) for name, digest in fields.pop("files").items()}
    found = Outcome(**fields, files=files)
    return replace(found, attempts=found.attempts + element.lives - 1)


def _crashed(element: _Element) -> Outcome:
    log = tail(element.log) if element.log.exists() else ""
    text = f"Slurm has ended its job {element.lives} times without a result"
    return Outcome(failure={"kind": "crash", "text": text}, log=log, attempts=element.lives)


def _amounts(task: Task) -> list[str]:
    """What a job asks for: cores, memory, and time for every attempt."""
    if unknown := sorted(set(task.resources) - {CORES, MEMORY}):
        raise TaskError(f"{task.key} takes {unknown[0]}: Slurm counts {CORES} and {MEMORY} here")
    minutes = math.ceil((task.retries + 1) * task.limit / 60) + 1
    found = ["--cpus-per-task", str(math.ceil(task.resources.get(CORES, 1)))]
    if MEMORY in task.resources:
        found += ["--mem", f"{math.ceil(task.resources[MEMORY] / (1 << 20))}M"]
    return [*found, "--time", str(minutes)]


def _asked(command: list[str]) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        raise TaskError(f"{command[0]} refuses: {_last(said.stderr)}")
    return said.stdout


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["nothing said"])[-1]


def _write(path: Path, fields: dict[str, Any]) -> None:
    replace_file(path, json.dumps(fields, allow_nan=False).encode())
