"""The plots of a regression's page: runs from left to right, with their commits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .plots import LINE, MINUS, OURS, PLUS, _canvas, _style, _svg

__all__ = ["plots"]

MOST_RUNS, MOST_PLOTS, MOST_LINES = 60, 6, 6
MOST_TICKS = 7  # of an axis
LEAST_BARS = 8  # with fewer runs bars are as narrow as with so many
MOST_NAMES, LEGEND = 4, 60  # cases of a line in the legend; letters of a line of it
# Okabe and Ito's, which stay apart for the colour-blind, on light and on dark ground
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
NOT_FIGURES = ("seconds", "passed")
Lines = dict[str, list[float | None]]
"""Values of each case, a place for each run; None where it has none."""


def _words(figure: str) -> str:
    """The name of a figure as text."""
    return figure.replace("cycles_per_step", "cycles a step").replace("_", " ")


def plots(history: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Title, picture and caption of each plot.

    Parameters
    ----------
    history : sequence of dict
        All runs, oldest first.
    """
    first = max(1, len(history) - MOST_RUNS + 1)
    shown = history[-MOST_RUNS:]
    axis = _Axis(first, [_commit(run) for run in shown])
    found = [
        ("Cases by run", _verdicts(shown, axis), "Green passed, red failed."),
        ("Wall time by run", _seconds(shown, axis), "Seconds; reported, never gated."),
    ]
    changed = list(_changed(shown))
    for n, (figure, lines) in enumerate(changed[:MOST_PLOTS]):
        caption = f"Changed in {len(lines)} case{'s' * (len(lines) > 1)}"
        different = len(list(_together(lines)))
        caption += f"; {MOST_LINES} of {different} lines are shown" * (different > MOST_LINES) + "."
        title = f"{_words(figure)} by run"
        title = title if "." in figure else title[0].upper() + title[1:]
        found.append((title, _figure(n, figure, lines, axis), caption))
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


@dataclass(frozen=True)
class _Axis:
    """Runs from left to right, each with its number and its commit.

    Parameters
    ----------
    first : int
        Number of the first run that is shown.
    commits : list of str
        Of each run; empty where nobody knows.
    """

    first: int
    commits: list[str]

    @property
    def runs(self) -> range:
        return range(self.first, self.first + len(self.commits))

    def ticks(self) -> tuple[list[int], list[str]]:
        """Numbers where there is room, with the commit where that is another than before."""
        step = 1 + (len(self.commits) - 1) // MOST_TICKS
        shown = list(self.runs)[::-step][::-1]  # the last one always
        named = [self.commits[run - self.first] for run in shown]
        before = ["", *named]
        pairs = zip(shown, named, before, strict=False)
        return shown, [f"{run}\n{now}" if now != was else str(run) for run, now, was in pairs]


def _commit(run: dict[str, Any]) -> str:
    """A commit in few letters, with a star where files differed from it."""
    name, dirty = str(run.get("commit", "")), "*"
    plain = name.removesuffix("-dirty")
    return plain[:7] + dirty * (plain != name)


def _verdicts(history: Sequence[dict[str, Any]], axis: _Axis) -> str:
    with _style("verdicts"):
        figure, axes = _axes("cases", axis)
        green = [run.get("passed", 0) for run in history]
        red = [run.get("failed", 0) for run in history]
        width = 0.6 * min(1, len(history) / LEAST_BARS)  # few runs are no blocks
        axes.bar(axis.runs, green, width=width, color=PLUS)
        axes.bar(axis.runs, red, width=width, bottom=green, color=MINUS)
        axes.set_ylim(0, 1.08 * max(*map(sum, zip(green, red, strict=True)), 1))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        return _svg(figure, "verdicts", f"Last run: {green[-1]} passed, {red[-1]} failed")


def _seconds(history: Sequence[dict[str, Any]], axis: _Axis) -> str:
    with _style("seconds"):
        figure, axes = _axes("seconds", axis)
        seconds = [run.get("seconds", 0.0) for run in history]
        axes.plot(axis.runs, seconds, marker="o", color=OURS)
        axes.set_ylim(bottom=0, top=1.15 * max(*seconds, 1))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        return _svg(figure, "seconds", f"Last run: {seconds[-1]:.0f} s")


def _figure(number: int, title: str, lines: Lines, axis: _Axis) -> str:
    name, chosen = f"figure{number}", list(_together(lines))[:MOST_LINES]
    with _style(name):
        figure, axes = _axes(
            _words(title), axis, rows=sum(1 + label.count("\n") for label, _ in chosen)
        )
        for n, (colour, (label, values)) in enumerate(zip(COLOURS, chosen, strict=False)):
            given = [(run, v) for run, v in zip(axis.runs, values, strict=True) if v is not None]
            # where lines meet, the one below shows on both sides of the one above
            size = len(chosen) - n - 1
            axes.plot(*zip(*given, strict=True), marker="o", color=colour, label=label,
                      linewidth=2 + 1.2 * size, markersize=6 + 1.6 * size)  # fmt: skip
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        figure.legend(loc="outside lower left", fontsize=9)
        return _svg(figure, name, f"{_words(title)} of {', '.join(lines)}")


def _together(lines: Lines) -> Iterator[tuple[str, list[float | None]]]:
    """Lines that are the same in all runs as one, with the names of all their cases."""
    groups: dict[tuple[float | None, ...], list[str]] = {}
    for case, values in lines.items():
        groups.setdefault(tuple(values), []).append(case)
    for same, cases in groups.items():
        more = len(cases) - MOST_NAMES
        name = ", ".join(cases[:MOST_NAMES]) + f" and {more} more" * (more > 0)
        yield "\n".join(wrap(name, LEGEND, break_on_hyphens=False)), list(same)


def _axes(label: str, axis: _Axis, rows: int = 0) -> tuple[Figure, Axes]:
    figure, axes = _canvas(2.4 + 0.2 * rows)
    axes.set_xlabel("run, and its commit" if any(axis.commits) else "run")
    axes.set_ylabel(label)
    axes.set_xlim(axis.runs[0] - 0.6, axis.runs[-1] + 0.6)
    axes.set_xticks(*axis.ticks())
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    return figure, axes
