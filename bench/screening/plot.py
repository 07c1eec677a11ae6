"""Bits a weight that a token reads, as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")  # before pyplot chooses a window system

from matplotlib import pyplot

from csb_format.files.replace import replace_file

__all__ = ["plot"]


def plot(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write an SVG: a bar for the mean of each network and k, a whisker to p99.

    Parameters
    ----------
    path : Path
    rows : sequence of dict
        As in the results.
    """
    # Without these, every run would write other bytes.
    matplotlib.rcParams["svg.hashsalt"] = "sparseflow"
    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    kept = sorted({row["k"] for row in rows})
    for n, k in enumerate(kept):
        of = [row["bits_per_weight"] for row in rows if row["k"] == k]
        places = [at + 0.4 * (n - (len(kept) - 1) / 2) for at in range(len(of))]
        means = [row["mean"] for row in of]
        whiskers = [[0.0] * len(of), [row["p99"] - row["mean"] for row in of]]
        axes.bar(places, means, 0.38, yerr=whiskers, capsize=3, label=f"top {k}, whisker to p99")
    names = [f"{r['vocabulary']:,} x {r['inputs']}" for r in rows if r["k"] == kept[0]]
    axes.set_xticks(range(len(names)), names)
    axes.axhline(16, color="black", linewidth=0.8, linestyle=":", label="all 16 bits")
    axes.set_ylabel("bits a weight, everything counted")
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    replace_file(path, buffer.getvalue())
