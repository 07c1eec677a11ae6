"""What a set of trainings is worth: the volume of loss, time and cells that their arrays reach."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

__all__ = ["Volume"]

Floats = npt.NDArray[np.float64]
LEAST = 1e-9  # of a standard deviation: a division by it


class Volume:
    """Hypervolume over (loss, log2 of microseconds, share of the device), and expected gains of it.

    The last two are known before any training (:mod:`sparseflow.tune.hardware`): of each choice, a
    front of arrays. So only the loss is uncertain, and the expected improvement has a closed form:
    between two losses that were reached, what a choice would add grows linearly as its loss falls.

    Parameters
    ----------
    fronts : sequence of sequences of (float, float)
        Of every choice, microseconds and shares of its arrays; empty if none fits.
    limit : float
        Loss from which on nothing counts.
    """

    def __init__(self, fronts: Sequence[Sequence[tuple[float, float]]], limit: float) -> None:
        self.limit = limit
        times = sorted({us for front in fronts for us, _ in front})
        logs = np.log2(np.array(times, np.float64))
        self._widths = np.diff(logs, append=logs[-1:] + 1.0)
        self._shares = np.ones((len(fronts), len(times)))
        for row, front in zip(self._shares, fronts, strict=True):
            for us, share in front:
                row[np.searchsorted(times, us)] = min(share, row[np.searchsorted(times, us)])
        np.minimum.accumulate(self._shares, axis=1, out=self._shares)

    def of(self, places: Sequence[int], losses: Sequence[float]) -> float:
        """Of choices, by their places, with the losses that they came to."""
        levels, shares = self._levels(places, losses)
        heights = np.diff(levels, append=self.limit)
        return float(heights @ ((1 - shares) @ self._widths))

    def gains(
        self, places: Sequence[int], losses: Sequence[float], mean: Floats, deviation: Floats
    ) -> Floats:
        """What each choice is expected to add to those that are known.

        Parameters
        ----------
        places, losses : sequence
            Of those that are known.
        mean, deviation : float array (choices,)
            Of the loss of every choice, normally distributed.

        Returns
        -------
        float array (choices,)
        """
        levels, shares = self._levels(places, losses)
        shares = np.vstack([np.ones((1, self._shares.shape[1])), shares])
        ends = np.append(levels, self.limit)
        deviation = np.maximum(deviation, LEAST)
        z = (ends[None] - mean[:, None]) / deviation[:, None]
        below = deviation[:, None] * (z * norm.cdf(z) + norm.pdf(z))  # E[(end - loss)+]
        lengths = np.diff(below, axis=1, prepend=0.0)
        found = np.zeros(len(self._shares))
        for n, known in enumerate(shares):
            more = np.maximum(known[None] - self._shares, 0) @ self._widths
            found += more * lengths[:, n]
        return found

    def _levels(self, places: Sequence[int], losses: Sequence[float]) -> tuple[Floats, Floats]:
        """Losses at which the front grows, rising, and the shares that are reached from each on."""
        order = sorted((loss, place) for place, loss in zip(places, losses, strict=True))
        levels: list[float] = []
        shares: list[Floats] = []
        last = np.ones(self._shares.shape[1])
        for loss, place in order:
            new = np.minimum(last, self._shares[place])
            if loss < self.limit and (new < last).any():
                levels.append(loss)
                shares.append(new)
                last = new
        return np.array(levels), np.array(shares).reshape(len(levels), len(last))
