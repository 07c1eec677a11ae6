"""What a screen unit did in a run: rows and bits that frames read, its cycles, the margin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from compiler.timing.screen_cycles import Screened
from csb_format.screening.layer import ScreenedLayer

__all__ = ["screen_rows", "screened"]

_ROWS = ("first", "second", "exact")


def screened(layer: ScreenedLayer, found: Sequence[Screened]) -> dict[str, Any]:
    """Figures of a unit over all frames.

    Parameters
    ----------
    layer : ScreenedLayer
    found : sequence of Screened
        Of each frame, at least one.

    Returns
    -------
    dict
        ``k``; ``outputs`` of the head; ``margin``, the share of the proven bound that was used, and
        ``proven``, whether that is all of it: the hardware has no other; ``bits_per_weight`` and
        ``cycles``, each ``mean``, ``p99`` and ``worst``, everything that is read counted; ``rows``,
        means by how far rows went.
    """
    counts = {name: np.array([getattr(one, name) for one in found], np.int64) for name in _ROWS}
    read = layer.bytes_read(*(counts[name] for name in _ROWS))
    return {
        "k": len(found[0].indices),
        "outputs": layer.output_size,
        "margin": 1.0,  # the gateware has no other
        "proven": True,
        "bits_per_weight": _spread(8 * read / layer.weight.size),
        "cycles": _spread(np.array([one.cycles for one in found])),
        "rows": {name: float(count.mean()) for name, count in counts.items()},
    }


def screen_rows(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Lines of a table, none without a unit."""
    if not (found := report.get("screen")):
        return
    bits, cycles, rows = found["bits_per_weight"], found["cycles"], found["rows"]
    proven = "proven" if found["proven"] else f"a guess, margin {found['margin']:g}"
    yield (
        "screen",
        f"the {found['k']} largest of {found['outputs']:,} logits, {proven}; "
        f"{bits['mean']:.2f} bits a weight of the head, p99 {bits['p99']:.2f}",
    )
    yield (
        "screen cycles",
        f"{cycles['mean']:,.0f} in the mean, p99 {cycles['p99']:,.0f}, worst "
        f"{cycles['worst']:,.0f}; of rows {rows['first']:,.0f} digits, {rows['second']:,.0f} "
        f"second planes, {rows['exact']:,.0f} whole",
    )


def _spread(values: npt.NDArray[Any]) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "p99": float(np.quantile(values, 0.99)),
        "worst": float(values.max()),
    }
