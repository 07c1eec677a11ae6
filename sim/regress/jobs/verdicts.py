"""Verdicts: what makes a case red, in a run and in a replay alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

from ..suite.baseline import NEW, Baseline, Change, compare
from ..suite.suite import Case, Suite
from .bin_coverage import ALL_BINS, covered

__all__ = ["CaseResult", "Run", "judged", "told_flaky", "without"]


@dataclass(frozen=True)
class CaseResult:
    """A case and its verdict.

    Parameters
    ----------
    case : Case
    figures, times : dict
    bins : list of str
    failure : dict, optional
        ``kind``, ``text``, ``details``: why it is red by itself.
    log : str
        The last lines of its process, if it failed.
    changes : tuple of Change
        Why it is red against the baseline.
    replay : str
        One command that runs just this case again, with waveforms.
    kept : str
        Folder with vectors and logs, if it failed.
    resumed : bool
        Whether it was run before an interruption.
    reach : tuple of str
        Bins that a case as this one can hit.
    flaky : str
        Why the same case does not always end so; empty if it does, or is green.
    """

    case: Case
    figures: dict[str, Any]
    times: dict[str, float]
    bins: list[str]
    failure: dict[str, Any] | None
    log: str
    changes: tuple[Change, ...]
    replay: str
    kept: str
    resumed: bool = False
    reach: tuple[str, ...] = ()
    flaky: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is green."""
        return self.failure is None and not self.changes and not self.flaky

    @property
    def story(self) -> str:
        """Why it is red; empty if it is not."""
        parts = [f"flaky: {self.flaky}"] if self.flaky else []
        if self.failure:  # a program that says nothing leaves an empty line
            parts += [f"{self.failure['kind']}: {self.failure['text']}".rstrip()]
        return "\n".join([*parts, *(change.text for change in self.changes)])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        found = asdict(self)
        found |= {"case": self.case.name, "parameters": self.case.parameters}
        found |= {"verdict": "passed" if self.passed else "failed"}
        found["changes"] = [asdict(change) for change in self.changes]
        return found


@dataclass(frozen=True)
class Run:
    """A run of a suite.

    Parameters
    ----------
    suite : str
    started : float
        Seconds since 1970.
    seconds : float
    results : tuple of CaseResult
        In the suite's order.
    gone : tuple of str
        Cases of the baseline that the suite no longer has.
    gated : bool
        Whether there is a baseline.
    hardware : int
        Distinct simulators that the cases needed.
    commit : str
        Of the repository that the suite lies in; empty where there is none.
    shard : str
        Which part of the suite this is, such as ``2/4``; empty for all of it.
    bins : {"touched", "all"}
        Which bins functional coverage is of.
    """

    suite: str
    started: float
    seconds: float
    results: tuple[CaseResult, ...]
    gone: tuple[str, ...]
    gated: bool
    hardware: int
    commit: str = ""
    shard: str = ""
    bins: str = "touched"

    @property
    def coverage(self) -> dict[str, Any]:
        """Functional coverage by group, of the bins that count."""
        reach = (name for result in self.results for name in result.reach)
        hit = (name for result in self.results for name in result.bins)
        return covered(hit, ALL_BINS if self.bins == "all" else reach)

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """The red cases."""
        return tuple(result for result in self.results if not result.passed)

    @property
    def passed(self) -> bool:
        """The verdict."""
        return not self.failed and not self.gone

    @property
    def flaky(self) -> tuple[str, ...]:
        """Cases that ended differently when they were repeated."""
        return tuple(dict.fromkeys(r.case.base for r in self.results if r.flaky))


def judged(
    suite: Suite,
    case: Case,
    found: dict[str, Any],
    baseline: Baseline | None,
    replay: str,
    resumed: bool = False,
) -> CaseResult:
    """The verdict on what a case gave.

    Parameters
    ----------
    suite : Suite
        With the tolerances.
    case : Case
    found : dict
        Of :func:`.case_task.run_case`.
    baseline : Baseline, optional
        Repetitions with another seed are not held against it: their figures may be others.
    replay : str
        The command that runs just this case again.
    resumed : bool
        Whether it was run before an interruption.
    """
    failure = found["failure"]
    changes: list[Change] = []
    if baseline is not None and not failure and not case.reseeded:
        changes = list(_changes(suite, case, found["figures"], baseline))
    return CaseResult(
        case,
        found["figures"],
        found["times"],
        found["bins"],
        failure,
        found["log"],
        tuple(changes),
        replay,
        found["work"] if failure or changes else "",
        resumed,
        tuple(found["reach"]),
    )


def _changes(
    suite: Suite, case: Case, figures: dict[str, Any], baseline: Baseline
) -> Iterable[Change]:
    was = baseline.cases.get(case.base)
    if was is None:
        return [Change(case.name, NEW, None, None)]
    return compare(case.name, was, figures, suite.tolerance)


def told_flaky(suite: Suite, results: Iterable[CaseResult]) -> tuple[CaseResult, ...]:
    """Results, and of repeated cases whether they are flaky.

    A case is flaky if some of its repetitions fail and others do not, or if the very same program
    gives other figures.

    Parameters
    ----------
    suite : Suite
    results : iterable of CaseResult
        In the suite's order: repetitions of a case follow each other.
    """
    groups = groupby(results, key=lambda result: result.case.base)
    return tuple(result for _, group in groups for result in _flaky(suite, list(group)))


def _flaky(suite: Suite, group: list[CaseResult]) -> Iterator[CaseResult]:
    red = [result.case for result in group if result.failure is not None]
    text = ""
    if 0 < len(red) < len(group):
        seeds = ", ".join(str(case.seed) for case in red)
        which = f"seed{'s' * (len(red) > 1)} {seeds}" if red[0].seeded else "the same command"
        text = f"{len(red)} of {len(group)} runs failed, with {which}"
    first = next((result for result in group if result.failure is None), None)
    for result in group:
        if result.failure is not None:
            yield replace(result, flaky=text)
        else:
            yield replace(result, flaky=_moved(suite, first, result))


def _moved(suite: Suite, first: CaseResult | None, result: CaseResult) -> str:
    """Figures that the same program gave another time."""
    if first is None or first is result or result.case.seeded:
        return ""
    name, was = result.case.name, first.figures
    moved = [change.text for change in compare(name, was, result.figures, suite.tolerance)]
    return f"the same command gave other figures: {'; '.join(moved)}" if moved else ""


def without(run: Run, names: set[str]) -> Run:
    """A run less some cases' changes, which were accepted."""
    results = tuple(
        replace(result, changes=()) if result.case.base in names else result
        for result in run.results
    )
    return replace(run, results=results, gone=(), gated=True)
