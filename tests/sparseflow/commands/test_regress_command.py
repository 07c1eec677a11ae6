"""``sparseflow regress`` as people and CI use it: the tutorial, the examples, its files."""

from __future__ import annotations

import ast
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sim.regress.suite.suite import read_suite
from tests.docs.blocks import reader_shell as shell

ROOT = Path(__file__).parents[3]
WRITE = "import json, sys; json.dump({'lut': %d, 'name': 'x'}, open(sys.argv[1], 'w'))"


def suite(folder: Path, lut: int) -> Path:
    words = json.dumps(["{python}", "-c", WRITE % lut, "{out}"])
    path = folder / "suite.toml"
    path.write_text(f'[[cases]]\nname = "cells"\nkind = "command"\ncommand = {words}\n')
    return path


def regress(
    folder: Path, *more: str, out: str = "out", **env: str
) -> subprocess.CompletedProcess[str]:
    words = f"sparseflow regress suite.toml --out {out} --cache cache --jobs 1"
    return shell(" ".join([words, *more]), folder, None, **env)


def test_green_red_and_accepted(tmp_path: Path) -> None:
    step = tmp_path / "step.md"
    suite(tmp_path, 10)
    first = regress(tmp_path, "--accept")
    assert first.returncode == 0, first.stderr
    assert "new: cells" in first.stderr
    assert "--accept" not in first.stderr  # that was done
    baseline = json.loads((tmp_path / "suite.baseline.json").read_text())
    assert baseline["cases"] == {"cells": {"lut": 10}}
    suite(tmp_path, 12)
    red = regress(tmp_path, GITHUB_STEP_SUMMARY=str(step))
    assert red.returncode == 1
    assert "lut 10 -> 12 (+20.00 %)" in red.stderr
    replay = "sparseflow regress suite.toml --out out --cache cache --replay cells"
    assert replay in red.stderr
    replayed = shell(replay, tmp_path)
    assert replayed.returncode == 1
    assert "lut 10 -> 12 (+20.00 %)" in replayed.stderr
    assert "lut 10 -> 12" in step.read_text()
    assert "lut" in (tmp_path / "out/report.html").read_text()
    root = ElementTree.parse(tmp_path / "out/junit.xml").getroot()
    assert root.attrib["failures"] == "1"
    again = regress(tmp_path, "--accept")
    assert again.returncode == 0
    assert "accepted: cells: lut 10 -> 12" in again.stderr
    assert len((tmp_path / "out/history.jsonl").read_text().splitlines()) == 3


# waits for ever the first time
PATIENT = """
import json, os, sys, time
if not os.path.exists('pid'):
    open('pid', 'w').write(str(os.getpid()))
    time.sleep(600)
json.dump({'lut': 1}, open(sys.argv[1], 'w'))
"""


Until = Callable[[Callable[[], bool]], None]


def running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C reaches children, as at a terminal: a shell's background jobs do not hear it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.quick(1)
@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("ended", [signal.SIGINT, signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_a_run_that_is_interrupted_goes_on(
    tmp_path: Path, ended: signal.Signals, until: Until
) -> None:
    """Ctrl-C, or no chance to say anything: nothing is lost, and nothing runs on alone."""
    path, pid = suite(tmp_path, 10), tmp_path / "pid"
    words = json.dumps(["{python}", "-c", PATIENT, "{out}"])
    more = f'[[cases]]\nname = "slow"\nkind = "command"\ncommand = {words}\n'
    path.write_text(path.read_text() + more)
    line = [sys.executable, "-m", "sparseflow", "regress", path.name, "--out", "out"]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen([*line, "--jobs", "1"], cwd=tmp_path, stderr=log) as run,
    ):
        until(lambda: pid.exists() and pid.read_text() != "")
        run.send_signal(ended)
        try:
            assert run.wait(60) in (-signal.SIGKILL, 128 + ended)
        finally:
            run.kill()  # or leaving this block would wait for ever
    until(lambda: not running(pid.read_text()))
    told = f"ended by {ended.name}\n" in (tmp_path / "log").read_text()
    assert told == (ended is not signal.SIGKILL)
    done = regress(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 cases passed" in done.stderr
    assert "1 of them before the interruption" in done.stderr


def test_figures_of_uncommitted_sources_are_not_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sim.regress.suite.sources import SourcesError
    from sparseflow.commands import regress_command
    from sparseflow.steps.options import RegressOptions

    def refuse(suite: object) -> None:
        raise SourcesError("hdl/core/pe.py differs")

    monkeypatch.setattr("sim.regress.suite.sources.check_committed", refuse)
    given: dict[str, Any] = {
        "suite": suite(tmp_path, 10),
        "out": tmp_path / "out",
        "cache": tmp_path / "cache",
    }
    command = regress_command.regress
    with pytest.raises(SourcesError, match=r"pe\.py differs"):
        command(**asdict(RegressOptions(**given, accept=True)))
    assert not (tmp_path / "out").exists()
    command(**asdict(RegressOptions(**given, accept=True, uncommitted=True)))
    command(**asdict(RegressOptions(**given)))


def test_the_quick_cases_are_part_of_what_a_change_must_pass() -> None:
    text = (ROOT / "Makefile").read_text()
    (names,) = re.findall(r"^QUICK := (.*)$", text, re.MULTILINE)
    chosen = read_suite(ROOT / "examples/regress/default.toml").only(*names.split())
    assert "cells" in [case.name for case in chosen.cases]
    assert 5 <= len(chosen.cases) <= 12
    recipe = re.search(r"^test: .*\n((?:\t.*\n)*)", text, re.MULTILINE)
    assert recipe is not None
    assert re.search(r"\$\(MAKE\) .* lint figures$", recipe[1], re.MULTILINE)
    assert "make --no-print-directory test" in (ROOT / ".ci/run").read_text()


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text("cases = 3")
    done = regress(tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == "error: suite.toml: cases = 3: give a list"
    suite(tmp_path, 1)
    (tmp_path / "suite.baseline.json").write_text("{}")
    done = regress(tmp_path)
    assert done.returncode == 2
    assert "is no baseline" in done.stderr


@pytest.mark.slow
@pytest.mark.synth
def test_the_clock_of_a_tiny_array_is_held(tmp_path: Path) -> None:
    """Place and route: the same seed gives the same figures; a slower clock makes red."""
    text = (ROOT / "examples/regress/timing.toml").read_text()
    (tmp_path / "suite.toml").write_text(text)
    first = regress(tmp_path, "--accept")
    assert first.returncode == 0, first.stderr
    path = tmp_path / "suite.baseline.json"
    baseline = json.loads(path.read_text())
    figures = baseline["cases"]["ecp5"]
    assert 20 < figures["fmax_mhz"] < 400
    assert figures["dsp"] >= 4
    figures["fmax_mhz"] *= 1.04
    path.write_text(json.dumps(baseline))
    same = regress(tmp_path)
    assert same.returncode == 0, same.stderr
    results = json.loads((tmp_path / "out/results.json").read_text())
    again = results["cases"][0]["figures"]
    assert again == figures | {"fmax_mhz": again["fmax_mhz"]}
    assert again["fmax_mhz"] == pytest.approx(figures["fmax_mhz"] / 1.04)


@pytest.mark.slow
def test_the_shell_example_runs(tmp_path: Path) -> None:
    path = suite(tmp_path, 10)
    places = {"SUITE": str(path), "OUT": str(tmp_path / "o"), "CACHE": str(tmp_path / "c")}
    done = shell(f"{ROOT / 'examples/regress/ci.sh'} run", tmp_path, None, **places)
    assert done.returncode == 0, done.stderr
    assert "## Regression suite: green" in done.stdout
    (tmp_path / "suite.baseline.json").write_text('{"cases": {"cells": {"lut": 11}}}')
    done = shell(f"{ROOT / 'examples/regress/ci.sh'} run", tmp_path, None, **places)
    assert done.returncode == 1
    assert "## Regression suite: red" in done.stdout


NUMBERED = "import json, sys; json.dump({'n': int(sys.argv[2])}, open(sys.argv[1], 'w'))"


def numbered(folder: Path, *names: str, program: str = NUMBERED) -> None:
    """A suite of cases that each give a number."""
    text = ""
    for number, name in enumerate(names):
        words = json.dumps(["{python}", "-c", program, "{out}", str(number)])
        text += f'[[cases]]\nname = "{name}"\nkind = "command"\ncommand = {words}\n'
    (folder / "suite.toml").write_text(text)


@pytest.mark.slow
def test_shards_on_machines_of_their_own_are_merged(tmp_path: Path) -> None:
    """Each in a folder of its own; the merger accepts, keeps the history, is red if one lacks."""
    numbered(tmp_path, "a", "b", "c")
    parts = [regress(tmp_path, f"--shard {n}/2", out=f"s/{n}") for n in (1, 2)]
    assert [part.returncode for part in parts] == [0, 0], parts[0].stderr
    assert "shard 1/2: 2 of 3 cases" in parts[0].stderr
    assert not list(tmp_path.glob("s/*/history.jsonl"))
    whole = regress(tmp_path, "--merge s --accept --badge b.svg --history h.jsonl", out="all")
    assert whole.returncode == 0, whole.stderr
    baseline = json.loads((tmp_path / "suite.baseline.json").read_text())
    assert baseline["cases"] == {"a": {"n": 0}, "b": {"n": 1}, "c": {"n": 2}}
    assert "3 of 3 passed" in (tmp_path / "b.svg").read_text()
    assert len((tmp_path / "h.jsonl").read_text().splitlines()) == 1
    root = ElementTree.parse(tmp_path / "all/junit.xml").getroot()
    cases = list(root.iter("testcase"))
    assert [case.attrib["name"] for case in cases] == ["a", "b", "c"]
    assert {case.attrib["file"] for case in cases} == {"suite.toml"}
    part = regress(tmp_path, "--merge s/1", out="all")
    assert part.returncode == 1
    assert "no shard has run it" in part.stderr


FLAKY = """
import json, os, sys
if os.path.exists('seen'):
    sys.exit('not this time')
open('seen', 'w').close()
json.dump({'n': 1}, open(sys.argv[1], 'w'))
"""


@pytest.mark.slow
def test_a_flaky_case_is_told_and_red_and_its_logs_are_kept(tmp_path: Path) -> None:
    numbered(tmp_path, "wild", program=FLAKY)
    done = regress(tmp_path, "--repeat 2 --artifacts red --badge b.svg")
    assert done.returncode == 1
    assert "wild: 2 times, the same command" in done.stderr
    assert "flaky: 1 of 2 runs failed, with the same command" in done.stderr
    assert "flaky: wild" in done.stderr.splitlines()[-1]
    assert "--replay 'wild~2'" in done.stderr
    assert "not this time" in (tmp_path / "red/wild~2/command.log").read_text()
    assert "1 of 2 passed, 1 flaky" in (tmp_path / "b.svg").read_text()
    (tmp_path / "seen").unlink()
    green = regress(tmp_path, "--artifacts red --badge b.svg")  # there is no baseline yet
    assert green.returncode == 0, green.stderr
    assert list((tmp_path / "red").iterdir()) == []
    assert json.loads((tmp_path / "out/results.json").read_text())["flaky"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--shard 3/2", "--shard '3/2': give part and parts, such as 2/4"),
        ("--shard 1/2", "has 1 cases, which make no 2 parts: give fewer"),
        ("--shard 1/1 --accept", "--shard and --accept do not go together: it has only some"),
        (
            "--merge s --artifacts red",
            "--merge and --artifacts do not go together: it runs nothing",
        ),
        ("--replay cells --badge b.svg", "--replay and --badge do not go together"),
        ("--merge nowhere", "nowhere: there is no results.json in it"),
        ("--artifacts .", "is the current folder, or holds it"),
        ("--artifacts out", "give a folder of its own"),
        ("--badge no/b.svg", "there is no folder no: make it first"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from sparseflow.commands.cli import main

    suite(tmp_path, 10)
    monkeypatch.chdir(tmp_path)
    line = ["sparseflow", "regress", "suite.toml", "--out", "out", "--cache", "cache"]
    monkeypatch.setattr(sys, "argv", [*line, *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out/results.json").exists()


def definitions(path: Path) -> set[int]:
    """Lines of a module that run when it is imported: all but those inside functions."""
    body = ast.parse(path.read_text()).body
    nodes = [node for node in body if not isinstance(node, ast.Expr | ast.If)]
    return {node.lineno for node in nodes}


def numbers(text: str) -> set[int]:
    """What a text such as ``3-5, 7`` names."""
    spans = [span.partition("-") for span in text.split(", ") if span]
    return {n for first, _, last in spans for n in range(int(first), int(last or first) + 1)}


@pytest.mark.slow
def test_lines_that_ran_before_the_first_case_are_counted(tmp_path: Path) -> None:
    """Imports, definitions, and what reads the suite: all of it in the runner's own process."""
    suite(tmp_path, 10)
    done = regress(tmp_path, "--lines --shard 1/1")
    assert done.returncode == 0, done.stderr
    files = json.loads((tmp_path / "out/results.json").read_text())["lines"]["files"]
    parts = ("suite/suite", "suite/baseline", "jobs/runner", "records/records")
    for path in ("sim/jobs/engines.py", *(f"sim/regress/{name}.py" for name in parts)):
        missing = numbers(files[path]["missing"])
        defined = definitions(ROOT / path)
        assert len(defined) > 10
        assert not missing & defined, path
    source = (ROOT / "sim/regress/suite/suite.py").read_text().splitlines()
    (read,) = [n for n, line in enumerate(source, 1) if "tomllib.loads(" in line]
    assert read not in numbers(files["sim/regress/suite/suite.py"]["missing"])
    records = (ROOT / "sim/regress/records/records.py").read_text().splitlines()
    (wrote,) = [n for n, line in enumerate(records, 1) if "ElementTree.tostring(" in line]
    assert wrote not in numbers(files["sim/regress/records/records.py"]["missing"])
    assert files["sim/regress/faults.py"]["percent"] == 0.0  # what nothing has run is still told
    marker = json.loads((tmp_path / "out/.sparseflow.json").read_text())
    left = {f"lines/{path.name}" for path in (tmp_path / "out/lines").iterdir()}
    assert left <= set(marker["files"])  # else the next run would refuse to replace them
    (tmp_path / "all").mkdir()  # another machine
    (tmp_path / "out").rename(tmp_path / "all/1")
    merged = regress(tmp_path, "--merge all")
    assert merged.returncode == 0, merged.stderr
    assert json.loads((tmp_path / "out/results.json").read_text())["lines"]["files"] == files
