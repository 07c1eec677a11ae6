"""Accuracy against sparsity as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")  # before pyplot chooses a window system

from matplotlib import pyplot

from csb_format.files.replace import replace_file

from .patterns import plain_of, slices_of

__all__ = ["Curve", "plot"]

Curve = Sequence[tuple[float, float, float]]  # sparsity, mean, standard deviation
_MARKERS = "os^vD*Pdx+<>"


def plot(path: Path, title: str, label: str, curves: Mapping[str, Curve]) -> None:
    """Write an SVG: a line a pattern, the dense network as level zero.

    Parameters
    ----------
    path : Path
    title, label : str
        Of the picture and its upright axis.
    curves : mapping of str to sequence of (sparsity, mean, standard deviation)
        Above the dense network, by pattern; empty ones are left out.
    """
    # Without these, every run would write other bytes.
    matplotlib.rcParams["svg.hashsalt"] = "sparseflow"
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    axes.axhline(0, color="black", linewidth=0.8, linestyle=":", label="dense")
    table = pyplot.colormaps["tab20"]
    colours = [table(n) for n in range(table.N)]
    own = {name: at for at, name in enumerate(n for n in curves if plain_of(n) == n)}
    for name, curve in curves.items():
        if curve:
            x, y, spread = zip(*sorted(curve), strict=True)
            percent = [100 * share for share in x]
            at = own[plain_of(name)]  # what shares its weights looks like what does not, dashed
            style: dict[str, Any] = {"marker": _MARKERS[at % len(_MARKERS)], "color": colours[at]}
            if name not in own:
                style["linestyle"] = ":" if slices_of(name) else "--"
            axes.errorbar(percent, y, spread, label=name, markersize=4, capsize=2, **style)
    axes.set(title=title, xlabel="weights pruned, % (achieved)", ylabel=label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, buffer.getvalue())
