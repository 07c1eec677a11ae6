"""A regression as one page: verdicts, stories, coverage, and plots of its history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .plots import LINE, MINUS, OURS, PLUS, _canvas, _style, _svg

__all__ = ["page"]

MOST_RUNS, MOST_PLOTS, MOST_LINES = 60, 6, 6
LEAST_RUNS = 8  # places on the axis, so that one run is no block as wide as the plot
# Okabe and Ito's, which stay apart for the colour-blind, on light and on dark ground
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
NOT_FIGURES = ("seconds", "passed")
Lines = dict[str, list[float | None]]
"""Values of each case, a place for each run; None where it has none."""


def page(results: dict[str, Any], history: Sequence[dict[str, Any]]) -> str:
    """The page; it needs no network.

    Parameters
    ----------
    results : dict
        As in results.json.
    history : sequence of dict
        All runs, oldest first, this one last.
    """
    loader = PackageLoader("sparseflow.pages")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.globals["short"] = _short
    when = datetime.fromtimestamp(results["started"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    groups = results["coverage"].values()
    return environment.get_template("regress.html.j2").render(
        results=results,
        when=when,
        red=[case for case in results["cases"] if case["verdict"] == "failed"],
        bins=(sum(group["hit"] for group in groups), sum(group["bins"] for group in groups)),
        plots=_plots(history),
        runs=len(history),
    )


def _short(value: Any) -> str:
    """A figure as people read it: few digits, the beginning of a digest."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "none" if value is None else str(value)
    return text if len(text) <= 16 else f"{text[:12]}..."


def _words(figure: str) -> str:
    """The name of a figure as text."""
    return figure.replace("cycles_per_step", "cycles a step").replace("_", " ")


def _plots(history: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Title, picture and caption of each plot."""
    first = max(1, len(history) - MOST_RUNS + 1)
    shown = history[-MOST_RUNS:]
    found = [
        ("Cases by run", _verdicts(shown, first), "Green passed, red failed."),
        ("Wall time by run", _seconds(shown, first), "Seconds; reported, never gated."),
    ]
    changed = list(_changed(shown))
    for n, (figure, lines) in enumerate(changed[:MOST_PLOTS]):
        caption = f"Changed in {len(lines)} case{'s' * (len(lines) > 1)}"
        caption += f", of which {MOST_LINES} are shown." if len(lines) > MOST_LINES else "."
        title = f"{_words(figure)} by run"
        title = title if "." in figure else title[0].upper() + title[1:]
        found.append((title, _figure(n, figure, lines, first), caption))
    return found


def _changed(history: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Lines]]:
    """Figures that were not the same in all runs, with the cases in which they were not."""
    found: dict[str, Lines] = {}
    for n, run in enumerate(history):
        for case, figures in run["cases"].items():
            for figure, value in figures.items():
                if figure in NOT_FIGURES or not isinstance(value, int | float):
                    continue
                lines = found.setdefault(figure, {})
                lines.setdefault(case, [None] * len(history))[n] = value
    for figure, lines in sorted(found.items(), key=lambda item: item[0] != "cycles_per_step"):
        moved = {case: v for case, v in lines.items() if len(set(v) - {None}) > 1}
        if moved:
            yield figure, moved


def _verdicts(history: Sequence[dict[str, Any]], first: int) -> str:
    with _style("verdicts"):
        figure, axes = _axes("cases", len(history), first)
        runs = range(first, first + len(history))
        green = [run.get("passed", 0) for run in history]
        red = [run.get("failed", 0) for run in history]
        axes.bar(runs, green, width=0.6, color=PLUS)
        axes.bar(runs, red, width=0.6, bottom=green, color=MINUS)
        axes.set_ylim(0, 1.08 * max(*map(sum, zip(green, red, strict=True)), 1))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        return _svg(figure, "verdicts", f"Last run: {green[-1]} passed, {red[-1]} failed")


def _seconds(history: Sequence[dict[str, Any]], first: int) -> str:
    with _style("seconds"):
        figure, axes = _axes("seconds", len(history), first)
        seconds = [run.get("seconds", 0.0) for run in history]
        axes.plot(range(first, first + len(history)), seconds, marker="o", color=OURS)
        axes.set_ylim(bottom=0, top=1.15 * max(*seconds, 1))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        return _svg(figure, "seconds", f"Last run: {seconds[-1]:.0f} s")


def _figure(number: int, title: str, lines: Lines, first: int) -> str:
    name, chosen = f"figure{number}", list(lines.items())[:MOST_LINES]
    with _style(name):
        figure, axes = _axes(_words(title), len(chosen[0][1]), first, rows=len(chosen))
        for colour, (case, values) in zip(COLOURS, chosen, strict=False):
            given = [(first + n, v) for n, v in enumerate(values) if v is not None]
            axes.plot(*zip(*given, strict=True), marker="o", color=colour, label=case)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        figure.legend(loc="outside lower left", fontsize=9)
        return _svg(figure, name, f"{_words(title)} of {', '.join(lines)}")


def _axes(label: str, runs: int, first: int, rows: int = 0) -> tuple[Figure, Axes]:
    figure, axes = _canvas(2.3 + 0.2 * rows)
    axes.set_xlabel("run")
    axes.set_ylabel(label)
    axes.set_xlim(first - 0.6, first + max(runs, LEAST_RUNS) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    return figure, axes
