"""The workflows that people copy, followed step by step on machines like GitHub's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.follow.test_regress import gitlab
from tests.workflows.actions import ACTIONS
from tests.workflows.conftest import ROOT, Hosted
from tests.workflows.runner import Event, Job, Runner
from tests.workflows.test_system import ASKED, CheckedOut

ONE = ROOT / "examples/regress/github.yml"
SHARDS = ROOT / "examples/regress/github_shards.yml"
OURS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def steps(path: Path) -> list[dict[str, Any]]:
    """Of all jobs."""
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("path", [ONE, SHARDS, *OURS], ids=lambda path: path.stem)
def test_every_step_is_one_that_we_can_follow(path: Path) -> None:
    for step in steps(path):
        assert ("uses" in step) != ("run" in step)
        assert set(step) <= {"name", "id", "if", "uses", "with", "run"}
        assert step.get("uses") in {None, *ACTIONS}
        # a machine is an ordinary user's, and what make asks for stands in the Makefile alone
        assert "apt-get" not in step.get("run", "")


@pytest.mark.parametrize("path", [ONE, SHARDS], ids=lambda path: path.stem)
def test_the_kept_simulators_are_of_one_environment(path: Path) -> None:
    (step,) = [step for step in steps(path) if step.get("name") == "simulators"]
    key, start = step["with"]["key"], step["with"]["restore-keys"].strip()
    assert key.startswith(start)
    for part in ("runner.os", "steps.image.outputs.version", "steps.python.outputs.python-version"):
        assert part in start
    for room in ("csb_format", "compiler", "hdl", "sim"):
        assert f"'{room}/**'" in key


def files(runner: Runner, artifact: str) -> set[str]:
    """Names of what was uploaded."""
    folder = runner.service.artifact(artifact)
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def only_red(runner: Runner, artifact: str, red: int) -> None:
    """Nothing of a green case is in it, and something of the red one."""
    names = files(runner, artifact)
    assert any(f"cells{red}" in name for name in names), names
    assert not any(f"cells{n}" in name for name in names for n in range(red)), names


def passed(runner: Runner) -> list[int]:
    """Of each run in the history that was uploaded, the cases that passed."""
    text = next(runner.service.artifact("regress").rglob("history.jsonl")).read_text()
    return [json.loads(line)["passed"] for line in text.splitlines()]


@pytest.mark.slow
def test_history_grows_run_by_run_and_only_red_cases_are_uploaded(hosted: Hosted) -> None:
    """Red first: what `actions/cache` does by itself keeps nothing of such a run."""
    red = True
    runner = hosted(red=lambda: red)
    (job,) = runner.run(ONE, Event(run_id=7)).values()
    assert job.machine.asked[-1] == ASKED, job.text
    assert job.outcomes["install"] == "success", job.text
    assert job.outcomes["regress"] == "failure", job.text
    assert "lut 2 -> 1" in job.printed["regress"]
    assert runner.service.artifacts == {"regress", "regress-red"}
    only_red(runner, "regress-red", 1)
    red = False
    (job,) = runner.run(ONE, Event("refs/heads/feature", run_id=8)).values()
    assert job.passed, job.text
    assert runner.service.artifacts == {"regress"}
    assert passed(runner) == [1, 2]
    assert {Path(name).name for name in files(runner, "regress")} == {
        "badge.svg", "history.jsonl", "junit.xml", "report.html", "results.json"
    }  # fmt: skip
    keys = [key for key in runner.service.caches if "history" in key]
    assert keys == [
        "regress-history:refs/heads/main:7.1", "regress-history:refs/heads/feature:8.1"
    ]  # fmt: skip
    assert runner.service.warnings == []


@pytest.mark.slow
def test_each_branch_goes_on_with_its_own_history(hosted: Hosted) -> None:
    """A pull request begins with its base's; what it adds comes to no other branch."""
    runner = hosted()
    for ref, number in (("main", 1), ("main-2", 2), ("main", 3)):
        runner.run(ONE, Event(f"refs/heads/{ref}", run_id=number))
    assert passed(runner) == [2, 2]
    request = Event("refs/pull/5/merge", "main", "pull_request", run_id=4)
    runner.run(ONE, request)
    assert passed(runner) == [2, 2, 2]
    runner.run(ONE, Event(run_id=3, run_attempt=2))  # run again: a key of its own
    assert passed(runner) == [2, 2, 2]
    assert "regress-history:refs/heads/main:3.2" in runner.service.caches


def merged(runner: Runner, number: int) -> tuple[dict[str, Job], Job]:
    done = runner.run(SHARDS, Event(run_id=number))
    return {name: job for name, job in done.items() if name != "merge"}, done["merge"]


@pytest.mark.slow
def test_shards_are_one_result(hosted: Hosted) -> None:
    red = True
    runner = hosted(red=lambda: red, count=4)
    shards, merge = merged(runner, 1)
    assert len(shards) == 4
    assert sum(not job.passed for job in shards.values()) == 1, merge.text
    assert merge.outcomes["regress"] == "failure", merge.text
    assert "lut 4 -> 3" in merge.printed["regress"]
    assert passed(runner) == [3]
    (name,) = [name for name in runner.service.artifacts if "red" in name]
    only_red(runner, name, 3)
    red = False
    shards, merge = merged(runner, 2)
    assert all(job.passed for job in (*shards.values(), merge)), merge.text
    assert passed(runner) == [3, 4]
    results = json.loads(next(runner.service.artifact("regress").rglob("results.json")).read_text())
    assert len(results["cases"]) == 4


@pytest.mark.slow
@pytest.mark.parametrize("user", ["root", "runner"])
def test_the_shell_example_needs_nothing_else(checked_out: CheckedOut, user: str) -> None:
    """From the installation to the summary, in a container and as an ordinary user."""
    machine = checked_out(user=user)
    env = {"SUITE": "tiny/suite.toml", "PYTHONPATH": ".", "CI": ""}
    done = machine.run(["bash", "examples/regress/ci.sh"], env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.asked[-1] == ASKED
    assert "## Regression suite: green" in done.stdout


@pytest.mark.slow
def test_gitlabs_job_runs_in_its_container(checked_out: CheckedOut) -> None:
    """Root without sudo, as in the image that docs/regress.md names."""
    machine, job = checked_out(user="root"), gitlab()
    env = {"SUITE": "tiny/suite.toml", "PYTHONPATH": "."}
    for line in job["script"]:
        done = machine.run(["bash", "-ec", line], env)
        assert done.returncode == 0, done.stdout + done.stderr
    kept = [*job["cache"]["paths"], job["artifacts"]["reports"]["junit"]]
    assert all((machine.workspace / path).exists() for path in kept)


@pytest.mark.slow
def test_pip_installs_all_that_the_workflow_needs(hosted: Hosted) -> None:
    """An empty machine: `make setup` makes the environment, nothing of these tests' is seen."""
    runner = hosted(linked=False)
    (job,) = runner.run(ONE, Event()).values()
    assert job.passed, job.text
    assert re.search(r"^setup took \d+ s; source \.venv/bin/activate", job.printed["install"], re.M)
    assert "2 of 2 cases passed" in job.printed["regress"]


@pytest.mark.slow
def test_the_default_suite_is_green_and_uploads_no_case(hosted: Hosted) -> None:
    runner = hosted()
    runner.change = {}
    (job,) = runner.run(ONE, Event()).values()
    assert job.passed, job.text
    assert "cases passed" in job.printed["regress"]
    assert runner.service.artifacts == {"regress"}
    assert runner.service.warnings == []
