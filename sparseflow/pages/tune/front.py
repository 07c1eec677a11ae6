"""The front of a search as one page: every array as a dot, those that are kept with commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from ..plots import INK, LINE, OTHER, OURS, _canvas, _style, _svg
from ..report_page import templates

__all__ = ["page", "plot"]

NAMED = 8  # of the front


def page(found: Mapping[str, Any], command: str = "") -> str:
    """The page; it needs no network.

    Parameters
    ----------
    found : mapping
        What ``sparseflow tune --json`` writes.
    command : str
        That was typed, if one was.
    """
    return templates().get_template("front.html.j2").render(
        found=found, plot=plot(found), command=command
    )  # fmt: skip


def plot(found: Mapping[str, Any]) -> str:
    """Microseconds against the share of the device that is taken; an ``<svg>`` element.

    Parameters
    ----------
    found : mapping
        With ``points``, ``front`` and ``usual``.
    """
    front, usual = found["front"], found["usual"]
    with _style("front"):
        figure, axes = _canvas(4.0, 7.2)
        x, y = zip(*found["points"], strict=True)
        axes.plot(x, y, linestyle="", marker="o", markersize=4, color=OTHER, alpha=0.6,
                  label="arrays that fit")  # fmt: skip
        best = [(row["microseconds"], row["share"]) for row in front]
        axes.step(*zip(*best, strict=True), where="post", color=OURS, linewidth=1.6, marker="o",
                  markersize=7, label="front")  # fmt: skip
        axes.plot([usual["microseconds"]], [usual["share"]], linestyle="", marker="o", color=INK,
                  markersize=13, fillstyle="none", label="what fit names")  # fmt: skip
        for row in front[:NAMED]:
            axes.annotate(f"{row['pes']} x {row['lanes']}", (row["microseconds"], row["share"]),
                          (7, 5), textcoords="offset points", color=INK, fontsize=9)  # fmt: skip
        _axes(axes, max(y))
        figure.legend(loc="outside lower left", ncols=3, fontsize=10)
        told = ", ".join(f"{r['pes']} x {r['lanes']}: {r['microseconds']:.2f} us" for r in front)
        return _svg(figure, "front", f"Microseconds and share of the device. {told}")


def _axes(axes: Any, most: float) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.set_ylim(0, max(1.0, most) * 1.05)
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_xlabel("microseconds of a step")
    axes.set_ylabel("taken of what it has least of")
