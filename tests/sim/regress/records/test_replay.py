"""A replay is red for whatever made the case red in its run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.regress.jobs.runner import Places
from sim.regress.records.replay import replay
from sim.regress.suite.baseline import Baseline
from sim.regress.suite.suite import read_suite

WRITE = "import json, sys; json.dump({'lut': 10, 'ms': 95}, open(sys.argv[1], 'w'))"
WAS = {"lut": 10, "ms": 100}


@pytest.mark.parametrize(
    ("program", "more", "was", "story"),
    [
        (WRITE, "", WAS, ""),
        (WRITE, "", WAS | {"lut": 8}, "lut 8 -> 10 (+25.00 %)"),
        (WRITE, "", WAS | {"ms": 50}, "ms 50 -> 95 (+90.00 %, 10 % allowed)"),
        (WRITE, "", None, "not in the baseline"),
        (WRITE, "[cases.expect]\nlut = 11", WAS, "lut is 10, the suite expects 11"),
        (WRITE, 'figures = ["lut", "clock"]', WAS, "no figure is called clock"),
        ("import sys; sys.exit('last words')", "", WAS, "last words"),
        ("import time; time.sleep(60)", "timeout = 0.5", WAS, "killed after 0.5 s"),
        ("import os; os.abort()", "", WAS, "failed"),
    ],
)
def test_what_is_red_in_a_run_is_red_in_a_replay(
    tmp_path: Path, program: str, more: str, was: dict[str, int] | None, story: str
) -> None:
    words = json.dumps(["{python}", "-c", program, "{out}"])
    path = tmp_path / "suite.toml"
    case = f'[[cases]]\nname = "c"\nkind = "command"\ncommand = {words}\n{more}\n'
    path.write_text(f"[tolerance]\nms = 0.1\n{case}")
    baseline = Baseline({} if was is None else {"c": was})
    places = Places(path, tmp_path / "out", tmp_path / "cache")
    found = replay(read_suite(path), places, baseline=baseline)
    assert found.passed == (story == "")
    assert story in found.story
    assert found.story == "c: all is as it should be" or found.story.startswith("red: c\n  ")
