"""Accuracy against sparsity as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")  # before pyplot chooses a window system

from matplotlib import pyplot
from matplotlib.axes import Axes

from csb_format.files.replace import replace_file

from .patterns import plain_of, slices_of

__all__ = ["Curve", "plot"]

Curve = Sequence[tuple[float, float, float]]  # sparsity, mean, standard deviation
_MARKERS = "os^vD*Pdx+<>"


def plot(
    path: Path,
    title: str,
    label: str,
    curves: Mapping[str, Curve],
    beside: Mapping[str, Curve] | None = None,
) -> None:
    """Write an SVG: a line a pattern, the dense network as level zero.

    Parameters
    ----------
    path : Path
    title, label : str
        Of the picture, and of what is measured.
    curves : mapping of str to sequence of (sparsity, mean, standard deviation)
        Above the dense network, by pattern; empty ones are left out.
    beside : mapping of str to the same, optional
        Above unstructured pruning of each matrix, in a panel of its own.
    """
    # Without these, every run would write other bytes.
    matplotlib.rcParams["svg.hashsalt"] = "sparseflow"
    panels = [("dense", curves), *([("unstructured", beside)] if beside else [])]
    size = (1 + 6 * len(panels), 4.5)
    figure, _ = pyplot.subplots(1, len(panels), figsize=size, layout="constrained")
    for one, (level, lines) in zip(figure.axes, panels, strict=True):
        _panel(one, level, lines, list(curves))
        one.set(xlabel="weights pruned, % (achieved)", ylabel=f"{label}, above {level}")
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, buffer.getvalue())


def _panel(axes: Axes, level: str, curves: Mapping[str, Curve], names: Sequence[str]) -> None:
    """Lines whose colours are those of the same names in all panels."""
    axes.axhline(0, color="black", linewidth=0.8, linestyle=":", label=level)
    table = pyplot.colormaps["tab20"]
    colours = [table(n) for n in range(table.N)]
    own = {name: at for at, name in enumerate(n for n in names if plain_of(n) == n)}
    for name, curve in curves.items():
        if curve:
            x, y, spread = zip(*sorted(curve), strict=True)
            percent = [100 * share for share in x]
            at = own[plain_of(name)]  # what shares its weights looks like what does not, dashed
            style: dict[str, Any] = {"marker": _MARKERS[at % len(_MARKERS)], "color": colours[at]}
            if name not in own:
                style["linestyle"] = ":" if slices_of(name) else "--"
            if any(slices_of(name)):  # of units, beside those of whole gates
                style["marker"] = "x"
            axes.errorbar(percent, y, spread, label=name, markersize=4, capsize=2, **style)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2, handlelength=3)
