"""A search over accuracy as one page: loss and time of all points, those kept with commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from ..plots import INK, LINE, OTHER, OURS, _canvas, _style, _svg
from ..report_page import templates

__all__ = ["page", "plot"]


def page(found: Mapping[str, Any], command: str = "") -> str:
    """The page; it needs no network.

    Parameters
    ----------
    found : mapping
        What ``sparseflow tune --data --json`` writes.
    command : str
        That was typed, if one was.
    """
    return templates().get_template("searched.html.j2").render(
        found=found, plot=plot(found), command=command
    )  # fmt: skip


def plot(found: Mapping[str, Any]) -> str:
    """Loss against the microseconds of a step; an ``<svg>`` element.

    Parameters
    ----------
    found : mapping
        With ``points``, ``front``, ``best``, ``dense`` and ``allowed``.
    """
    with _style("searched"):
        figure, axes = _canvas(4.0, 7.2)
        times, losses, _ = zip(*found["points"], strict=True)
        axes.plot(times, losses, linestyle="", marker="o", markersize=4, color=OTHER, alpha=0.5,
                  label="trained")  # fmt: skip
        stairs = _fastest(found["front"])
        axes.step(*zip(*stairs, strict=True), where="post", color=OURS, linewidth=1.6, marker="o",
                  markersize=6, label="fastest at each loss")  # fmt: skip
        axes.axhline(found["dense"], color=INK, linewidth=1, linestyle=":", label="dense")
        axes.axhline(found["allowed"], color=INK, linewidth=1, linestyle="--", label="allowed")
        if best := found["best"]:
            axes.plot([best["microseconds"]], [best["loss"]], linestyle="", marker="o", color=INK,
                      markersize=13, fillstyle="none", label="best")  # fmt: skip
        _axes(axes, found)
        figure.legend(loc="outside lower left", ncols=5, fontsize=10)
        told = ", ".join(f"{us:.2f} us: {loss:.3g}" for us, loss in stairs)
        return _svg(figure, "searched", f"Loss by microseconds of a step. {told}")


def _fastest(front: list[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """The front without the device: times rise, losses fall."""
    kept: list[tuple[float, float]] = []
    for row in sorted(front, key=lambda row: (row["microseconds"], row["loss"])):
        if not kept or row["loss"] < kept[-1][1]:
            kept.append((row["microseconds"], row["loss"]))
    return kept


def _axes(axes: Any, found: Mapping[str, Any]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    if found["counted"]:
        axes.yaxis.set_major_formatter(PercentFormatter(1, 1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_xlabel("microseconds of a step")
    axes.set_ylabel("wrong" if found["counted"] else "mean squared error")
