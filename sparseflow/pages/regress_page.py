"""A regression as one page: verdicts, stories, coverage, and plots of its history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from .regress_plots import plots
from .report_page import templates

__all__ = ["page"]


_BINS = {
    "touched": "Of the bins that these cases can touch.",
    "all": "Of all bins that there are.",
}


def page(results: dict[str, Any], history: Sequence[dict[str, Any]], command: str = "") -> str:
    """The page; it needs no network.

    Parameters
    ----------
    results : dict
        As in results.json.
    history : sequence of dict
        All runs, oldest first, this one last.
    command : str
        That was typed, if one was.
    """
    environment = templates()
    environment.globals["short"] = _short
    when = datetime.fromtimestamp(results["started"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    groups = results["coverage"].values()
    return environment.get_template("regress.html.j2").render(
        results=results,
        when=when,
        red=[case for case in results["cases"] if case["verdict"] == "failed"],
        bins=(sum(group["hit"] for group in groups), sum(group["bins"] for group in groups)),
        plots=plots(history),
        runs=_runs(history),
        bins_of=_BINS[results["bins"]],
        command=command,
    )


def _runs(history: Sequence[dict[str, Any]]) -> str:
    """How many runs there are, and of how many commits."""
    commits = {run["commit"].removesuffix("-dirty") for run in history if run.get("commit")}
    return _count(len(history), "run") + f" of {_count(len(commits), 'commit')}" * bool(commits)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _short(value: Any) -> str:
    """A figure as people read it: few digits, the beginning of a digest."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "none" if value is None else str(value)
    return text if len(text) <= 16 else f"{text[:12]}..."
