"""Runs a GitHub workflow here: jobs in order, a matrix, `if`, shell steps as an ordinary user."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.workflows.actions import ACTIONS, Call, Service
from tests.workflows.expressions import evaluate, filled
from tests.workflows.machine import Machine

VERSION = "20250202.1.0"  # of the image, as its runner tells shells and nobody else


@dataclass(frozen=True)
class Event:
    """What happened, so that the workflow runs."""

    ref: str = "refs/heads/main"
    base_ref: str = ""
    name: str = "push"
    run_id: int = 1
    run_attempt: int = 1

    @property
    def names(self) -> dict[str, Any]:
        """The context `github`."""
        return {
            "ref": self.ref,
            "ref_name": self.ref.removeprefix("refs/heads/"),
            "base_ref": self.base_ref,
            "event_name": self.name,
            "run_id": self.run_id,
            "run_attempt": self.run_attempt,
            "event": {"repository": {"default_branch": "main"}},
        }

    @property
    def scopes(self) -> list[str]:
        """Branches whose caches this run may take: its own, its base's, the default one's."""
        bases = [f"refs/heads/{name}" for name in (self.base_ref, "main") if name]
        return list(dict.fromkeys([self.ref, *bases]))


@dataclass
class Job:
    """What became of a job: of each step its outcome, and what it printed."""

    machine: Machine
    outcomes: dict[str, str] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return "failure" not in self.outcomes.values()

    @property
    def text(self) -> str:
        """For a failing test."""
        return "\n".join(f"== {name}: {self.outcomes[name]}\n{text}" for name, text in
                         self.printed.items())  # fmt: skip


@dataclass
class Runner:
    """A workflow, the service that keeps caches and artifacts, and how a machine is had."""

    service: Service
    machine: Callable[[str, str], Machine]  # from a job's name and its image
    env: Mapping[str, str] = field(default_factory=dict)
    change: Mapping[str, str] = field(default_factory=dict)  # instead of what the workflow sets

    def run(self, path: Path, event: Event) -> dict[str, Job]:
        """All jobs, those of a matrix as NAME (VALUE)."""
        workflow = yaml.safe_load(path.read_text("utf-8"))
        self.service.begin()
        done: dict[str, Job] = {}
        for name, job in workflow["jobs"].items():
            needed = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            before = [j for n, j in done.items() if n.partition(" (")[0] in needed]
            fine = all(j.passed for j in before)
            if _wanted(job.get("if", "success()"), fine, {"github": event.names}):
                for label, matrix in _matrix(name, job):
                    done[label] = self._job(label, workflow, job, event, matrix)
        return done

    def _job(
        self, label: str, workflow: Any, job: Any, event: Event, matrix: dict[str, Any]
    ) -> Job:
        machine = self.machine(label, job["runs-on"])
        names: dict[str, Any] = {
            "github": event.names, "runner": {"os": "Linux", "temp": str(machine.root)},
            "matrix": matrix, "steps": {}, "env": {},
            "strategy": {"job-total": len(list(_matrix(label, job)))},
        }  # fmt: skip
        given = workflow.get("env", {}) | job.get("env", {}) | dict(self.change)
        names["env"] = filled(given, names, {})
        made, posts = Job(machine), []
        for number, step in enumerate(job["steps"]):
            name = step.get("name") or step.get("uses") or f"step {number}"
            assert name not in made.outcomes, f"two steps are called {name}"
            if not _wanted(step.get("if", "success()"), made.passed, names):
                made.outcomes[name] = "skipped"
                continue
            outputs, text, passed, post = self._step(step, names, machine, event)
            made.outcomes[name] = "success" if passed else "failure"
            made.printed[name] = text
            posts += [post] if post else []
            if "id" in step:
                names["steps"][step["id"]] = {"outputs": outputs}
        for post in reversed(posts):
            if made.passed:  # as the action `cache` has it
                post()
        return made

    def _step(self, step: Any, names: dict[str, Any], machine: Machine, event: Event) -> Any:
        functions = {"hashFiles": lambda *globs: _hash(machine.workspace, globs)}
        if "uses" in step:
            words = filled(step.get("with", {}), names, functions)
            call = Call(machine, self.service, event.scopes, words)
            outputs, post = ACTIONS[step["uses"]](call)
            return outputs, "", True, post
        env = names["env"] | filled(step.get("env", {}), names, functions)
        env |= {"GITHUB_REF": event.ref, "GITHUB_RUN_ID": event.run_id}
        script = filled(step["run"], names, functions)
        done, outputs = self._shell(script, env, machine, step.get("shell"))
        return outputs, done.stdout + done.stderr, done.returncode == 0, None

    def _shell(
        self, script: str, env: Mapping[str, Any], machine: Machine, shell: str | None
    ) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
        """As the runner starts it: `bash -e`, and with `shell: bash` pipes count as well."""
        assert shell in (None, "bash"), shell
        flags = ["-e"] if shell is None else ["--noprofile", "--norc", "-eo", "pipefail"]
        files = {name: machine.root / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        files["GITHUB_OUTPUT"].write_text("")
        files["GITHUB_STEP_SUMMARY"].touch()
        (machine.root / "script").write_text(script)
        for path in (*files.values(), machine.root / "script"):
            machine.give(path)
        told = {"ImageOS": machine.image.replace("-", "").partition(".")[0]}
        told |= {"ImageVersion": VERSION, "GITHUB_ACTIONS": "true"}
        told |= {name: str(path) for name, path in files.items()}
        told |= {name: str(value) for name, value in env.items()}
        done = machine.run(
            ["bash", *flags, str(machine.root / "script")], {**self.env, **told}, limit=3000
        )
        lines = files["GITHUB_OUTPUT"].read_text("utf-8").splitlines()
        return done, dict(line.split("=", 1) for line in lines)


def _wanted(condition: str, passed: bool, names: Mapping[str, Any]) -> bool:
    functions = {
        "always": lambda: True,
        "success": lambda: passed,
        "failure": lambda: not passed,
        "cancelled": lambda: False,
    }
    text = condition.removeprefix("${{").removesuffix("}}").strip()
    return bool(evaluate(text, names, functions))


def _matrix(name: str, job: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    axes: dict[str, list[Any]] = job.get("strategy", {}).get("matrix", {})
    if not axes:
        yield name, {}
        return
    for values in itertools.product(*axes.values()):
        yield f"{name} ({', '.join(map(str, values))})", dict(zip(axes, values, strict=True))


def _hash(workspace: Path, globs: tuple[str, ...]) -> str:
    """One number for all files; GitHub's is empty where there are none, which nobody wants."""
    files = sorted({p for g in globs for p in workspace.glob(g) if p.is_file()})
    for pattern in globs:
        assert any(path.is_file() for path in workspace.glob(_within(pattern))), pattern
    whole = hashlib.sha256()
    for path in files:
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _within(pattern: str) -> str:
    """In `pathlib` two stars alone are folders only."""
    return pattern + "/*" if pattern.endswith("**") else pattern
