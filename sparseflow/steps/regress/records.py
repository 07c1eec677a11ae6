"""What is written of a run: its records, its page and its badge."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from csb_format.files.replace import replace_file
from sim.regress.jobs.line_coverage import combined
from sim.regress.jobs.runner import Places
from sim.regress.jobs.verdicts import Run
from sim.regress.records.history import with_run, write_history
from sim.regress.records.records import as_junit, as_markdown, as_results

from ...pages.figures import versions
from ...pages.made.typed import typed
from ..options import RegressOptions

__all__ = ["Records", "history_of", "recorded", "write"]


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
    path = history_of(places, history)
    runs = with_run(path, run)
    if not run.shard:
        write_history(path, runs)
    results, markdown = as_results(run, versions()), as_markdown(run)
    return Records(run, places, path, runs, results, markdown, as_junit(run, places.suite))


def history_of(places: Places, given: Path | None) -> Path:
    """Where the history is: that of the results by default."""
    return given or places.out / "history.jsonl"


def write(records: Records, given: RegressOptions) -> None:
    """All files of a run.

    Parameters
    ----------
    records : Records
    given : RegressOptions
    """
    from ...pages.badge import badge
    from ...pages.regress_page import page

    out = records.places.out
    if (out / "lines").exists():
        records = records.with_lines(combined(out / "lines"))
    results = json.dumps(records.results, indent=2, sort_keys=True, allow_nan=False)
    files = {
        out / "results.json": results + "\n",
        out / "junit.xml": records.junit.decode(),
        out / "summary.md": records.markdown,
        out / "report.html": page(records.results, records.runs, typed()),
    }
    if given.badge:
        files[given.badge] = badge(records.run)
    for path, content in files.items():
        replace_file(path, content.encode())
    if step := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(step).open("a", encoding="utf-8") as file:
            file.write(records.markdown)
