"""The mask doctor's pictures, as SVG text."""

from __future__ import annotations

import re
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter

from .plots import EMPTY, INK, LINE, MINUS, MUTED, OTHER, OURS, _style, _svg

__all__ = ["Curves", "picture", "standalone", "trade"]

# ``lanes``, and by them, as shares: ``one`` (utilisation of one PE), ``all`` (of M PEs) and
# ``energy`` (L2 kept by rebalancing; NaN where that would take notably more weights).
Curves = dict[str, list[float]]

# The page's colours, for a picture that stands in no page.
_ALONE = """<style>
:root { --page: #ffffff; --ink: #1b1f24; --muted: #57606a; --line: #d0d7de; --ours: #2468b0;
  --other: #9aa4af; --minus: #c2541a; --empty: #dde3e9; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --ink: #e6eaee; --muted: #a3adb8;
  --line: #3a434d; --ours: #62a8ee; --other: #6f7a86; --minus: #f0965a; --empty: #2c343d; } }
svg { background: var(--page); }
</style>"""
# A picture element cannot follow the page: these are read on light and dark ground.
_LOADS = LinearSegmentedColormap.from_list("loads", ["#e8eef5", "#2468b0", "#0d2742"])
_MOST_ROWS = 64


def trade(name: str, curves: Curves, pes: int, suggested: int) -> str:
    """Utilisation as the masks are, and energy kept if they are rebalanced, over banks.

    Parameters
    ----------
    name : str
        Of the matrix; identifiers in the SVG are made of it.
    curves : Curves
    pes : int
        M, for the legend.
    suggested : int
        One of the lanes, marked.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    key = _key("trade", name)
    with _style(key):
        figure = _figure(5.4, 3.0)
        _draw_trade(figure.add_subplot(), curves, pes, suggested)
        return _svg(figure, key, _in_words(name, curves))


def picture(
    name: str,
    curves: Curves,
    pes: int,
    suggested: int,
    loads: npt.NDArray[np.int64],
) -> str:
    """The same beside the nonzeros in every bank, row by row.

    Parameters
    ----------
    name, curves, pes, suggested
        As in :func:`trade`.
    loads : int64 array (rows, banks)
        At most 64 rows are shown, evenly spread.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    key = _key("doctor", name)
    with _style(key):
        figure = _figure(9.6, 3.6)
        left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
        _draw_trade(left, curves, pes, suggested)
        left.set_title(name, loc="left", color=INK, fontsize=11, pad=22)
        _draw_loads(figure, right, loads)
        return _svg(figure, key, _in_words(name, curves))


def standalone(svg: str) -> str:
    """An SVG file of its own: colours and background for light and dark."""
    opening, rest = svg.split(">", 1)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', opening)
    size = f' width="{box[1]}pt" height="{box[2]}pt"' if box else ""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{opening}{size}>{_ALONE}{rest}'


def _key(kind: str, name: str) -> str:
    return f"{kind}-{''.join(c if c.isalnum() else '-' for c in name)}"


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    # Browsers set text wider than matplotlib has measured it.
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    return figure


def _draw_trade(axes: Axes, curves: Curves, pes: int, suggested: int) -> None:
    axes.patch.set_alpha(0)
    x = range(len(curves["lanes"]))
    at = curves["lanes"].index(suggested)
    axes.axvspan(at - 0.3, at + 0.3, color=EMPTY, linewidth=0)
    line: dict[str, Any] = {"marker": "o", "linewidth": 2, "clip_on": False}
    axes.plot(x, curves["energy"], color=OURS, label="L2 energy kept", **line)
    axes.plot(x, curves["one"], color=MINUS, label="busy, 1 PE", **line)
    axes.plot(
        x, curves["all"], color=OTHER, linestyle=(0, (4, 2)), label=f"busy, {pes} PEs", **line
    )
    axes.set_ylim(0, max([1.0, *(value for value in curves["energy"] if not isnan(value))]))
    axes.set_xlim(-0.4, len(x) - 0.6)
    axes.set_xticks(x, [f"{lanes:.0f}" for lanes in curves["lanes"]])
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    missing = any(map(isnan, curves["energy"]))
    axes.set_xlabel(
        "banks = lanes (shaded: suggested)"
        + ("\nno energy: needs over 5 % more weights" if missing else "")
    )
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=3, fontsize=8.5, borderaxespad=0.2,
        handlelength=1.6, columnspacing=1, borderpad=0,
    )  # fmt: skip


def _draw_loads(figure: Figure, axes: Axes, loads: npt.NDArray[np.int64]) -> None:
    rows, banks = loads.shape
    shown = np.unique(np.linspace(0, rows - 1, min(rows, _MOST_ROWS)).round().astype(int))
    # From 0, so that equal loads look equal and not like the least and the most of a scale.
    image = axes.imshow(
        loads[shown], aspect="auto", interpolation="nearest", cmap=_LOADS, vmin=0,
        vmax=max(1, int(loads.max())),
    )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ticks = np.linspace(0, len(shown) - 1, min(5, len(shown))).round().astype(int)
    axes.yaxis.set_major_locator(FixedLocator(ticks.tolist()))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(ticks, [str(shown[tick]) for tick in ticks])
    axes.tick_params(length=0)
    axes.set_xlabel(f"bank ({banks})", color=MUTED)
    axes.set_ylabel("row" if len(shown) == rows else f"row ({len(shown)} of {rows:,})", color=MUTED)
    axes.set_title("nonzeros per bank: a row waits for its fullest", loc="left", fontsize=9)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.locator = MaxNLocator(5, integer=True)
    bar.update_ticks()
    bar.outline.set_visible(False)


def _in_words(name: str, curves: Curves) -> str:
    columns = zip(curves["lanes"], curves["one"], curves["energy"], strict=True)
    parts = (
        f"{n:.0f} banks: {u:.0%} busy" + ("" if isnan(e) else f", {e:.0%} kept")
        for n, u, e in columns
    )
    return f"{name}, utilisation and L2 energy kept by rebalancing. {'; '.join(parts)}"
