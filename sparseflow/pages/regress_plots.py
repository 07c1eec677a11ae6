"""The plots of a regression's page: runs from left to right, with their commits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .plots import BAD, GOOD, LINE, OURS, _canvas, _style, _svg, draw_lines, together

__all__ = ["plots"]

MOST_RUNS, MOST_PLOTS, MOST_LINES = 60, 6, 6
MOST_TICKS = 7  # of an axis
LEAST_BARS = 8  # with fewer runs bars are as narrow as with so many
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
        different = len(list(together(lines)))
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
        axes.bar(axis.runs, green, width=width, color=GOOD)
        axes.bar(axis.runs, red, width=width, bottom=green, color=BAD)
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
    name, chosen = f"figure{number}", list(together(lines))[:MOST_LINES]
    with _style(name):
        figure, axes = _axes(
            _words(title), axis, rows=sum(1 + label.count("\n") for label, _ in chosen)
        )
        draw_lines(axes, axis.runs, chosen)
        every = [v for _, values in chosen for v in values if v is not None]
        whole = all(float(v).is_integer() for v in every)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=whole))
        figure.legend(loc="outside lower left", fontsize=10)
        return _svg(figure, name, f"{_words(title)} of {', '.join(lines)}")


def _axes(label: str, axis: _Axis, rows: int = 0) -> tuple[Figure, Axes]:
    figure, axes = _canvas(2.4 + 0.2 * rows)
    axes.set_xlabel("run, and its commit" if any(axis.commits) else "run")
    axes.set_ylabel(label)
    axes.set_xlim(axis.runs[0] - 0.6, axis.runs[-1] + 0.6)
    axes.set_xticks(*axis.ticks())
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    return figure, axes
