"""What makes a case red: its own failure, its figures, and repetitions that end differently."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sim.regress.jobs.verdicts import CaseResult, judged, told_flaky, without
from sim.regress.suite.baseline import Baseline
from sim.regress.suite.suite import Case, Suite

SUITE = Suite("s", {}, (), {"ms": 0.1}, Path())
NETWORK, PROGRAM = Case("a", model="m", seed=3), Case("p", kind="command", command=["x"])
FAILURE = {"kind": "crash", "text": "it fell", "details": {}}


def found(failure: dict[str, Any] | None = None, **figures: float) -> dict[str, Any]:
    return {
        "figures": figures, "times": {}, "bins": [], "reach": ["x"], "failure": failure,
        "log": "", "work": "w",
    }  # fmt: skip


def results(case: Case, *each: dict[str, Any], was: Baseline | None = None) -> Sequence[CaseResult]:
    cases = [case.repeated(n) for n in range(1, len(each) + 1)]
    pairs = zip(cases, each, strict=True)
    return told_flaky(SUITE, [judged(SUITE, c, f, was, "again") for c, f in pairs])


def test_a_case_is_red_by_itself_or_by_its_figures() -> None:
    was = Baseline({"a": {"lut": 10}})
    assert judged(SUITE, NETWORK, found(lut=10), was, "").passed
    moved = judged(SUITE, NETWORK, found(lut=12), was, "")
    assert (moved.passed, moved.story, moved.kept) == (False, "lut 10 -> 12 (+20.00 %)", "w")
    failed = judged(SUITE, NETWORK, found(FAILURE, lut=12), was, "")
    assert (failed.story, failed.kept) == ("crash: it fell", "w")
    new = judged(SUITE, PROGRAM, found(lut=1), was, "")
    assert "not in the baseline" in new.story
    assert judged(SUITE, NETWORK, found(lut=12), None, "").kept == ""


def test_other_seeds_are_not_held_against_the_baseline() -> None:
    was = Baseline({"a": {"lut": 10}, "p": {"lut": 10}})
    assert all(r.passed for r in results(NETWORK, found(lut=10), found(lut=99), was=was))
    first, second = results(PROGRAM, found(lut=10), found(lut=11), was=was)
    assert first.passed
    assert second.story.endswith("lut 10 -> 11 (+10.00 %)")


def test_mixed_results_are_flaky() -> None:
    good, bad, again = results(NETWORK, found(), found(FAILURE), found(FAILURE))
    assert good.passed
    seeds = f"{NETWORK.repeated(2).seed}, {NETWORK.repeated(3).seed}"
    assert bad.story == f"flaky: 2 of 3 runs failed, with seeds {seeds}\ncrash: it fell"
    assert again.flaky == bad.flaky
    assert not any(r.flaky for r in results(NETWORK, found(FAILURE), found(FAILURE)))
    (alone,) = results(NETWORK, found(FAILURE))
    assert not alone.flaky
    *_, last = results(PROGRAM, found(), found(FAILURE))
    assert last.flaky == "1 of 2 runs failed, with the same command"


def test_other_figures_of_the_same_program_are_flaky() -> None:
    first, near, far = results(PROGRAM, found(ms=100, lut=7), found(ms=105, lut=7),
                               found(ms=105, lut=8))  # fmt: skip
    assert first.passed
    assert near.passed
    assert far.flaky == "the same command gave other figures: lut 7 -> 8 (+14.29 %)"
    assert not far.passed
    assert all(r.passed for r in results(NETWORK, found(lut=7), found(lut=8)))


@pytest.mark.parametrize("case", [NETWORK, PROGRAM])
def test_what_was_accepted_is_red_no_more(case: Case) -> None:
    from sim.regress.jobs.verdicts import Run

    was = Baseline({"a": {"lut": 1}, "p": {"lut": 1}})
    run = Run("s", 0.0, 1.0, tuple(results(case, found(lut=2), found(lut=2), was=was)), (), True, 0)
    assert not run.passed
    assert without(run, {case.name}).passed
