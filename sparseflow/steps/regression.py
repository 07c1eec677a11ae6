"""Steps of ``sparseflow regress``: what is run, what is accepted, what is written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from csb_format.files.replace import replace_file
from sim.regress.jobs.line_coverage import TOGETHER, combined, copied
from sim.regress.jobs.runner import Places, build_key
from sim.regress.jobs.verdicts import CaseResult, Run, without
from sim.regress.records.history import last_seconds, read_history, with_run, write_history
from sim.regress.records.merge import merged, result_folders
from sim.regress.records.records import as_junit, as_markdown, as_results
from sim.regress.suite.baseline import Baseline, accepted, compare
from sim.regress.suite.shards import Shard, split
from sim.regress.suite.suite import Suite

from ..pages.figures import versions
from .options import RegressOptions
from .progress import say

__all__ = [
    "Records", "accept", "check_together", "chosen_shard", "merged_run", "recorded", "repeated",
    "write",
]  # fmt: skip

# Options that mean nothing beside another one, and what to do instead.
ALONE = {
    "replay": (
        ("shard", "merge", "repeat", "artifacts", "badge", "accept"),
        "it runs one case and writes no record",
    ),
    "merge": (
        ("shard", "repeat", "artifacts", "only", "fresh", "lines"),
        "it runs nothing; give that to the shards",
    ),
    "shard": (("accept",), "it has only some figures; accept them with --merge"),
}


def check_together(given: RegressOptions) -> None:
    """Refuse options that mean nothing together.

    Raises
    ------
    ValueError
        Naming both.
    """
    for name, (others, why) in ALONE.items():
        for other in others if _is_given(given, name) else ():
            if _is_given(given, other):
                raise ValueError(f"--{name} and --{other} do not go together: {why}")
    if given.shard:
        Shard.of(given.shard)


def _is_given(given: RegressOptions, name: str) -> bool:
    return bool(getattr(given, name) != getattr(RegressOptions, name))


def chosen_shard(
    suite: Suite, places: Places, text: str, history: Path | None
) -> tuple[Suite, bool]:
    """A part of a suite, and whether it is the first; said with the time that it took before.

    Parameters
    ----------
    suite : Suite
    places : Places
    text : str
        Such as ``2/4``.
    history : Path, optional
        With the times of before; that of the results by default.
    """
    shard = Shard.of(text)
    seconds = last_seconds(read_history(_history(places, history)))
    keys = {c.name: build_key(c, suite, places) for c in suite.cases if c.kind != "command"}
    part = split(suite, shard.count, keys, seconds)[shard.number - 1]
    known = [seconds[case.name] for case in part.cases if case.name in seconds]
    took = f", of which {len(known)} took {sum(known):.0f} s before" if known else ""
    say(f"shard {shard}: {len(part.cases)} of {len(suite.cases)} cases{took}")
    return part, shard.number == 1


def repeated(suite: Suite, times: int) -> Suite:
    """Each case of a suite several times; the seeds are said."""
    if times == 1:
        return suite
    for case in suite.cases:
        seeds = ", ".join(str(case.repeated(n).seed) for n in range(1, times + 1))
        what = f"with seed {seeds}" if case.seeded else "the same command"
        say(f"{case.name}: {times} times, {what}")
    return suite.repeated(times)


def merged_run(
    suite: Suite, places: Places, given: Sequence[Path], baseline: Baseline | None
) -> Run:
    """The shards' results as one run, their lines of Python too."""
    folders = result_folders(given)
    run = merged(suite, places, folders, baseline)
    shutil.rmtree(places.out / "lines", ignore_errors=True)
    lines = [folder / "lines" for folder in folders]
    if all((folder / TOGETHER).is_file() for folder in lines):
        copied(lines, places.out / "lines")
    return run


def accept(run: Run, was: Baseline | None, path: Path, *, whole: bool) -> Run:
    """Write the baseline, say what changed in it; cases that are wrong keep their figures.

    Parameters
    ----------
    run : Run
    was : Baseline, optional
        The one of before.
    path : Path
    whole : bool
        Whether these are all cases of the suite: then others are dropped.

    Returns
    -------
    Run
        Without the changes that were accepted.
    """
    before = was or Baseline({})
    right = {r.case.name: r.figures for r in run.results if _right(r, run)}
    for name, figures in right.items():
        old = before.cases.get(name)
        if old is None:
            say(f"new: {name}")
        for change in compare(name, old, figures, {}) if old is not None else ():
            say(f"accepted: {change}")
    for name in run.gone:
        say(f"dropped: {name}")
    kept = {r.case.name: before.cases[r.case.name] for r in run.failed
            if r.case.name not in right and r.case.name in before.cases}  # fmt: skip
    accepted(was, kept | right, whole).write(path, run.suite)
    return without(run, set(right))


def _right(result: CaseResult, run: Run) -> bool:
    """Whether figures may be kept: of the suite's own seed, and the same when it was repeated."""
    case = result.case
    return result.failure is None and case.repetition == 1 and case.base not in run.flaky


@dataclass(frozen=True)
class Records:
    """A run as it is written.

    Parameters
    ----------
    run : Run
    places : Places
    history : Path
    runs : list of dict
        All of its history, this one last.
    results : dict
        As in results.json.
    markdown : str
    junit : bytes
    """

    run: Run
    places: Places
    history: Path
    runs: list[dict[str, Any]]
    results: dict[str, Any]
    markdown: str
    junit: bytes

    def with_lines(self, lines: dict[str, Any]) -> Records:
        """The same with line coverage."""
        results = as_results(self.run, versions(), lines)
        return replace(self, results=results, markdown=as_markdown(self.run, lines))


def recorded(run: Run, places: Places, history: Path | None) -> Records:
    """A run as it is written; its line is in the history from here on, but for shards.

    What a history says must be the same for all shards, so only their merger adds to it.

    Parameters
    ----------
    run : Run
    places : Places
    history : Path, optional
        That of the results by default.
    """
    path = _history(places, history)
    runs = with_run(path, run)
    if not run.shard:
        write_history(path, runs)
    results, markdown = as_results(run, versions()), as_markdown(run)
    return Records(run, places, path, runs, results, markdown, as_junit(run, places.suite))


def _history(places: Places, given: Path | None) -> Path:
    return given or places.out / "history.jsonl"


def write(records: Records, given: RegressOptions) -> None:
    """All files of a run.

    Parameters
    ----------
    records : Records
    given : RegressOptions
    """
    from ..pages.badge import badge
    from ..pages.regress_page import page

    out = records.places.out
    if (out / "lines").exists():
        records = records.with_lines(combined(out / "lines"))
    results = json.dumps(records.results, indent=2, sort_keys=True, allow_nan=False)
    files = {
        out / "results.json": results + "\n",
        out / "junit.xml": records.junit.decode(),
        out / "summary.md": records.markdown,
        out / "report.html": page(records.results, records.runs),
    }
    if given.badge:
        files[given.badge] = badge(records.run)
    for path, content in files.items():
        replace_file(path, content.encode())
    if step := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(step).open("a", encoding="utf-8") as file:
            file.write(records.markdown)
