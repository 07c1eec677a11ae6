"""The history of a suite: a line a run, with its commit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from csb_format.files.ownership import PlaceError
from sim.regress.jobs.verdicts import CaseResult, Run
from sim.regress.records.history import (
    check_history,
    last_seconds,
    read_history,
    with_run,
    write_history,
)
from sim.regress.suite.suite import Case

GREEN = CaseResult(
    Case("a[seed=1]", seed=1), {"cycles_per_step": 33.0}, {"seconds": 1.5}, [], None, "", (), "", ""
)
MISMATCH = replace(
    GREEN, case=Case("b"), failure={"kind": "mismatch", "text": "h[3] is 1", "details": {}}
)


def run_of(*results: CaseResult) -> Run:
    return Run("s", 0.0, 2.0, results, (), True, 1, "abc123")


def append(path: Path, run: Run) -> list[dict[str, Any]]:
    lines = with_run(path, run)
    write_history(path, lines)
    return lines


def test_history_grows_and_survives_broken_lines(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    append(path, run_of(GREEN))
    path.write_text(path.read_text() + "not json\n[1]\n")
    lines = append(path, run_of(GREEN, MISMATCH))
    assert [(line["passed"], line["failed"]) for line in lines] == [(1, 0), (1, 1)]
    assert lines[0]["cases"]["a[seed=1]"]["cycles_per_step"] == 33.0
    assert len(read_history(path)) == 2


def test_a_file_that_is_no_history_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    check_history(path)
    append(path, run_of(GREEN))
    check_history(path)
    for text in ("my notes\n", '{"cases": 3}\n', "\n"):
        path.write_text(path.read_text() + text)
        with pytest.raises(PlaceError, match="line 2 is no run of a history"):
            check_history(path)
        path.write_text(path.read_text()[: -len(text)])


def test_a_run_has_its_commit_and_its_own_seeds_alone(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    again = replace(GREEN, case=GREEN.case.repeated(2), figures={"cycles_per_step": 40.0})
    append(path, run_of(GREEN, again))
    (line,) = read_history(path)
    assert line["commit"] == "abc123"
    assert list(line["cases"]) == ["a[seed=1]"]
    path.write_text(path.read_text().replace('"abc123"', "7"))
    assert read_history(path) == []


def test_the_last_seconds_of_each_case() -> None:
    runs = [
        {"cases": {"a": {"seconds": 3.0}, "b": {"seconds": 5}}},
        {"cases": {"a": {"seconds": 4.0}, "b": {"seconds": 0.0}, "c": {"lut": 1}}},
    ]
    assert last_seconds(runs) == {"a": 4.0, "b": 5}
