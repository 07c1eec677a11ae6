"""What a run of the tests costs in processor time, the dearest files and tests, its budget.

Processor time, not wall time: another program beside them changes it little. It is told, never
asserted, as processors differ.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import pytest

__all__ = [
    "pytest_runtest_makereport",
    "pytest_runtestloop",
    "pytest_sessionfinish",
]

INI, OPTION, SHOWN = "cpu_budget", "--cpu", 30
SPENT = "cpu_seconds"  # of a report and of a worker


def spent() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


class Bill:
    """Collects what all processes of a run have spent."""

    def __init__(self) -> None:
        self.tests: defaultdict[str, float] = defaultdict(float)
        self.workers = 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.tests[report.nodeid] += getattr(report, SPENT, 0.0)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        self.workers += getattr(node, "workeroutput", {}).get(SPENT, 0.0)

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        # workers are processes that this one has waited for: what they spent would count twice
        total = sum(os.times()[:2]) + self.workers if self.workers else spent()
        budget = float(config.getini(INI))
        files: defaultdict[str, float] = defaultdict(float)
        for name, seconds in self.tests.items():
            files[name.partition("::")[0]] += seconds
        for what, spending in ("files", files), ("tests", self.tests):
            terminalreporter.section(f"{SHOWN} dearest {what}, processor seconds")
            for name, seconds in sorted(spending.items(), key=lambda one: -one[1])[:SHOWN]:
                terminalreporter.write_line(f"{seconds:7.1f}  {name}")
        terminalreporter.write_line(f"{total:7.0f}  of {budget:.0f} that all tests may take")
        if total > budget:
            terminalreporter.write_line(
                f"WARNING: {total - budget:.0f} s above the budget: make tests cheaper, or mark "
                "them slow (Tests in CONTRIBUTING.md)",
                yellow=True,
                bold=True,
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(INI, "processor seconds that all tests not marked slow may take", default="0")
    parser.addoption(OPTION, action="store_true", help="say what tests cost, against the budget")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption(OPTION):
        config.pluginmanager.register(Bill(), "cpu bill")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """What was spent until now, no test has spent."""
    session.config._cpu_seconds = spent()  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give each part of a test what was spent since the one before."""
    report = yield
    now = spent()
    setattr(report, SPENT, now - item.config._cpu_seconds)  # type: ignore[attr-defined]
    item.config._cpu_seconds = now  # type: ignore[attr-defined]
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells the process that started it."""
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[SPENT] = spent()
