"""The command ``sparseflow regress``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import typer

from ..steps.options import RegressOptions
from .derived import derived

if TYPE_CHECKING:
    from sim.jobs.engines import Engine
    from sim.regress.jobs.runner import Places
    from sim.regress.jobs.verdicts import Run
    from sim.regress.suite.baseline import Baseline
    from sim.regress.suite.suite import Suite

__all__ = ["regress"]

LOCK = ".lock"
RECORDS = ("results.json", "junit.xml", "summary.md", "report.html", "history.jsonl", "replay")
GROWING = ("history.jsonl", "replay")  # of them; the others are written anew by each run


@derived(RegressOptions)
def regress(given: RegressOptions) -> None:
    """Run a suite of simulations and hold every figure against its baseline.

    **In:** a suite, and the baseline beside it. **Out:** `results.json`, `junit.xml`,
    `summary.md` (appended to `$GITHUB_STEP_SUMMARY` too) and `report.html`. Cycles and outputs
    must be exact, mismatches zero. The command ends with status 1 if a case is red. A run
    that was interrupted goes on where it was.

    **Next:** `sparseflow regress SUITE --replay CASE` for a red case, `--accept` if the new
    figures are right.
    """
    if given.lines and _is_command_line():
        from sim.regress.jobs.line_coverage import from_the_start, is_measured

        if not is_measured():
            words = from_the_start()
            os.execv(words[0], words)
    _checked(given)


def _is_command_line() -> bool:
    """Whether this process is ours alone, and may begin anew."""
    program = Path(sys.argv[0])
    return "sparseflow" in (program.stem, program.parent.name)


def _checked(given: RegressOptions) -> None:
    """Read what is given, and look at every place before anything runs."""
    from csb_format.files.cache import cache_of_user
    from csb_format.files.ownership import check_file
    from sim.regress.records.history import check_history
    from sim.regress.suite.sources import check_committed
    from sim.regress.suite.suite import read_suite

    from ..steps.checks import check_written
    from ..steps.regress.runs import check_together

    _check_suite(given.suite)
    check_together(given)
    suite = read_suite(given.suite)
    names = [given.replay] if given.replay else given.only or []
    chosen = suite.only(*names) if names else suite
    folder = given.out or Path("build/regress") / given.suite.stem
    path = given.baseline or given.suite.with_suffix(".baseline.json")
    if given.accept and not given.uncommitted:
        check_committed(chosen)
    if given.accept or given.baseline:
        check_written("--baseline", path, given.suite)
    if given.history:
        check_file(given.history, given.suite, path)
        check_history(given.history)
    if given.badge:
        check_written("--badge", given.badge, given.suite, path, given.history)
    cache = given.cache or cache_of_user() or Path("build/regress-cache")
    with _own(folder, cache):
        _regress(replace(given, cache=cache), chosen, suite, folder, path)


def _check_suite(path: Path) -> None:
    """Say what is the matter where no suite is named, and the default is not there."""
    if path == RegressOptions.suite and not path.exists():
        raise ValueError(
            f"no suite is named, and the default {path} is that of a checkout, which this folder "
            "is not: name one, `sparseflow regress SUITE.toml`"
        )


@contextmanager
def _own(folder: Path, cache: Path) -> Iterator[None]:
    """One run at a time where results go; nothing of others is replaced there."""
    from csb_format.files.folders import cache_folder, locked, shared_folder
    from csb_format.files.ownership import check_shared
    from sim.regress.jobs.runner import MADE
    from sim.regress.suite.hardware import CACHED

    check_shared(cache, CACHED)  # before anything is written
    living = (*MADE, *GROWING, LOCK)
    with (
        shared_folder(folder, (*MADE, *RECORDS, LOCK), living=living),
        locked(folder / LOCK, wait=False),
    ):
        cache_folder(cache, CACHED)
        yield


def _regress(given: RegressOptions, chosen: Suite, suite: Suite, folder: Path, path: Path) -> None:
    from sim.regress.jobs.runner import Places
    from sim.regress.records.artifacts import check_artifacts, keep_artifacts
    from sim.regress.suite.baseline import read_baseline

    from ..steps.progress import say
    from ..steps.regress.records import recorded, write
    from ..steps.regress.runs import accept

    assert given.cache is not None
    places = Places(given.suite, folder, given.cache, given.baseline)
    if given.artifacts:
        check_artifacts(given.artifacts, places)
    with _noting(given, folder):
        was = read_baseline(path)
        if given.replay:
            _replay(chosen, places, given.simulator.value, was)
            return
        ran, run = _result(given, chosen, suite, places, was)
        if given.accept:
            run = accept(run, was, path, whole=not given.only)
        records = recorded(run, places, given.history)
    write(records, given)
    if given.artifacts:
        keep_artifacts(ran, places, run, given.artifacts, given.simulator.value, say)
    _tell(run, chosen, path)


def _noting(given: RegressOptions, folder: Path) -> AbstractContextManager[None]:
    from sim.regress.jobs.line_coverage import noting

    return noting(folder / "lines") if given.lines else nullcontext()


def _result(
    given: RegressOptions, chosen: Suite, suite: Suite, places: Places, was: Baseline | None
) -> tuple[Suite, Run]:
    """What was run, and what came of it: here, or on the machines of the shards."""
    from sim.jobs.engines import engine_named

    from ..steps.regress.runs import chosen_shard, merged_run, repeated

    if given.merge:
        return suite, merged_run(suite, places, given.merge, was)
    names = None if given.only else [case.name for case in suite.cases]
    if given.shard:
        chosen, first = chosen_shard(chosen, places, given.shard, given.history)
        names = names if first else None  # cases that are gone are told once
    chosen = repeated(chosen, given.repeat)
    worker = engine_named(given.engine, given.jobs or os.cpu_count() or 1, given.scheduler)
    options = {"fresh": given.fresh, "lines": given.lines, "shard": given.shard}
    return chosen, _run(chosen, places, worker, was, whole=names, **options)


def _run(suite: Suite, places: Places, engine: Engine, was: Baseline | None, **options: Any) -> Run:
    """All cases, with a bar."""
    from sim.regress.jobs.runner import run_suite

    from ..steps.progress import counted

    with counted(suite.name, len(suite.cases)) as tell:
        return run_suite(
            suite, places, engine, was, **options, tell=lambda text, done, _: tell(done, text)
        )


def _tell(run: Run, suite: Suite, path: Path) -> None:
    """The stories of what is red, and the verdict."""
    from ..steps.progress import say

    for result in run.failed:
        say(f"red: {result.case.name}\n{indent(result.story, '  ')}\n  again: {result.replay}")
    for name in run.gone:
        say(f"red: {name} is in {path}, but not in the suite")
    passed = len(run.results) - len(run.failed)
    resumed = sum(result.resumed for result in run.results)
    part = f", shard {run.shard}" if run.shard else ""
    text = f"{suite.name}{part}: {passed} of {len(run.results)} cases passed in {run.seconds:.0f} s"
    text += f", {resumed} of them before the interruption" if resumed else ""
    if not run.gated:
        text += f"; no baseline at {path}: record one with --accept"
    if run.flaky:
        text += f"; flaky: {', '.join(run.flaky)}"
    say(text)
    if not run.passed:
        raise typer.Exit(1)


def _replay(suite: Suite, places: Places, simulator: str, was: Baseline | None) -> None:
    from sim.regress.records.replay import replay

    from ..steps.progress import say

    if len(suite.cases) > 1:
        names = ", ".join(case.name for case in suite.cases[:5])
        raise ValueError(f"--replay fits {len(suite.cases)} cases: name one of {names}")
    found = replay(suite, places, simulator, was)
    say(found.story)
    say(f"vectors and logs: {found.folder}")
    for path in found.waves:
        say(f"waveforms: {path}")
    if not found.passed:
        raise typer.Exit(1)
