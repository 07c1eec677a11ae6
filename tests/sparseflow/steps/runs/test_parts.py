"""Every moment of a command belongs to one part."""

from __future__ import annotations

import time

import pytest

from sparseflow.steps.runs.parts import Parts, told


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that shows what its one element says."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_nothing_is_left_out(clock: list[float]) -> None:
    parts = Parts("read", {"train": 7.0})
    for name, seconds in (("emit", 1.0), ("read", 2.0), ("run", 4.0)):
        clock[0] += seconds
        parts.begin(name)
    clock[0] += 8
    assert parts.seconds() == {"train": 7.0, "read": 1.0 + 4.0, "emit": 2.0, "run": 8.0}
    clock[0] += 1
    assert sum(parts.seconds().values()) == 7 + 16


@pytest.mark.parametrize("terminal", [False, True])
def test_builds_and_runs_are_apart_for_each_engine(
    clock: list[float],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
) -> None:
    monkeypatch.setattr("sparseflow.steps.runs.parts.seen", lambda: terminal)
    parts = Parts("emit")
    with told(parts, "icarus", 10, 2) as (stage, count):
        for name in ("models", "build", "run"):
            stage(name)
            clock[0] += 1
        count(8)
        stage("compare")
    assert parts.seconds() == {
        "emit": 0.0, "models": 1.0, "build icarus": 1.0, "run icarus": 1.0, "compare": 0.0,
    }  # fmt: skip
    shown = capsys.readouterr().err
    assert "build icarus" in shown
    assert ("10/10" in shown) == terminal
