"""Rows of one part stand beside those of others."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from bench.speed import exact_model, toolchain
from bench.speed.rows import Row, write_rows


def test_parts_are_merged_in_their_order(tmp_path: Path) -> None:
    path, order = tmp_path / "speed.json", ["simulation", "engine"]
    engine = Row("a step", None, 1.23456, 2.0, {"cores": 1}).plain("engine")
    assert engine == {
        "part": "engine", "what": "a step", "before_s": None, "after_s": 1.235, "limit_s": 2.0,
        "cores": 1,
    }  # fmt: skip
    for row in (engine, Row("old", 3.0, 2.0, None).plain("simulation")):
        write_rows(path, 0, [row], order)
    write_rows(path, 0, [Row("new", 3.0, 1.0, None).plain("simulation")], order)
    rows = json.loads(path.read_text())["rows"]
    assert [(row["part"], row["what"]) for row in rows] == [
        ("simulation", "new"),
        ("engine", "a step"),
    ]


@pytest.mark.parametrize("part", [toolchain, pytest.param(exact_model, marks=pytest.mark.slow)])
def test_quick_parts_run(part: ModuleType) -> None:
    found = part.rows(True, [""])
    assert all(row.after_s >= 0 for row in found)
    assert len(found) > 1
    (first,) = part.rows(True, [found[0].what])
    assert first.what == found[0].what


@pytest.mark.slow
def test_an_earlier_tree_takes_turns(tmp_path: Path) -> None:
    root = Path(exact_model.__file__).parents[2]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (row,) = exact_model.rows(True, ["calls of step"], before=root)
    assert row.what.endswith(f"before: tree {commit}")
    assert row.before_s is not None
    assert row.before_s > 0 < row.after_s
    assert row.more is not None
    assert 0.1 < row.more["times_as_fast"] < 10  # itself, on a busy machine
    with pytest.raises(SystemExit, match=r"--before .* is no worktree: git worktree add FOLDER"):
        exact_model.rows(True, ["calls of step"], before=tmp_path)
