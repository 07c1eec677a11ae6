"""The mask doctor's pictures, as SVG text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter

from .plots import INK, LINE, MINUS, MUTED, OTHER, OURS, _style, _svg, draw_lines, together

__all__ = ["Curves", "busy", "energy", "loads", "picture", "standalone"]

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
_MOST_ROWS, MOST_LINES = 64, 6


def busy(matrices: Mapping[str, Curves], suggested: Mapping[str, int], pes: int) -> str:
    """Utilisation of an array by its lanes, a line a matrix.

    Parameters
    ----------
    matrices : mapping of str to Curves
        By name. Those whose lines are the same, to a per cent, are one line.
    suggested : mapping of str to int
        One of the lanes of each, ringed.
    pes : int
        M.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    name, label = "busy", f"Share of cycles in which the multipliers of {pes} PEs are busy"
    return _of_all(name, label, {n: (c, c["all"]) for n, c in matrices.items()}, suggested)


def energy(matrices: Mapping[str, Curves], suggested: Mapping[str, int]) -> str:
    """L2 energy kept by rebalancing; parameters as in :func:`busy`.

    Lanes at which notably more weights would be kept have no point.
    """
    name, label = "energy", "L2 energy kept by rebalancing"
    return _of_all(name, label, {n: (c, c["energy"]) for n, c in matrices.items()}, suggested)


def _of_all(
    name: str,
    label: str,
    curves: Mapping[str, tuple[Curves, list[float]]],
    suggested: Mapping[str, int],
) -> str:
    every = sorted({lanes for each, _ in curves.values() for lanes in each["lanes"]})
    lines = {n: _over(every, each, values) for n, (each, values) in curves.items()}
    chosen = list(together(lines, letters=44))[:MOST_LINES]
    with _style(name):
        figure = _figure(4.8, 2.9 + 0.2 * sum(1 + text.count("\n") for text, _ in chosen))
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw_lines(axes, range(len(every)), chosen)
        for n, line in lines.items():
            at = every.index(suggested[n])
            if (value := line[at]) is not None:
                axes.plot([at], [value], marker="o", markersize=17, fillstyle="none", color=INK)
        top = max([1.0, *(value for line in lines.values() for value in line if value)])
        axes.set_ylim(0, 1.09 * top)  # rings at the top are whole
        axes.set_xlim(-0.4, len(every) - 0.6)
        axes.set_xticks(range(len(every)), [f"{lanes:.0f}" for lanes in every])
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        axes.set_xlabel("banks = lanes (ringed: suggested)")
        figure.legend(loc="outside lower left", fontsize=10)
        return _svg(figure, name, f"{label}. {_told(every, lines)}")


def _over(every: Sequence[float], curves: Curves, values: Sequence[float]) -> list[float | None]:
    """A value for each of all lanes, to a per cent; None where there is none."""
    known = dict(zip(curves["lanes"], values, strict=True))
    given = (known.get(lanes) for lanes in every)
    return [None if value is None or isnan(value) else round(value, 2) for value in given]


def _told(every: Sequence[float], lines: Mapping[str, Sequence[float | None]]) -> str:
    """The picture in words."""
    parts = (
        f"{name}: "
        + ", ".join(
            f"{value:.0%} at {lanes:.0f} banks"
            for lanes, value in zip(every, line, strict=True)
            if value is not None
        )
        for name, line in lines.items()
    )
    return "; ".join(parts)


def loads(name: str, counts: npt.NDArray[np.int64]) -> str:
    """The nonzeros in every bank of a matrix, row by row; parameters as in :func:`picture`."""
    key = _key("loads", name)
    with _style(key):
        figure = _figure(4.8, 3.6)
        _draw_loads(figure, figure.add_subplot(), counts)
        most, least = int(counts.max(initial=0)), int(counts.min(initial=0))
        said = f"Nonzeros in each bank of each row of {name}: {least} to {most}"
        return _svg(figure, key, said)


def picture(
    name: str,
    curves: Curves,
    pes: int,
    suggested: int,
    counts: npt.NDArray[np.int64],
) -> str:
    """Utilisation and energy of a matrix over banks, and the nonzeros in every bank, row by row.

    Parameters
    ----------
    name : str
        Of the matrix; identifiers in the SVG are made of it.
    curves : Curves
    pes : int
        M, for the legend.
    suggested : int
        One of the lanes, ringed.
    counts : int64 array (rows, banks)
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
        left.set_title(name, loc="left", color=INK, fontsize=11)
        _draw_loads(figure, right, counts)
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
    line: dict[str, Any] = {"marker": "o", "clip_on": False}
    # where two lines meet, the wider one shows on both sides of the other
    drawn = [("energy", OURS, "L2 energy kept", 2.0), ("one", MINUS, "busy, 1 PE", 5.0)]
    for key, colour, label, width in [*drawn, ("all", OTHER, f"busy, {pes} PEs", 2.0)]:
        size = 5 + width
        axes.plot(
            x, curves[key], color=colour, label=label, linewidth=width, markersize=size, **line
        )
        axes.plot([at], [curves[key][at]], marker="o", markersize=17, fillstyle="none", color=INK,
                  clip_on=False)  # fmt: skip
    axes.set_ylim(0, 1.09 * max([1.0, *(v for v in curves["energy"] if not isnan(v))]))
    axes.set_xlim(-0.4, len(x) - 0.6)
    axes.set_xticks(x, [f"{lanes:.0f}" for lanes in curves["lanes"]])
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    missing = any(map(isnan, curves["energy"]))
    axes.set_xlabel(
        "banks = lanes (ringed: suggested)"
        + ("\nno energy: needs over 5 % more weights" if missing else "")
    )
    axes.figure.legend(
        handles=axes.get_legend_handles_labels()[0], loc="outside lower left", ncols=3, fontsize=10,
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
    axes.set_title("nonzeros per bank: a row waits for its fullest", loc="left", fontsize=10)
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
