"""Results of shards as one run: nothing lost, nothing twice, nothing of another suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.regress.jobs.runner import Places
from sim.regress.jobs.verdicts import Run, judged
from sim.regress.records.merge import MergeError, merged, result_folders
from sim.regress.records.records import as_results
from sim.regress.suite.baseline import Baseline
from sim.regress.suite.suite import Case, Suite

CASES = tuple(Case(name, kind="command", command=["make", "{out}"]) for name in "abcd")
SUITE = Suite("s", {}, CASES, {}, Path())
PLACES = Places(Path("s.toml"), Path("out"), Path("cache"))
WAS = Baseline({name: {"lut": 10} for name in "abcd"})


def found(lut: int) -> dict[str, Any]:
    return {
        "figures": {"lut": lut}, "times": {"seconds": 2.0}, "bins": ["kind/command"],
        "reach": ["kind/command"], "failure": None, "log": "", "work": "",
    }  # fmt: skip


def shard(folder: Path, *names: str, lut: int = 10, commit: str = "abc", times: int = 1) -> Path:
    """What a machine leaves that has run some cases."""
    folder.mkdir(parents=True)
    part = SUITE.only(*names).repeated(times)
    results = tuple(judged(part, case, found(lut), None, "") for case in part.cases)
    run = Run("s", 5.0, 3.0 + len(names), results, (), False, 1, commit, "1/2")
    content = json.loads(json.dumps(as_results(run, {})))
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def test_shards_are_one_run(tmp_path: Path) -> None:
    shard(tmp_path / "x", "c", "a")
    shard(tmp_path / "y", "d", "b", lut=11)
    folders = result_folders([tmp_path])
    assert folders == result_folders([tmp_path / "x", tmp_path / "y", tmp_path / "x"])
    run = merged(SUITE, PLACES, folders, WAS)
    assert [result.case.name for result in run.results] == list("abcd")
    assert [result.passed for result in run.results] == [True, False, True, False]
    assert run.results[1].story == "lut 10 -> 11 (+10.00 %)"
    assert run.results[1].replay.endswith("--out out --cache cache --replay b")
    assert (run.started, run.seconds, run.hardware, run.commit) == (5.0, 5.0, 2, "abc")
    assert run.coverage == {"kind": {"bins": 1, "hit": 1, "missed": []}}


def test_a_case_that_no_shard_has_run_is_red(tmp_path: Path) -> None:
    run = merged(SUITE, PLACES, [shard(tmp_path / "x", "a", "b", "c")], WAS)
    (red,) = run.failed
    assert red.case.name == "d"
    assert "no shard has run it" in red.story


def test_cases_of_the_baseline_that_are_gone_are_told(tmp_path: Path) -> None:
    was = Baseline(WAS.cases | {"e": {"lut": 1}})
    assert merged(SUITE, PLACES, [shard(tmp_path / "x", *"abcd")], was).gone == ("e",)


def test_repetitions_come_together(tmp_path: Path) -> None:
    folders = [shard(tmp_path / "x", "b", times=2), shard(tmp_path / "y", "a", "c", "d", times=2)]
    run = merged(SUITE, PLACES, folders, WAS)
    assert [result.case.name for result in run.results[:4]] == ["a", "a~2", "b", "b~2"]
    assert run.passed


def test_what_is_no_run_of_the_suite_is_refused(tmp_path: Path) -> None:
    one = shard(tmp_path / "one", "a", "b")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MergeError, match=r"there is no results\.json in it: give --out of a shard"):
        result_folders([tmp_path / "empty"])
    with pytest.raises(MergeError, match=r"have both run a: .* give each the same --history"):
        merged(SUITE, PLACES, [one, shard(tmp_path / "two", "a", "c")], WAS)
    with pytest.raises(MergeError, match=r"is of commit abc, .* of none: give shards of one"):
        merged(SUITE, PLACES, [one, shard(tmp_path / "three", "c", commit="")], WAS)
    other = Suite("t", {}, CASES, {}, Path())
    with pytest.raises(MergeError, match="is of suite 's', not of 't'"):
        merged(other, PLACES, [one], WAS)
    fewer = Suite("s", {}, CASES[1:], {}, Path())
    with pytest.raises(MergeError, match="has run 'a', which is no case of s"):
        merged(fewer, PLACES, [one], WAS)
    changed = Suite("s", {}, (Case("a", kind="command", command=["x"]), *CASES[1:]), {}, Path())
    with pytest.raises(MergeError, match="has run a as another version of s has it"):
        merged(changed, PLACES, [one], WAS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "cannot be read: run that shard again"),
        ("[]", "is no result of a run"),
        ({"commit": 3}, "is no result of a run"),
        ({"cases": {}}, "is no result of a run"),
        ({"seconds": "3"}, "is no result of a run"),
        ({"cases": [3]}, "is damaged: run that shard again"),
        ({"cases": [{"case": "a", "figures": {"lut": []}}]}, "is damaged: run that shard again"),
    ],
)
def test_damaged_results_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = shard(tmp_path / "x", "a") / "results.json"
    whole = json.loads(path.read_text())
    path.write_text(change if isinstance(change, str) else json.dumps(whole | change))
    with pytest.raises(MergeError, match=message):
        merged(SUITE, PLACES, [tmp_path / "x"], WAS)
