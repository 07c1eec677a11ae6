"""Place and route until there is a result: another placer where one is stuck, then another seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..board import Board
from ..tools.errors import BitstreamError, TooLong, Unplaced
from ..tools.run import Note
from .open_tools import REPORT, log_of, place, tools_of

__all__ = ["ATTEMPTS", "Attempt", "best_of", "folder_of", "seeds_from"]

ATTEMPTS = "attempts"  # folder of the logs and reports of all that were not taken
SEEDS = 2**31  # that nextpnr knows
PLACING = "place and route"
MEND = "take another --seed, or fewer --pes or --lanes"


@dataclass(frozen=True)
class Attempt:
    """One run of place and route.

    Parameters
    ----------
    seed : int
    placer : str
    fmax_mhz : float, optional
        What it reached; None if it came to nothing.
    failure : str
        Why it came to nothing.
    clock_mhz : float, optional
        What was asked for.
    """

    seed: int
    placer: str
    fmax_mhz: float | None = None
    failure: str = ""
    clock_mhz: float | None = None

    def __str__(self) -> str:
        """What came out, on one line."""
        found = self.failure if self.fmax_mhz is None else f"{self.fmax_mhz:g} MHz"
        return f"seed {self.seed}, {self.placer}: {found}"


def folder_of(work: Path, attempt: Attempt) -> Path:
    """Where log and report of a run lie that was not taken."""
    return work / ATTEMPTS / f"seed{attempt.seed}-{attempt.placer}"


def seeds_from(seed: int, count: int) -> tuple[int, ...]:
    """Seeds that follow each other; after the last that nextpnr knows comes 0."""
    return tuple((seed + n) % SEEDS for n in range(count))


def best_of(
    board: Board,
    work: Path,
    seeds: Sequence[int],
    timeout: float,
    tell: Callable[[str], None],
    note: Note,
    earlier: Sequence[Attempt] = (),
) -> tuple[Attempt, tuple[Attempt, ...]]:
    """Place and route ``netlist.json`` with every seed; the fastest result stays in the folder.

    A placer that finds no places gives way to the family's next one, for the seeds to come as well.
    Where no seed has led to a result, one more is tried, unless one was ended at its limit of time.

    Parameters
    ----------
    board : Board
    work : Path
        The others' logs and reports come into ``attempts`` in it.
    seeds : sequence of int
        At least one.
    timeout : float
        Seconds for each run.
    tell : callable
        Told of every run.
    note : callable
        Told how far it is.
    earlier : sequence of Attempt
        At another clock: placers that came to nothing there are left out.

    Returns
    -------
    tuple
        The fastest (of equals the first), and all in their order.

    Raises
    ------
    BitstreamError
        If none comes to a result; the message lists them.
    """
    runs = _Runs(board, work, timeout, tell, note, earlier)
    for seed in seeds:
        runs.try_seed(seed)
    if not runs.best and not runs.late:
        runs.try_seed((seeds[-1] + 1) % SEEDS)
    return runs.chosen(), tuple(runs.done)


class _Runs:
    """What has been tried."""

    def __init__(
        self,
        board: Board,
        work: Path,
        timeout: float,
        tell: Callable[[str], None],
        note: Note,
        earlier: Sequence[Attempt],
    ):
        self._board, self._work, self._timeout = board, work, timeout
        self._tell, self._note = tell, note
        failed = {attempt.placer for attempt in earlier if attempt.failure}
        *first, last = tools_of(board).placers
        self._placers = [*(placer for placer in first if placer not in failed), last]
        self.done: list[Attempt] = []
        self.best: Attempt | None = None
        self.late = False

    def try_seed(self, seed: int) -> None:
        """With one placer after the other, until there is a result or the time is up."""
        for placer in self._candidates():
            self._tell(self._stage(seed, placer))
            written: tuple[str, ...] = ()
            late = False
            try:
                written = place(self._board, self._work, placer, seed, self._timeout, self._note)
                attempt = Attempt(seed, placer, fastest(self._work / REPORT))
            except (TooLong, Unplaced) as error:
                attempt = Attempt(seed, placer, failure=str(error))
                late = isinstance(error, TooLong)
            self.done.append(attempt)
            self._put_aside(attempt, (*written, log_of(self._board)))
            if written:
                self._compare(attempt)
            self.late |= late
            if written or late:
                return

    def _candidates(self) -> Iterator[str]:
        """Placers of a seed; all but the last that fail are left out from then on."""
        while True:
            yield self._placers[0]
            if len(self._placers) == 1:
                return
            del self._placers[0]

    def _stage(self, seed: int, placer: str) -> str:
        """Behind a colon what came of the last run."""
        if not self.done:
            return PLACING
        return f"{PLACING}, seed {seed}, {placer}: {self.done[-1]}"

    def _folder(self, attempt: Attempt) -> Path:
        return folder_of(self._work, attempt)

    def _put_aside(self, attempt: Attempt, names: Iterable[str]) -> None:
        """The next run writes files of the same names."""
        folder = self._folder(attempt)
        folder.mkdir(parents=True)
        for name in names:
            (self._work / name).rename(folder / name)

    def _compare(self, attempt: Attempt) -> None:
        """Of the slower one only log and report stay."""
        ranked = sorted(filter(None, (self.best, attempt)), key=lambda a: -(a.fmax_mhz or 0))
        self.best = ranked[0]
        for slower in ranked[1:]:
            for path in self._folder(slower).iterdir():
                if path.name not in (REPORT, log_of(self._board)):
                    path.unlink()

    def chosen(self) -> Attempt:
        """The fastest, whose files come back."""
        if not self.best:
            tried = "; ".join(map(str, self.done))
            raise BitstreamError(f"{PLACING} came to nothing. {tried}; {MEND}")
        for path in self._folder(self.best).iterdir():
            path.rename(self._work / path.name)
        self._folder(self.best).rmdir()
        if not any((self._work / ATTEMPTS).iterdir()):
            (self._work / ATTEMPTS).rmdir()
        return self.best


def fastest(report: Path) -> float:
    """Clock in MHz of the slowest domain of a report."""
    found = json.loads(report.read_text("utf-8"))["fmax"]
    return min(round(float(clock["achieved"]), 2) for clock in found.values())
