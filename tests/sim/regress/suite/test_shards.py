"""Shards: each case in one of them, the same on every machine, balanced by earlier times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sim.regress.suite.shards import BUILD, Shard, split
from sim.regress.suite.suite import Case, Suite, SuiteError

CASES = tuple(Case(f"c{n}", simulator="icarus") for n in range(12))
SUITE = Suite("s", {}, CASES, {}, Path())


def names(parts: list[Suite]) -> list[list[str]]:
    return [[case.name for case in part.cases] for part in parts]


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_each_case_is_in_one_part(count: int) -> None:
    parts = names(split(SUITE, count, {}, {}))
    assert sorted(name for part in parts for name in part) == sorted(c.name for c in CASES)
    assert {len(part) for part in parts} <= {12 // count, 12 // count + 1}
    assert parts == names(split(SUITE, count, {}, {}))


def test_the_order_of_the_suite_changes_no_part() -> None:
    turned = replace(SUITE, cases=CASES[::-1])
    parts, others = split(SUITE, 5, {}, {}), split(turned, 5, {}, {})
    assert [sorted(part) for part in names(parts)] == [sorted(part) for part in names(others)]
    assert names(parts)[0] == sorted(names(parts)[0], key=lambda name: int(name[1:]))


def test_earlier_times_balance_the_parts() -> None:
    seconds = {"c0": 60.0, "c1": 30.0, "c2": 30.0} | {f"c{n}": 1.0 for n in range(3, 11)}
    parts = names(split(SUITE, 2, {}, seconds))
    assert "c0" in parts[0]
    assert {"c1", "c2"} <= set(parts[1])
    known = [sum(seconds.get(name, 0.0) for name in part) for part in parts]
    assert abs(known[0] - known[1]) < 15  # c11 has no time yet: it counts as the mean


def test_cases_of_one_simulator_stay_together_if_that_is_faster() -> None:
    cases = tuple(replace(case, simulator="verilator") for case in CASES)
    keys = {case.name: f"hardware {n % 2}" for n, case in enumerate(cases)}
    parts = split(replace(SUITE, cases=cases), 2, keys, {})
    assert [len({keys[case.name] for case in part.cases}) for part in parts] == [1, 1]
    # a simulator that alone takes longer than all else is built twice
    slow = {case.name: 10 * BUILD["verilator"] for case in cases}
    alone = dict.fromkeys(keys, "hardware 0")
    assert {len(part.cases) for part in split(replace(SUITE, cases=cases), 2, alone, slow)} == {6}


def test_a_shard_is_a_part_of_parts() -> None:
    assert (Shard.of("2/4"), str(Shard.of("2/4"))) == (Shard(2, 4), "2/4")
    for text in ("", "2", "0/4", "5/4", "-1/4", "2/4/8", "a/b", "2/ 4", "1/1001"):
        with pytest.raises(SuiteError, match="give part and parts, such as 2/4"):
            Shard.of(text)
    with pytest.raises(SuiteError, match="s has 12 cases, which make no 13 parts"):
        split(SUITE, 13, {}, {})
