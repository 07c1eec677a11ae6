"""What a run leaves for machines and for people."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from sim.regress.jobs.bin_coverage import ALL_BINS
from sim.regress.jobs.line_coverage import combined, measuring
from sim.regress.jobs.verdicts import CaseResult, Run
from sim.regress.records.records import as_junit, as_markdown, as_results
from sim.regress.suite.baseline import Change
from sim.regress.suite.suite import Case
from sim.run.processes import environment

SUITE = Path("suites/s.toml")
GREEN = CaseResult(
    Case("a[seed=1]", seed=1), {"mismatches": 0, "cycles_per_step": 33.0}, {"seconds": 1.5},
    [ALL_BINS[0]], None, "", (), "sparseflow regress s --replay 'a[seed=1]'", "",
    reach=ALL_BINS,
)  # fmt: skip
MISMATCH = replace(
    GREEN,
    case=Case("b"),
    failure={"kind": "mismatch", "text": "h[3] is 1, should be 2", "details": {"row": 3}},
    log="the log \x1b[31m",
    replay="sparseflow regress s --replay b",
)
CRASH = replace(MISMATCH, case=Case("c"), failure={"kind": "crash", "text": "x", "details": {}})
CHANGED = replace(GREEN, case=Case("d"), changes=(Change("d", "cycles", 33, 34),))


def run_of(*results: CaseResult, gone: tuple[str, ...] = ()) -> Run:
    return Run("s", 0.0, 2.0, results, gone, True, 1)


def test_junit_has_parameters_stories_and_replays() -> None:
    root = ElementTree.fromstring(
        as_junit(run_of(GREEN, MISMATCH, CRASH, CHANGED, gone=("e",)), SUITE)
    )
    (suite,) = root
    assert suite.attrib["tests"] == "5"
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("3", "1")
    cases = {case.attrib["name"]: case for case in suite}
    properties = {p.attrib["name"]: p.attrib["value"] for p in cases["a[seed=1]"].iter("property")}
    assert properties["seed"] == "1"
    assert properties["cycles_per_step"] == "33.0"
    failure = cases["b"].find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "mismatch: h[3] is 1, should be 2"
    assert "--replay b" in (failure.text or "")
    assert cases["b"].findtext("system-out") == "the log "
    assert cases["c"].find("error") is not None
    assert "cycles 33 -> 34" in (cases["d"].find("failure").text or "")  # type: ignore[union-attr]
    assert cases["e"].find("failure") is not None


def test_of_a_program_only_what_it_has_is_told() -> None:
    case = Case("p", kind="command", command=["x", "{seed}"], seed=7)
    silent = {"kind": "timeout", "text": "x killed after 1 s\n", "details": {}}
    run = run_of(replace(MISMATCH, case=case, failure=silent), MISMATCH)
    assert run.results[0].story == "timeout: x killed after 1 s"
    (suite,) = ElementTree.fromstring(as_junit(run, SUITE))
    program, network = suite
    names = {p.attrib["name"] for p in program.iter("property")}
    assert names - set(MISMATCH.figures) == {"kind", "command", "seed", "timeout"}
    assert "again: sparseflow" in (program.find("error").text or "")  # type: ignore[union-attr]
    assert "again, with waveforms: " in (network.find("failure").text or "")  # type: ignore[union-attr]
    assert as_markdown(run).count("Again, with waveforms: ") == 1
    assert as_markdown(run).count("Again: ") == 1


def test_junit_says_which_file_and_how_long() -> None:
    run = run_of(GREEN, MISMATCH, gone=("e",))
    root = ElementTree.fromstring(as_junit(run, Path.cwd() / SUITE))
    (suite,) = root
    assert (root.attrib["time"], suite.attrib["time"]) == ("2.000", "2.000")
    assert suite.attrib["timestamp"] == "1970-01-01T00:00:00"
    assert {case.attrib["file"] for case in suite} == {"suites/s.toml"}
    assert [case.attrib["time"] for case in suite] == ["1.500", "1.500", "0.000"]
    (elsewhere,) = ElementTree.fromstring(as_junit(run, Path("/other/s.toml")))
    assert elsewhere.attrib["file"] == "/other/s.toml"


def test_only_bins_that_the_cases_can_touch_count() -> None:
    mine = replace(GREEN, reach=ALL_BINS[:3])
    assert sum(group["bins"] for group in run_of(mine).coverage.values()) == 3
    every = replace(run_of(mine), bins="all")
    assert sum(group["bins"] for group in every.coverage.values()) == len(ALL_BINS)
    # what was hit counts, whoever said that it cannot be
    assert sum(g["hit"] for g in run_of(replace(GREEN, reach=())).coverage.values()) == 1


def test_flaky_cases_are_named() -> None:
    red = replace(MISMATCH, case=GREEN.case.repeated(2), flaky="1 of 2 runs failed")
    run = run_of(GREEN, red)
    assert run.flaky == ("a[seed=1]",)
    assert "Flaky: `a[seed=1]`" in as_markdown(run)
    assert as_results(run, {})["flaky"] == ["a[seed=1]"]
    assert "flaky: 1 of 2 runs failed" in as_junit(run, SUITE).decode()


def test_markdown_says_what_changed_and_what_is_not_covered() -> None:
    text = as_markdown(run_of(GREEN, CHANGED))
    assert "## Regression s: red" in text
    assert "1 of 2 cases passed" in text
    assert "cycles 33 -> 34 (+3.03 %)" in text
    assert "| **d** (red) | 33 | 0 | 1.5 |" in text
    group, _, name = ALL_BINS[1].partition("/")
    assert any(line.startswith(f"| {group} | 1 of") and name in line for line in text.splitlines())
    assert "green" in as_markdown(run_of(GREEN))


NASTY = "a`b``c|d\ud800\x00\x1b[31m\uffff<script>&amp; [x](http://y) *b* # \n```\n| x |"
WILD = replace(
    MISMATCH,
    case=Case(NASTY, command=[NASTY]),
    figures={NASTY: NASTY, "mismatches": NASTY, "cycles_per_step": NASTY},
    failure={"kind": "crash", "text": NASTY, "details": {}},
    log=NASTY,
    replay=NASTY,
)


def test_junit_is_well_formed_whatever_stands_in_a_run() -> None:
    run = replace(run_of(WILD, GREEN, gone=(NASTY,)), suite=NASTY)
    root = ElementTree.fromstring(as_junit(run, SUITE))
    assert [len(suite) for suite in root] == [3]
    every = "".join(map(chr, range(0x10000))) + "\U0001f600\U0010ffff"
    wild = replace(WILD, log=every, failure={"kind": "crash", "text": every, "details": {}})
    (suite,) = ElementTree.fromstring(as_junit(run_of(wild), SUITE))
    assert "\U0001f600" in (suite[0].findtext("system-out") or "")


def test_markdown_shows_texts_as_they_are_and_runs_none() -> None:
    run = replace(run_of(WILD, GREEN, gone=(NASTY,)), suite=NASTY)
    text = as_markdown(run)
    assert text.encode()
    lines, outside, fence = text.splitlines(), list[str](), ""
    for line in lines:
        if not fence and line.startswith("```"):
            fence = line
        elif line == fence:
            fence = ""
        elif not fence:
            outside.append(line)
    assert not fence
    plain = [line for line in outside if "`" not in line.replace("\\`", "")]
    assert not any("<script>" in line for line in plain)
    assert not any("[x](" in line.replace("\\[", "") for line in plain)
    rows = [line for line in outside if line.startswith("| ") and "script" in line]
    assert len(rows) == 1
    assert len(rows[0].replace("\\|", "").split("|")) == 6
    assert sum(line.startswith("#") for line in outside) == 2


def test_results_hold_everything() -> None:
    found = as_results(run_of(GREEN, MISMATCH), {"python": "3"})
    assert found["verdict"] == "failed"
    assert [case["verdict"] for case in found["cases"]] == ["passed", "failed"]
    assert found["cases"][1]["failure"]["details"] == {"row": 3}
    hit = sum(group["hit"] for group in found["coverage"].values())
    missed = sum(len(group["missed"]) for group in found["coverage"].values())
    assert (hit, hit + missed) == (1, len(ALL_BINS))


def test_lines_that_nothing_ran_are_named(tmp_path: Path) -> None:
    """Two processes together; each has run something else of one file."""
    for text in (
        "import csb_format.files.replace",
        "import sim.regress.suite.values as v; v.positive(1, '')",
    ):
        module = tmp_path / f"m{len(text)}.py"
        module.write_text(text)
        env = environment() | measuring(tmp_path / "lines")
        subprocess.run([sys.executable, module.name], cwd=tmp_path, check=True, env=env)
    found = combined(tmp_path / "lines")
    assert 0 < found["percent"] < 100
    name = "sim/regress/suite/values.py"
    assert 50 < found["files"][name]["percent"] < 100
    assert any(char.isdigit() for char in found["files"][name]["missing"])
    text = as_markdown(run_of(GREEN), found)
    assert f"Lines of Python run: {found['percent']} %" in text
    assert f"| {name} | " in text


def test_cases_that_start_at_the_same_time_share_their_settings(tmp_path: Path) -> None:
    folder = tmp_path / "lines"
    with ThreadPoolExecutor(8) as pool:
        each = list(pool.map(lambda _: measuring(folder), range(64)))
    assert each == [{"COVERAGE_PROCESS_START": str(folder / "settings")}] * 64
    assert [path.name for path in folder.iterdir()] == ["settings"]
