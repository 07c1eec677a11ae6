"""Signs of life where there is no terminal, from the one place that gives them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sparseflow.steps import progress as signs
from sparseflow.steps.progress import alive, counted, news, say, stage, stages

Read = Callable[[], str]
Wait = Callable[[int], list[str]]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Wait:
    """Waits until so many lines are there; signs of life come fast."""
    monkeypatch.setattr(signs, "EVERY", 0.05)
    seen: list[str] = []

    def wait(least: int) -> list[str]:
        end = time.monotonic() + 60
        while len(seen) < least and time.monotonic() < end:
            time.sleep(0.01)
            lines = capsys.readouterr().err.splitlines()
            seen.extend(re.sub(r"^ *[\d.]+ s  ", "", line) for line in lines)
        return seen

    return wait


def test_a_command_that_says_nothing_is_at_work(wait: Wait) -> None:
    with alive("verilog"):
        assert wait(2)[:2] == ["verilog: at work"] * 2


def test_a_stage_is_said_at_once_and_then_its_last_news(wait: Wait) -> None:
    with alive("build"):
        stage("place and route")
        assert wait(1)[0] == "place and route"
        for n in range(50):  # news alone are no lines
            news(f"routing, {50 - n} arcs left")
        news("")
        assert wait(3)[-1] == "place and route: routing, 1 arcs left"
        stage("packing: after all")
        lines = wait(len(wait(0)) + 2)
        at = lines.index("packing: after all")
        assert set(lines[at + 1 :]) == {"packing: at work"}


def test_one_block_within_another_gives_signs_once(wait: Wait) -> None:
    with alive("simulate"), alive("inner"), counted("icarus, frames", 10) as tell:
        tell(3, "of the first")
        assert wait(3)[:3] == ["icarus, frames", *["icarus, frames: 3 of 10; of the first"] * 2]


def test_training_says_its_epochs(wait: Wait) -> None:
    with stages() as tell:
        tell("prune", 1, 20, 0.5)
        tell("prune", 2, 20, 0.25)
        assert wait(2)[:2] == ["prune", "prune: epoch 2 of 20, loss 0.250"]


def test_what_is_left_is_told_where_it_can_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("sparseflow.steps.progress.time.monotonic", lambda: now)
    pace = signs.Pace()
    now += 4
    assert signs.counting(pace, 3, 10) == "3 of 10"  # too early to say
    now += 2
    assert signs.counting(pace, 3, 10) == "3 of 10, about 14 s left"
    assert signs.counting(pace, 61, 10, scale=20) == "3 of 10, about 14 s left"
    assert signs.counting(pace, 0, 10) == "0 of 10"
    assert signs.counting(pace, 10, 10) == "10 of 10"
    now += 594
    assert signs.counting(pace, 5, 10) == "5 of 10, about 10 min left"


def test_a_bar_says_what_is_left_only_where_its_end_is_known() -> None:
    shown = signs.bars()
    counts, turns = shown.add_task("run", total=10, note=""), shown.add_task("build", note="")
    tasks = {task.id: task for task in shown.tasks}
    tasks[turns].total = None
    column = signs._Left()
    assert [column.render(tasks[n]).plain for n in (counts, turns)] == ["", ""]
    tasks[counts].start_time = time.monotonic() - 60
    shown.update(counts, completed=2)
    time.sleep(0.01)
    shown.update(counts, completed=4)
    assert "left" in column.render(tasks[counts]).plain
    assert column.render(tasks[turns]).plain == ""


def test_nothing_is_said_after_the_end(wait: Wait, capsys: pytest.CaptureFixture[str]) -> None:
    with alive("fit"):
        pass
    time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_what_a_command_says_is_a_sign_of_life(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signs, "EVERY", 5.0)
    with alive("regress"):
        for _ in range(10):
            say("red: a case")
            time.sleep(0.01)
        assert signs._signs is not None
        assert time.monotonic() - signs._signs.said < 4
    assert set(capsys.readouterr().err.splitlines()) == {"red: a case"}


def test_every_command_gives_signs(tmp_path: Path) -> None:
    """One that reads for ever, in a log: a line now and then."""
    program = """
import sys, time
from sparseflow.steps import progress
progress.EVERY = 0.2
import csb_format
csb_format.load_model = lambda path: time.sleep(1.0) or sys.exit(3)
sys.argv = ["sparseflow", "boards", "x"]
from sparseflow.commands.cli import main
main()
"""
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert found.returncode == 3, found.stderr
    assert len(re.findall(r"^ +\d+\.\d s  boards: at work$", found.stderr, re.MULTILINE)) >= 3
