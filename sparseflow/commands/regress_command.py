"""The command ``sparseflow regress``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import typer

from ..steps.options import EngineName, RegressOptions
from .derived import derived

if TYPE_CHECKING:
    from sim.regress.jobs.engines import Engine
    from sim.regress.jobs.runner import Places, Run
    from sim.regress.suite.baseline import Baseline
    from sim.regress.suite.suite import Suite

__all__ = ["regress"]

LOCK = ".lock"
RECORDS = ("results.json", "junit.xml", "summary.md", "report.html", "history.jsonl", "replay")


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
    from csb_format.files.ownership import check_file
    from sim.regress.records.records import check_history
    from sim.regress.suite.sources import check_committed
    from sim.regress.suite.suite import read_suite

    from ..steps.checks import check_written

    _check_suite(given.suite)
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
    with _own(folder, given.cache):
        _regress(given, chosen, folder, path)


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
    with shared_folder(folder, (*MADE, *RECORDS, LOCK)), locked(folder / LOCK, wait=False):
        cache_folder(cache, CACHED)
        yield


def _regress(given: RegressOptions, chosen: Suite, folder: Path, path: Path) -> None:
    from sim.regress.jobs.line_coverage import noting

    with noting(folder / "lines") if given.lines else nullcontext():
        from sim.regress.jobs.runner import Places
        from sim.regress.suite.baseline import read_baseline

        places = Places(given.suite, folder, given.cache)
        if given.replay:
            _replay(chosen, places, given.simulator.value)
            return
        was = read_baseline(path)
        worker = _engine(given.engine, given.jobs or os.cpu_count() or 1, given.scheduler)
        run = _run(
            chosen, places, worker, was, fresh=given.fresh, whole=not given.only, lines=given.lines
        )
    if given.accept:
        run = _accept(run, was, path, whole=not given.only)
    _write(run, places, given.history or places.out / "history.jsonl")
    _tell(run, chosen, path)


def _run(
    suite: Suite, places: Places, engine: Engine, was: Baseline | None, **options: bool
) -> Run:
    """All cases, with a bar."""
    from sim.regress.jobs.runner import run_suite

    from ..steps.progress import counted

    with counted(suite.name, len(suite.cases)) as tell:
        return run_suite(
            suite, places, engine, was, **options, tell=lambda text, done, _: tell(done, text)
        )


def _engine(name: EngineName, jobs: int, scheduler: str) -> Engine:
    from sim.regress.jobs.engines import DaskEngine, LocalEngine

    return DaskEngine(jobs, scheduler) if name == EngineName.dask else LocalEngine(jobs)


def _tell(run: Run, suite: Suite, path: Path) -> None:
    """The stories of what is red, and the verdict."""
    from ..steps.progress import say

    for result in run.failed:
        say(f"red: {result.case.name}\n{indent(result.story, '  ')}\n  again: {result.replay}")
    for name in run.gone:
        say(f"red: {name} is in {path}, but not in the suite")
    passed = len(run.results) - len(run.failed)
    resumed = sum(result.resumed for result in run.results)
    text = f"{suite.name}: {passed} of {len(run.results)} cases passed in {run.seconds:.0f} s"
    text += f", {resumed} of them before the interruption" if resumed else ""
    if not run.gated:
        text += f"; no baseline at {path}: record one with --accept"
    say(text)
    if not run.passed:
        raise typer.Exit(1)


def _accept(run: Run, was: Baseline | None, path: Path, *, whole: bool) -> Run:
    """Write the baseline, say what changed in it; cases that are wrong keep their figures."""
    from sim.regress.jobs.runner import without
    from sim.regress.suite.baseline import Baseline, accepted, compare

    from ..steps.progress import say

    before = was or Baseline({})
    right = {r.case.name: r.figures for r in run.results if r.failure is None}
    for name, figures in right.items():
        old = before.cases.get(name)
        if old is None:
            say(f"new: {name}")
        for change in compare(name, old, figures, {}) if old is not None else ():
            say(f"accepted: {change}")
    for name in run.gone:
        say(f"dropped: {name}")
    kept = {r.case.name: before.cases[r.case.name] for r in run.failed
            if r.failure is not None and r.case.name in before.cases}  # fmt: skip
    accepted(was, kept | right, whole).write(path, run.suite)
    return without(run, set(right))


def _write(run: Run, places: Places, history: Path) -> None:
    """All files of a run."""
    from csb_format.files.replace import replace_file
    from sim.regress.jobs.line_coverage import combined
    from sim.regress.records.records import append_history, as_junit, as_markdown, as_results

    from ..pages.figures import versions
    from ..pages.regress_page import page

    folder = places.out / "lines"
    lines = combined(folder) if folder.exists() else {}
    results, markdown = as_results(run, versions(), lines), as_markdown(run, lines)
    runs = append_history(history, run)
    files = {
        "results.json": json.dumps(results, indent=2, sort_keys=True, allow_nan=False).encode()
        + b"\n",
        "junit.xml": as_junit(run),
        "summary.md": markdown.encode(),
        "report.html": page(results, runs).encode(),
    }
    for name, content in files.items():
        replace_file(places.out / name, content)
    if step := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(step).open("a", encoding="utf-8") as file:
            file.write(markdown)


def _replay(suite: Suite, places: Places, simulator: str) -> None:
    from sim.regress.records.replay import replay

    from ..steps.progress import say

    if len(suite.cases) > 1:
        names = ", ".join(case.name for case in suite.cases[:5])
        raise ValueError(f"--replay fits {len(suite.cases)} cases: name one of {names}")
    found = replay(suite, places, simulator)
    say(found.story)
    say(f"vectors and logs: {found.folder}")
    for path in found.waves:
        say(f"waveforms: {path}")
    if not found.passed:
        raise typer.Exit(1)
