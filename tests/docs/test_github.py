"""What GitHub and pre-commit are told exists here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for job in read(path)["jobs"].values():
        assert job["timeout-minutes"] <= 60
        runs = [step["run"] for step in job["steps"] if "run" in step]
        for run in runs:
            assert set(re.findall(r"\bmake (\w+)", run)) <= targets
            for script in re.findall(r"\bbash (\S+)", run):
                assert (ROOT / script).is_file()


def test_ci_runs_what_everybody_runs() -> None:
    (ci,) = (path for path in WORKFLOWS if path.stem == "ci")
    steps = read(ci)["jobs"]["test"]["steps"]
    assert steps[-1]["run"] == "bash .ci/run"
    assert "make --no-print-directory test" in (ROOT / ".ci/run").read_text("utf-8")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_forms_ask_for_something(path: Path) -> None:
    form = read(path)
    if path.stem != "config":
        assert {"name", "description", "body"} <= set(form)
        assert all(field["attributes"]["label"] for field in form["body"])


def test_pre_commit_runs_the_tools_of_the_project() -> None:
    (repo,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    lint = (ROOT / "Makefile").read_text("utf-8")
    for hook in repo["hooks"]:
        tool = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert tool in lint


def test_contributing_names_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\s*(?:#|`)", text)) <= targets
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), link
