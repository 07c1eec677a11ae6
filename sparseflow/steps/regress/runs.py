"""What is run of a suite, and which figures are accepted."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from sim.regress.jobs.line_coverage import TOGETHER, copied
from sim.regress.jobs.runner import Places, build_key
from sim.regress.jobs.verdicts import CaseResult, Run, without
from sim.regress.records.history import last_seconds, read_history
from sim.regress.records.merge import merged, result_folders
from sim.regress.suite.baseline import Baseline, accepted, compare
from sim.regress.suite.shards import Shard, split
from sim.regress.suite.suite import Suite

from ..options import RegressOptions
from ..progress import say
from .records import history_of

__all__ = ["accept", "check_together", "chosen_shard", "merged_run", "repeated"]

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
    seconds = last_seconds(read_history(history_of(places, history)))
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
