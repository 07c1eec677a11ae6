"""A score: accuracy and perplexity of classes, errors of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from csb_format.extras import needs

from ..data.targets import NumberArray

__all__ = ["Score", "errors", "in_words"]


@dataclass(frozen=True)
class Score:
    """What a model is worth on some data.

    Parameters
    ----------
    figures : mapping of str to float
        ``accuracy`` (0..1), and of classes of frames ``perplexity`` (1 and more); or of numbers
        ``mse``, ``mae`` and ``r2`` (up to 1), which is None where there is one number or none.
    """

    figures: Mapping[str, float | None]

    @property
    def accuracy(self) -> float | None:
        """Share of right classes; None of numbers."""
        return self.figures.get("accuracy")

    @property
    def worth(self) -> float:
        """More is better: the accuracy, or the negative mean squared error."""
        found = self.accuracy
        if found is None:
            found = -float(self.figures["mse"] or 0.0)
        return found

    def __gt__(self, other: Score) -> bool:
        return self.worth > other.worth

    def __ge__(self, other: Score) -> bool:
        return self.worth >= other.worth

    def __str__(self) -> str:
        return in_words(self.figures)


def in_words(figures: Mapping[str, float | None], digits: int = 2) -> str:
    """Figures of a :class:`Score` as text.

    Parameters
    ----------
    figures : mapping of str to float
    digits : int
        Behind the point of a percentage.
    """
    if (accuracy := figures.get("accuracy")) is not None:
        perplexity = figures.get("perplexity")
        also = "" if perplexity is None else f" (perplexity {perplexity:.4g})"
        return f"{accuracy:.{digits}%}{also}"
    names = {"mse": "MSE", "mae": "MAE", "r2": "R2"}
    known = ((name, figures.get(key)) for key, name in names.items())
    return ", ".join(f"{name} {value:.4g}" for name, value in known if value is not None)


def errors(targets: NumberArray, given: NumberArray) -> dict[str, float | None]:
    """MSE, MAE and R2 of numbers, by scikit-learn; of several outputs the mean of each one's.

    Parameters
    ----------
    targets, given : float64 array (N, Y)
        N at least 1.
    """
    with needs("score"):
        from sklearn import metrics  # here, as it takes a while and classes need none of it

    found: dict[str, Any] = {
        "mse": metrics.mean_squared_error(targets, given),
        "mae": metrics.mean_absolute_error(targets, given),
        "r2": metrics.r2_score(targets, given) if len(targets) > 1 else None,
    }
    return {name: None if value is None else _finite(value) for name, value in found.items()}


def _finite(value: float | np.floating[Any]) -> float:
    """A square beyond float64 is shown as the largest number; JSON has no infinity."""
    found = float(value)
    return found if math.isfinite(found) else math.copysign(np.finfo(np.float64).max, found)
