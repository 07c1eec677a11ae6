"""What is to be done, and what came of it: plain values, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CORES", "Outcome", "Task", "TaskError", "canonical"]

CORES = "cores"
LIMIT = 3600.0  # seconds of a task that says nothing
RETRIES = 3  # processes, or machines, that may die under a task


class TaskError(ValueError):
    """Tasks that cannot be run as they are given."""


def canonical(value: Any) -> bytes:
    """The one text of a plain value, which digests are taken of.

    Raises
    ------
    TaskError
        If it is no plain value.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TaskError(f"{error}: tasks take and give what JSON has, and finite numbers") from None
    return text.encode()


@dataclass(frozen=True)
class Task:
    """A call in a process of its own.

    Parameters
    ----------
    key : str
        Unique in a run.
    call : str
        ``module:function``, importable wherever it may run. The function takes the arguments, the
        paths of the inputs by name, which it only reads, and an empty folder; it returns what JSON
        has. What it leaves in ``kept`` of the folder comes back too, and what it returns must
        follow from the arguments, the inputs and the version alone.
    arguments : dict
        Plain values.
    inputs : mapping of str to str
        Digests in a :class:`~sim.jobs.store.Store`, by name.
    after : str
        Key of the task that must be done before; empty for none.
    resources : mapping of str to float
        What it takes while it runs, ``cores`` among them.
    limit : float
        Seconds; then it is killed.
    retries : int
        How often it may begin anew because its process, not its function, has ended.
    version : str
        Of what results follow from besides arguments and inputs, such as sources.
    work : str
        Folder in which each attempt makes its own; by default a temporary one.
    keep : bool
        Keep that folder of an attempt that ends well.
    environment : mapping of str to str
        Variables that its process has more.
    """

    key: str
    call: str
    arguments: dict[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    after: str = ""
    resources: Mapping[str, float] = field(default_factory=lambda: {CORES: 1})
    limit: float = LIMIT
    retries: int = RETRIES
    version: str = ""
    work: str = ""
    keep: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of all that its result follows from, whatever the run calls it."""
        what = [self.call, self.arguments, dict(self.inputs), self.version]
        return hashlib.sha256(canonical(what)).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Parameters
    ----------
    value : object
        What the function returned; None if it failed.
    files : dict of str to bytes
        What it left in ``kept``.
    failure : dict, optional
        ``kind``: ``error`` (the function raised), ``crash`` (its process ended) or ``timeout``;
        ``text``.
    log : str
        The last lines that it printed.
    work : str
        Folder of the last attempt, if that is kept.
    attempts : int
    seconds : float
        Of the last attempt, its process's start included.
    """

    value: Any = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    failure: dict[str, str] | None = None
    log: str = ""
    work: str = ""
    attempts: int = 1
    seconds: float = 0.0


def checked(tasks: Iterable[Task]) -> list[Task]:
    """Tasks whose keys are unique, each after one that comes before it.

    Raises
    ------
    TaskError
        Naming the first that is not.
    """
    found: dict[str, Task] = {}
    for task in tasks:
        if task.key in found:
            raise TaskError(f"two tasks are called {task.key}: give each a key of its own")
        if task.after and task.after not in found:
            raise TaskError(f"{task.key} comes after {task.after}, which is no task before it")
        found[task.key] = task
    return list(found.values())
