"""A regression as one page: verdicts, stories, coverage, and plots of its history."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

__all__ = ["page"]

SHOWN = 8  # cases in one plot


def page(results: dict[str, Any], history: Sequence[dict[str, Any]]) -> str:
    """The page; it needs no network.

    Parameters
    ----------
    results : dict
        As in results.json.
    history : sequence of dict
        All runs, oldest first, this one last.
    """
    loader = PackageLoader("sparseflow")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    when = datetime.fromtimestamp(results["started"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment.get_template("regress.html.j2").render(
        results=results,
        when=when,
        plots=[_verdicts(history), *_cycles(history), _seconds(history)],
        runs=len(history),
    )


def _verdicts(history: Sequence[dict[str, Any]]) -> str:
    figure, axes = _axes("cases")
    runs = range(1, len(history) + 1)
    green = [line["passed"] for line in history]
    axes.bar(runs, green, color="#2a7a3f", label="passed")
    axes.bar(runs, [line["failed"] for line in history], bottom=green, color="#b3261e",
             label="failed")  # fmt: skip
    axes.legend(fontsize=8)
    return _svg(figure)


def _cycles(history: Sequence[dict[str, Any]]) -> list[str]:
    """Cycles a step of the cases in which they changed, else of the first ones."""
    names = list(history[-1]["cases"])
    lines = {name: [line["cases"].get(name, {}).get("cycles_per_step") for line in history]
             for name in names}  # fmt: skip
    lines = {name: values for name, values in lines.items() if values[-1] is not None}
    changed = [n for n, values in lines.items() if len({v for v in values if v is not None}) > 1]
    chosen = (changed or list(lines))[:SHOWN]
    if not chosen:
        return []
    figure, axes = _axes("cycles a step")
    for name in chosen:
        given = [(n + 1, v) for n, v in enumerate(lines[name]) if v is not None]
        axes.plot(*zip(*given, strict=True), marker=".", label=name)
    axes.legend(fontsize=7)
    return [_svg(figure)]


def _seconds(history: Sequence[dict[str, Any]]) -> str:
    figure, axes = _axes("seconds")
    axes.plot(range(1, len(history) + 1), [line["seconds"] for line in history], marker=".")
    axes.set_ylim(bottom=0)
    return _svg(figure)


def _axes(label: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5.2, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel("run")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "sparseflow"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
