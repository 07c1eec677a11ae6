"""A clock that is missed: again at one that was reached, unless it was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from boards.board import Board, board, reachable
from boards.build.attempts import Attempt
from boards.build.clocks import SHARES, settle

ULX3S = board("ulx3s")
Tried = tuple[Attempt, tuple[Attempt, ...]]
Route = Callable[[Board], Tried]


@pytest.fixture
def route(tmp_path: Path) -> Callable[[Sequence[float]], tuple[Route, list[float]]]:
    """Reaches one clock after the other; also the clocks that were asked for."""

    def planned(reached: Sequence[float]) -> tuple[Route, list[float]]:
        asked: list[float] = []

        def run(board: Board) -> Tried:
            fmax = reached[len(asked)]
            asked.append(board.clock_hz / 1e6)
            for name in ("report.json", "nextpnr-ecp5.log"):
                (tmp_path / name).write_text(json.dumps(fmax))
            lost = tmp_path / "attempts" / "seed1-static"
            lost.mkdir(parents=True)
            (lost / "nextpnr-ecp5.log").write_text("frozen")
            best = Attempt(1, "heap", fmax)
            return best, (Attempt(1, "static", failure="frozen"), best)

        return run, asked

    return planned


def test_a_clock_that_is_met_is_kept(
    route: Callable[..., tuple[Route, list[float]]], tmp_path: Path
) -> None:
    run, asked = route([100.0])
    found, best, every = settle(ULX3S, tmp_path, run, print)
    assert (asked, found, len(every)) == ([100.0], ULX3S, 2)
    assert best == Attempt(1, "heap", 100.0, clock_mhz=100.0)


def test_a_clock_that_is_missed_gives_way(
    route: Callable[..., tuple[Route, list[float]]], tmp_path: Path
) -> None:
    told: list[str] = []
    run, asked = route([81.91, 74.0, 64.5])
    found, best, every = settle(ULX3S, tmp_path, run, told.append)
    slower = reachable(ULX3S, 81.91 * SHARES[0])
    assert slower == 75
    assert asked == [100, 75, 60]
    assert (best.fmax_mhz, best.clock_mhz, found.clock_hz) == (64.5, 60, 60_000_000)
    assert [one.clock_mhz for one in every] == [100, 100, 75, 75, 60, 60]
    assert told[0] == "100 MHz missed, 81.91 MHz reached: again for 75 MHz"
    kept = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("attempts/*/report*")}
    assert kept == {f"attempts/{clock}MHz-seed1-heap/report.json" for clock in (100, 75)}
    assert (tmp_path / "attempts" / "seed1-static").is_dir()  # of the clock that was taken


def test_it_ends(route: Callable[..., tuple[Route, list[float]]], tmp_path: Path) -> None:
    run, asked = route([90.0, 80.0, 70.0, 60.0])
    _, best, _ = settle(ULX3S, tmp_path, run, print)
    assert len(asked) == len(SHARES) + 1
    assert best.fmax_mhz == 70.0


def test_a_clock_that_was_asked_for_is_kept(
    route: Callable[..., tuple[Route, list[float]]], tmp_path: Path
) -> None:
    run, asked = route([81.91])
    found, best, _ = settle(ULX3S, tmp_path, run, None)
    assert (asked, found, best.fmax_mhz) == ([100.0], ULX3S, 81.91)


def test_no_loop_no_other_clock() -> None:
    assert reachable(replace(ULX3S, family=board("icebreaker").family), 0.5) is None
