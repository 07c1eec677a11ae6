"""Figures of programs: finite numbers from a file, or a case that says what is wrong."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from sim.jobs.engines import LocalEngine
from sim.regress.jobs.figures import MOST_BYTES, MOST_FIGURES, is_result, read_figures
from sim.regress.jobs.runner import run_suite

from .test_runner import WRITE, Counting, command, suite_of, verdicts

RESULT: dict[str, Any] = {
    "figures": {"a": 1, "b": "digest"}, "times": {"seconds": 1.5}, "bins": ["x"],
    "reach": ["x", "y"], "failure": None, "log": "", "work": "w",
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"b": NaN, "i": Infinity}', "it holds NaN: figures are finite numbers"),
        ('{"b": {"c": -Infinity}}', "it holds -Infinity"),
        ('{"b": 1e999}', "it holds 1e999"),
        ('{"b": 9223372036854775808}', "figure b is a whole number beyond 64 bits"),
        ('{"b": ' + "9" * 5000 + "}", "digits"),
        ('{"a\\ud800": 1}', "printable"),
        ('{"\\u001b[31m": 1}', "printable"),
        ('{"' + "a" * 400 + '": 1}', "printable"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 990 + "1" + "}" * 990, "nested too deeply|printable"),
        (json.dumps(dict.fromkeys(map(str, range(MOST_FIGURES + 1)), 1)), "more than 10000"),
        (" " * (MOST_BYTES + 1), "more than"),
    ],
    ids=range(12),
)
def test_what_is_no_figure_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "figures.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_figures(path)


def test_figures_by_their_path(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text('{"a": {"b": 1, "c": true, "d": [2]}, "z": -0.0, "t": "text"}')
    assert read_figures(path) == {"a.b": 1, "z": -0.0}


@pytest.mark.parametrize("what", ["pipe", "device", "link", "folder"])
def test_what_has_no_end_is_not_waited_for(tmp_path: Path, what: str) -> None:
    path = tmp_path / "figures.json"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if what == "device" else "nowhere")
    started = time.monotonic()
    with pytest.raises(OSError, match=r"figures.json"):
        read_figures(path)
    assert time.monotonic() - started < 1


def test_bad_figures_are_red_at_once_and_harm_no_other_case(tmp_path: Path) -> None:
    nan = "import sys; open(sys.argv[1], 'w').write('{\"b\": NaN}')"
    fifo = "import os, sys; os.mkfifo(sys.argv[1])"
    loud = "import sys; sys.stdout.write('y' * 10**7); 1 / 0"
    suite, places = suite_of(
        tmp_path, command("good", WRITE), command("nan", nan), command("fifo", fifo),
        command("loud", loud),
    )  # fmt: skip
    run = run_suite(suite, places, LocalEngine(2))
    assert verdicts(run) == {"good": "passed", "nan": "crash", "fifo": "crash", "loud": "crash"}
    by = {result.case.name: result for result in run.results}
    assert "it holds NaN" in by["nan"].story
    assert "is no file" in by["fifo"].story
    assert "ZeroDivisionError" in by["loud"].story
    assert len(by["loud"].story) < 100_000


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    "damage",
    ["case", "{}", "[]", '{"case": CASE}', '{"case": CASE, "result": {}}',
     '{"case": CASE, "result": {"figures": {"lut": NaN}}}'],
)  # fmt: skip
def test_a_damaged_result_of_an_interrupted_run_is_run_again(tmp_path: Path, damage: str) -> None:
    suite, places = suite_of(tmp_path, command("a", WRITE), command("b", WRITE))
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, places, Counting(1))
    path = places.out / "finished/a.json"
    case = json.dumps(json.loads(path.read_text())["case"])
    path.write_text(damage.replace("CASE", case))
    again = Counting()
    run = run_suite(suite, places, again)
    assert run.passed
    assert again.keys == ["case:a", "case:b"]
    assert not any(result.resumed for result in run.results)


@pytest.mark.parametrize("name", RESULT)
@pytest.mark.parametrize("value", [None, 3, "text", [1], {"a": [1]}, {"a": float("nan")}, "gone"])
def test_a_result_is_whole_or_none(name: str, value: Any) -> None:
    assert is_result(RESULT)
    given = dict(RESULT)
    del given[name]
    assert not is_result(given)
    allowed = {"failure": (None,), "log": ("text", "gone"), "work": ("text", "gone")}
    assert is_result(RESULT | {name: value}) == (value in allowed.get(name, ()))
