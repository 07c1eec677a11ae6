"""A study as one page: a plot of every knob, with its steps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from matplotlib.ticker import MaxNLocator

from ..plots import INK, LINE, MUTED, OURS, _canvas, _style, _svg, number
from ..report_page import templates

__all__ = ["page", "plot"]

TITLES = {
    "hidden": "units of a layer",
    "inputs": "inputs",
    "k": "weights kept in a bank of a recurrent matrix",
    "banks": "banks, as many weights",
    "value_bits": "bits of a weight",
    "act_bits": "bits of an activation",
    "pes": "PEs (M)",
    "lanes": "multipliers of a PE (N)",
    "layers": "layers",
    "projection": "projected state; 0: none",
    "bank_width": "columns in a bank of weight_ih, as many weights",
}
LARGEST = 3  # steps that are marked


def page(found: Mapping[str, Any], command: str = "") -> str:
    """The page; it needs no network.

    Parameters
    ----------
    found : mapping
        What ``sparseflow study --json`` writes.
    command : str
        That was typed, if one was.
    """
    sweeps = [
        {
            "title": TITLES[one["knob"]],
            "plot": plot(one),
            "steps": _largest(one),
            "knob": one["knob"],
        }
        for one in found["sweeps"]
    ]
    facts = [(name, str(value)) for name, value in found["network"].items()]
    exact = found["target"] != "cpu"
    return templates().get_template("study.html.j2").render(
        found=found, sweeps=sweeps, facts=facts, command=command, exact=exact, number=number
    )  # fmt: skip


def plot(one: Mapping[str, Any]) -> str:
    """Cycles, or microseconds, against the values of a knob; an ``<svg>`` element.

    Parameters
    ----------
    one : mapping
        Of ``sweeps``.
    """
    name = f"study-{one['knob']}"
    measured = bool(one["points"]) and "microseconds" in one["points"][0]
    what = "microseconds" if measured else "cycles"
    x = [point["value"] for point in one["points"]]
    y = [point[what] for point in one["points"]]
    with _style(name):
        figure, axes = _canvas(2.7)
        _draw(axes, x, y, measured)
        own = dict(zip(x, y, strict=True)).get(one["at"])
        if own is not None:
            axes.plot([one["at"]], [own], marker="o", markersize=11, fillstyle="none", color=INK)
        for step in _largest(one):
            place = (step["to"], step["after"])
            axes.annotate(str(step["to"]), place, (0, 6), textcoords="offset points",
                          ha="center", color=MUTED, fontsize=9)  # fmt: skip
        axes.set_ylim(0, 1.15 * max(y, default=1))
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        axes.set_xlabel(TITLES[one["knob"]])
        axes.set_ylabel(what)
        return _svg(figure, name, f"{what} by {TITLES[one['knob']]}: {_told(one)}")


def _draw(axes: Any, x: list[int], y: list[float], measured: bool) -> None:
    """Dots, joined where values follow each other; stairs where they are exact."""
    axes.plot(x, y, linestyle="", marker="o", markersize=3, color=OURS)
    least = min((b - a for a, b in pairwise(x)), default=1)
    for n, (a, b) in enumerate(pairwise(x)):
        if b - a > least and measured:
            continue  # widths far apart
        xs = [a, b] if measured else [a, b, b]
        ys = [y[n], y[n + 1]] if measured else [y[n], y[n], y[n + 1]]
        axes.plot(xs, ys, color=OURS, linewidth=1.4)


def _largest(one: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    jumps = sorted(one["steps"], key=lambda step: -abs(step["after"] / step["before"] - 1))
    return sorted(jumps[:LARGEST], key=lambda step: step["from"])


def _told(one: Mapping[str, Any]) -> str:
    steps = _largest(one)
    told = (f"{s['before']:g} at {s['from']}, {s['after']:g} at {s['to']}" for s in steps)
    return "; ".join(told) if steps else "no steps"
