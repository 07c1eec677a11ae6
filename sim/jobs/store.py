"""Inputs and results by the hash of their bytes: what is there is whole, and is the right one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from csb_format.files.replace import replace_file

from .task import Outcome, Task, TaskError, canonical

__all__ = ["STORED", "Store", "check_store", "paths_of"]

STORED = ("objects", "results")  # folders of a store


class Store:
    """A folder of objects under their SHA-256, and of results under the digests of their tasks.

    Parameters
    ----------
    folder : Path
        Made when something is put there.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Keep some bytes; their digest, by which a task names them."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        if not path.exists() or path.stat().st_size != len(data):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data)
        return digest

    def path(self, digest: str) -> Path:
        """Where an object lies, or would."""
        return self.folder / "objects" / digest[:2] / digest

    def get(self, digest: str) -> bytes:
        """An object.

        Raises
        ------
        TaskError
            If it is not there, or is damaged.
        """
        try:
            data = self.path(digest).read_bytes()
        except OSError as error:
            raise TaskError(
                f"no object {digest[:12]} in {self.folder} ({error.strerror}): put it there"
            ) from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise TaskError(f"{self.path(digest)} is damaged: remove it, and run again")
        return data

    def keep(self, task: Task, outcome: Outcome) -> None:
        """Note the result of a task that ended well."""
        files = {name: self.put(data) for name, data in sorted(outcome.files.items())}
        note: dict[str, Any] = {"value": self.put(canonical(outcome.value)), "files": files}
        note |= {"call": task.call, "attempts": outcome.attempts}
        note["seconds"] = round(outcome.seconds, 3)
        path = self._note(task)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, canonical(note))

    def result(self, task: Task) -> Outcome | None:
        """The result of a task that has run before; None if there is none, or not all of it."""
        try:
            note = json.loads(self._note(task).read_bytes())
            return self._outcome(note)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # whatever is wrong with it: it runs again

    def _outcome(self, note: dict[str, Any]) -> Outcome:
        files = {name: self.get(digest) for name, digest in note["files"].items()}
        value = json.loads(self.get(note["value"]))
        return Outcome(value, files, attempts=note["attempts"], seconds=note["seconds"])

    def _note(self, task: Task) -> Path:
        digest = task.digest
        return self.folder / "results" / digest[:2] / f"{digest}.json"


def check_store(task: Task, store: Store | None) -> None:
    """Raise a :class:`.TaskError` for inputs without a store."""
    if task.inputs and store is None:
        raise TaskError(f"{task.key} has inputs, and there is no store to take them from")


def paths_of(task: Task, store: Store | None) -> dict[str, Path]:
    """Inputs of a task, which are looked at once more: it must not run with others.

    Raises
    ------
    TaskError
        As :func:`check_store` and :meth:`Store.get`.
    """
    check_store(task, store)
    found = {}
    for name, digest in task.inputs.items():
        assert store is not None
        store.get(digest)
        found[name] = store.path(digest).resolve()
    return found
