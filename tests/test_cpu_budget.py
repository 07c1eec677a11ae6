"""The budget of the tests: written once, said at the end of a run, with what went over it."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cpu_budget import INI, SHOWN, SPENT, Bill, spent

ROOT = Path(__file__).parents[1]


class Terminal:
    """Keeps what a run would print."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def section(self, title: str) -> None:
        self.lines.append(title)

    def write_line(self, line: str, **markup: bool) -> None:
        self.lines.append(line)


def summary(bill: Bill, budget: float) -> list[str]:
    terminal, config = Terminal(), SimpleNamespace(getini=lambda name: str(budget))
    bill.pytest_terminal_summary(terminal, config)  # type: ignore[arg-type]
    return terminal.lines


def test_the_dearest_come_first_and_workers_count() -> None:
    bill = Bill()
    for number in range(2 * SHOWN):
        for part in (1.0, number):  # setup and call
            report: Any = SimpleNamespace(nodeid=f"a.py::test_{number}", **{SPENT: part})
            bill.pytest_runtest_logreport(report)
    bill.pytest_testnodedown(SimpleNamespace(workeroutput={SPENT: 1000.0}), None)
    bill.pytest_testnodedown(SimpleNamespace(), "it crashed")
    of_files, file, title, first, *rest = summary(bill, 10**6)
    assert of_files.startswith(f"{SHOWN} dearest files")
    assert file.split() == [f"{sum(1 + n for n in range(2 * SHOWN)):.1f}", "a.py"]
    assert title.startswith(f"{SHOWN} dearest tests")
    assert first.split() == [f"{2 * SHOWN:.1f}", f"a.py::test_{2 * SHOWN - 1}"]
    assert len(rest) == SHOWN
    assert 1000 < float(rest[-1].split()[0]) < 1001 + spent()


def test_workers_do_not_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    bill = Bill()
    monkeypatch.setattr("tests.cpu_budget.os.times", lambda: (1.0, 2.0, 600.0, 400.0, 0.0))
    assert summary(bill, 10**6)[-1].split()[0] == "1003"  # no workers: children are the tests' own
    bill.pytest_testnodedown(SimpleNamespace(workeroutput={SPENT: 1000.0}), None)
    assert summary(bill, 10**6)[-1].split()[0] == "1003"


def test_above_the_budget_is_a_warning() -> None:
    assert not any("WARNING" in line for line in summary(Bill(), 10**6))
    assert re.match(r"WARNING: \d+ s above the budget: make tests cheaper", summary(Bill(), 0)[-1])


def test_the_guide_names_the_budget(pytestconfig: pytest.Config) -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    assert re.findall(rf"`{INI}` in `pyproject.toml`, (\d+) seconds", guide) == [
        pytestconfig.getini(INI)
    ]
    assert '-m "not slow" --cpu' in (ROOT / "Makefile").read_text()
