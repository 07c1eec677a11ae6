"""Place and route again where it came to nothing, and with several seeds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boards.board import Board, board
from boards.build import open_tools
from boards.build.attempts import Attempt, best_of, seeds_from
from boards.tools.errors import BitstreamError, TooLong

ECPIX5 = board("ecpix5")
FROZEN = "frozen: overlap of RAM 27.6 %, no less for 300 iterations"
Tried = tuple[Attempt, tuple[Attempt, ...]]
Run = Callable[..., tuple[Tried, list[str]]]


@pytest.fixture
def attempts(scripts: None, tmp_path: Path) -> Run:
    """Runs with a plan of what becomes of them; also what was told."""

    def run(plan: dict[str, Any], seeds: int = 1, limit: float = 60.0) -> tuple[Tried, list[str]]:
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        told: list[str] = []
        chosen = seeds_from(1, seeds)
        found = best_of(ECPIX5, tmp_path, chosen, limit, told.append, lambda text: None)
        return found, told

    return run


def test_a_frozen_placer_gives_way_to_the_next(attempts: Run, tmp_path: Path) -> None:
    (best, every), told = attempts({"static 1": "frozen", "heap 1": 80.0})
    assert best == Attempt(1, "heap", 80.0)
    assert every == (Attempt(1, "static", failure=FROZEN), best)
    assert told == ["place and route", f"place and route, seed 1, heap: seed 1, static: {FROZEN}"]
    assert (tmp_path / "routed.config").read_text() == "heap 1\n"
    assert "Running a stand-in" in (tmp_path / "nextpnr-ecp5.log").read_text()
    kept = [path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("attempts/*/*")]
    assert kept == ["attempts/seed1-static/nextpnr-ecp5.log"]


def test_of_several_seeds_the_fastest_is_taken(attempts: Run, tmp_path: Path) -> None:
    (best, every), _ = attempts({"static 1": 70.0, "static 2": 90.5, "static 3": 80.0}, seeds=3)
    assert best == Attempt(2, "static", 90.5)
    assert [attempt.fmax_mhz for attempt in every] == [70.0, 90.5, 80.0]
    assert (tmp_path / "routed.config").read_text() == "static 2\n"
    assert json.loads((tmp_path / "report.json").read_text())["fmax"]["clk"]["achieved"] == 90.5
    kept = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("attempts/*/*"))
    names = ("nextpnr-ecp5.log", "report.json")
    assert kept == [f"attempts/seed{seed}-static/{name}" for seed in (1, 3) for name in names]


def test_a_placer_that_froze_is_not_asked_again(attempts: Run) -> None:
    (best, every), _ = attempts({"static 1": "frozen", "heap 1": 80.0, "heap 2": 81.0}, seeds=2)
    assert best == Attempt(2, "heap", 81.0)
    assert list(map(str, every[1:])) == ["seed 1, heap: 80 MHz", "seed 2, heap: 81 MHz"]


def test_a_placer_that_froze_at_another_clock_is_not_asked(scripts: None, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"heap 1": 80.0}))
    earlier = [Attempt(1, "static", failure=FROZEN), Attempt(1, "heap", 81.0)]
    best, every = best_of(ECPIX5, tmp_path, (1,), 60.0, print, lambda text: None, earlier)
    assert every == (best,) == (Attempt(1, "heap", 80.0),)


def test_after_the_last_placer_comes_another_seed(attempts: Run) -> None:
    plan = {"static 1": "frozen", "heap 1": "unplaced", "heap 2": 75.0}
    (best, every), told = attempts(plan)
    assert best == Attempt(2, "heap", 75.0)
    assert len(every) == 3
    assert "Unable to find legal placement" in told[-1]


def test_where_nothing_helps_the_error_lists_what_was_tried(attempts: Run) -> None:
    plan = {"static 1": "frozen", "heap 1": "unplaced", "heap 2": "unplaced"}
    with pytest.raises(BitstreamError) as caught:
        attempts(plan)
    said = str(caught.value)
    assert f"seed 1, static: {FROZEN}; seed 1, heap: nextpnr-ecp5: ERROR: Unable to" in said
    assert said.endswith("take another --seed, or fewer --pes or --lanes")
    assert "\n" not in said


def test_other_failures_are_not_tried_again(attempts: Run) -> None:
    with pytest.raises(BitstreamError, match=r"nextpnr-ecp5 failed: ERROR: unsupported cell"):
        attempts({"static 1": "broken"})


def test_a_run_ends_at_its_limit(attempts: Run) -> None:
    with pytest.raises(BitstreamError, match=r"killed after 0\.5 s: allow it more by --timeout"):
        attempts({"static 1": "endless"}, limit=0.5)


def test_a_seed_that_takes_too_long_costs_no_other_result(
    attempts: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(board: Board, work: Path, placer: str, seed: int, *rest: Any) -> tuple[str, ...]:
        if seed == 2:
            (work / "nextpnr-ecp5.log").touch()
            raise TooLong("killed after 9 s")
        return open_tools.place(board, work, placer, seed, *rest)

    monkeypatch.setattr("boards.build.attempts.place", place)
    plan = {"static 1": 70.0, "static 3": "frozen", "heap 3": 72.0}
    (best, every), _ = attempts(plan, seeds=3)
    assert best == Attempt(3, "heap", 72.0)
    assert every[1] == Attempt(2, "static", failure="killed after 9 s")
    assert len(every) == 4


def test_seeds_follow_each_other() -> None:
    assert seeds_from(7, 3) == (7, 8, 9)
    assert seeds_from(2**31 - 1, 2) == (2**31 - 1, 0)
