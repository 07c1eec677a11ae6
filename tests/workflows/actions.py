"""Stand-ins for the actions that our workflows use: what they take, and what they do."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.workflows.machine import Machine

__all__ = ["ACTIONS", "Call", "Service"]

Post = Callable[[], None] | None


@dataclass
class Service:
    """What outlives a machine: caches, and artifacts of the run that is going on."""

    root: Path
    checkout: Callable[[Path], None]
    caches: dict[str, str] = field(default_factory=dict)  # key to branch, the oldest first
    artifacts: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """A run begins: it has no artifacts so far."""
        for name in self.artifacts:
            shutil.rmtree(self.artifact(name))
        self.artifacts.clear()

    def cache(self, key: str) -> Path:
        """Where a cache lies: keys have characters that a name must not have."""
        return self.root / "caches" / hashlib.sha256(key.encode()).hexdigest()

    def artifact(self, name: str) -> Path:
        return self.root / "artifacts" / name


@dataclass(frozen=True)
class Call:
    """An action with its words, on a machine, in a run that may take caches of some branches."""

    machine: Machine
    service: Service
    scopes: list[str]
    words: dict[str, Any]

    def only(self, *known: str) -> None:
        assert set(self.words) <= set(known), f"{set(self.words) - set(known)} is no input"

    def lines(self, name: str) -> list[str]:
        return [line.strip() for line in self.words[name].splitlines() if line.strip()]


def checkout(call: Call) -> tuple[dict[str, str], Post]:
    call.only("fetch-depth")
    call.service.checkout(call.machine.workspace)
    call.machine.give(call.machine.workspace)
    return {}, None


def setup_python(call: Call) -> tuple[dict[str, str], Post]:
    call.only("python-version", "cache", "cache-dependency-path")
    assert isinstance(call.words["python-version"], str), "3.10 without quotes is 3.1"
    if path := call.words.get("cache-dependency-path"):
        assert (call.machine.workspace / path).exists()
    return {"python-version": call.machine.set_up_python()}, None


def cache(call: Call) -> tuple[dict[str, str], Post]:
    """Restored now, kept at the end of a job that went well, unless the key is there already."""
    outputs, _ = restore(call)
    return outputs, lambda: _keep(call)


def restore(call: Call) -> tuple[dict[str, str], Post]:
    call.only("path", "key", "restore-keys")
    exact = call.words["key"] in call.service.caches
    starts = [call.words["key"]]
    starts += call.lines("restore-keys") if "restore-keys" in call.words else []
    for start in starts:
        for key in reversed(call.service.caches):
            if key.startswith(start) and call.service.caches[key] in call.scopes:
                target = call.machine.workspace / call.words["path"]
                shutil.copytree(call.service.cache(key), target, symlinks=True, dirs_exist_ok=True)
                call.machine.give(target.parent)
                return {"cache-hit": str(exact).lower(), "cache-matched-key": key}, None
    return {"cache-hit": "false", "cache-matched-key": ""}, None


def save(call: Call) -> tuple[dict[str, str], Post]:
    call.only("path", "key")
    _keep(call)
    return {}, None


def _keep(call: Call) -> None:
    key, source = call.words["key"], call.machine.workspace / call.words["path"]
    assert len(key) <= 512, f"{key} is longer than GitHub takes"
    assert "," not in key
    if key in call.service.caches or not source.exists():
        return
    shutil.copytree(source, call.service.cache(key), symlinks=True)
    call.service.caches[key] = call.scopes[0]


def upload(call: Call) -> tuple[dict[str, str], Post]:
    """Files below the folder that all paths have in common; hidden ones stay."""
    call.only("name", "path", "if-no-files-found", "retention-days")
    name, root = call.words["name"], call.machine.workspace
    assert name not in call.service.artifacts, f"{name} is uploaded twice"
    paths = [root / line for line in call.lines("path")]
    files = [f for path in paths for f in ([path] if path.is_file() else path.rglob("*"))
             if f.is_file() and not _hidden(f.relative_to(root))]  # fmt: skip
    if not files:
        if call.words.get("if-no-files-found") != "ignore":
            call.service.warnings.append(f"nothing to upload for {name}")
        return {}, None
    common = Path(os.path.commonpath(paths)) if len(paths) > 1 else paths[0]
    common = common.parent if common.is_file() else common
    for file in files:
        target = call.service.artifact(name) / file.relative_to(common)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    call.service.artifacts.add(name)
    return {}, None


def download(call: Call) -> tuple[dict[str, str], Post]:
    """Each artifact in a folder of its name, or all in one."""
    call.only("name", "pattern", "path", "merge-multiple")
    chosen = call.words.get("name") or call.words["pattern"]
    names = [name for name in sorted(call.service.artifacts) if Path(name).match(chosen)]
    assert names, f"no artifact is called {chosen}"
    for name in names:
        flat = "name" in call.words or call.words.get("merge-multiple")
        target = call.machine.workspace / call.words["path"] / ("" if flat else name)
        shutil.copytree(call.service.artifact(name), target, dirs_exist_ok=True)
    call.machine.give(call.machine.workspace / Path(call.words["path"]).parts[0])
    return {}, None


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


ACTIONS: dict[str, Callable[[Call], tuple[dict[str, str], Post]]] = {
    "actions/checkout@v4": checkout,
    "actions/setup-python@v5": setup_python,
    "actions/cache@v4": cache,
    "actions/cache/restore@v4": restore,
    "actions/cache/save@v4": save,
    "actions/upload-artifact@v4": upload,
    "actions/download-artifact@v4": download,
}
