"""Kinds of cores and their clocks, on cores and clocks that are files of the test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparseflow.steps.cpu.cores import (
    clocks_of,
    kinds,
    lowest_clock,
    step_by_clock,
    step_by_core,
)

CORE = 0
if hasattr(os, "sched_getaffinity"):
    CORE = min(os.sched_getaffinity(0))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A core of three clocks, as Linux shows it, limited to the upper two."""
    folder = tmp_path / f"cpu{CORE}/cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_available_frequencies").write_text("2000000 1000000 1500000 \n")
    (folder / "scaling_min_freq").write_text("1500000\n")
    (folder / "scaling_max_freq").write_text("2000000\n")
    return tmp_path


def limits(root: Path) -> tuple[str, str]:
    folder = root / f"cpu{CORE}/cpufreq"
    low, high = (folder / f"scaling_{end}_freq" for end in ("min", "max"))
    return low.read_text().strip(), high.read_text().strip()


def test_cores_that_take_as_long_are_of_a_kind() -> None:
    found = kinds({0: 10.0, 1: 21.0, 2: 10.9, 3: 20.0, 4: 11.5})
    assert found == [([0, 2], 10.0), ([4], 11.5), ([1, 3], 20.0)]


def test_a_step_is_taken_on_each_core_and_the_process_freed_again() -> None:
    before, seen = os.sched_getaffinity(0), []

    def step() -> float:
        seen.append(os.sched_getaffinity(0))
        return 1.0

    assert step_by_core(step) == dict.fromkeys(sorted(before), 1.0)
    assert seen == [{core} for core in sorted(before)]
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize(
    ("memory", "enough"),
    [(0.0, 2_000_000), (30.0, 1_000_000)],
    ids=["computes", "waits for memory"],
)
def test_the_lowest_clock_that_costs_next_to_nothing(
    root: Path, memory: float, enough: int
) -> None:
    """A step of a million cycles, or one whose memory takes longer than they do."""
    tried = list[tuple[str, str]]()

    def step() -> float:
        tried.append(limits(root))
        return max(memory, 1e7 / int(limits(root)[1]))

    us = step_by_clock(CORE, step, root)
    assert list(us) == clocks_of(CORE, root) == [1_000_000, 1_500_000, 2_000_000]
    assert tried == [(str(clock), str(clock)) for clock in us]
    assert lowest_clock(us) == enough
    assert limits(root) == ("1500000", "2000000")


def test_limits_come_back_after_an_error(root: Path) -> None:
    def step() -> float:
        raise RuntimeError("no step")

    with pytest.raises(RuntimeError, match="no step"):
        step_by_clock(CORE, step, root)
    assert limits(root) == ("1500000", "2000000")


def test_who_may_not_set_clocks_is_told(root: Path) -> None:
    high = root / f"cpu{CORE}/cpufreq/scaling_max_freq"
    high.unlink()
    high.mkdir()  # which root cannot write either
    with pytest.raises(ValueError, match="no clocks to try"):
        step_by_clock(CORE, lambda: 1.0, root)


def test_without_cpufreq_there_are_none(tmp_path: Path) -> None:
    assert clocks_of(CORE, tmp_path) == []
    folder = tmp_path / f"cpu{CORE}/cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_available_frequencies").write_text("<unsupported>\n")
    assert clocks_of(CORE, tmp_path) == []
