"""Weights of the parts of a structural count, fitted to counted designs by a ridge regression."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from boards.cells.learned import TARGETS, Residual, shares
from boards.cells.structure import counted, estimate
from csb_format.extras import install

from .samples import FRESH, Known, Sample

__all__ = [
    "LEAST",
    "WORTH",
    "Floats",
    "fitted",
    "left_out",
    "ratios",
    "ridge",
    "strength",
    "weights_of",
]

Floats = npt.NDArray[np.float64]
LEAST = 6  # designs to learn anything from
STRENGTHS = tuple(10.0**n for n in range(-6, 1))
"""Of the penalty on weights."""
WORTH = 0.8
"""Of the structural count's mean error: what is learned is kept where it errs less."""
TAIL = 0.1  # of the designs below an interval, and above


def fitted(samples: Iterable[Sample]) -> dict[str, dict[str, Any]]:
    """What is learned of each family, as :func:`boards.cells.learned.parse` reads it.

    Parameters
    ----------
    samples : iterable of Sample
        Those of :data:`~sparseflow.tune.prediction.samples.FRESH` are left out.

    Returns
    -------
    dict
        By family and count; left out is what fewer than ``LEAST`` designs say, or what
        is hardly better than the structural count.
    """
    families: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.how != FRESH:
            families.setdefault(sample.there.family.name, []).append(sample)
    enough = {name: some for name, some in sorted(families.items()) if len(some) >= LEAST}
    plain = {
        name: {target: _plain(some, target) for target in TARGETS if _pays(some, target)}
        for name, some in enough.items()
    }
    return {name: counts for name, counts in plain.items() if counts}


def _pays(samples: Sequence[Known], target: str) -> bool:
    """Whether designs that are left out are predicted clearly better than by the structure."""
    beside = 1 + ratios(samples, target)
    learned, plain = left_out(samples, target) / beside - 1, 1 / beside - 1
    return bool(np.abs(learned).mean() < WORTH * np.abs(plain).mean())


def _plain(samples: Sequence[Known], target: str) -> dict[str, Any]:
    weights, found = weights_of(samples, target), left_out(samples, target)
    beside = 1 + ratios(samples, target)
    low, high = np.quantile(beside / found, [TAIL, 1 - TAIL], method="weibull")
    sizes = [sample.design.multipliers for sample in samples]
    return {
        "weights": {name: float(f"{weight:.4g}") for name, weight in weights.items()},
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "samples": len(samples),
        "multipliers": [min(sizes), max(sizes)],
    }


def weights_of(
    samples: Sequence[Known], target: str, base: Residual | None = None
) -> dict[str, float]:
    """Weight of every part; with a base what this needs more on other designs is added to it."""
    table, names = _table(samples, target)
    wanted = ratios(samples, target) - (_said(samples, target, base) if base else 0)
    found = ridge(table, wanted, strength(table, wanted))
    before = base.weights if base else {}
    every = dict.fromkeys([*names, *before], 0.0) | dict(before)
    return {name: every[name] + (found[names.index(name)] if name in names else 0.0)
            for name in every}  # fmt: skip


def left_out(samples: Sequence[Known], target: str) -> Floats:
    """Predicted counts over structural ones, each design by what all others have taught."""
    table, _ = _table(samples, target)
    wanted = ratios(samples, target)
    return 1 + _left(table, wanted, strength(table, wanted))


def _left(table: Floats, wanted: Floats, penalty: float) -> Floats:
    every = np.arange(len(wanted))
    return np.array([table[n] @ ridge(table[every != n], wanted[every != n], penalty)
                     for n in every])  # fmt: skip


def ratios(samples: Sequence[Known], target: str) -> Floats:
    """Counts over structural ones, less 1."""
    formulas = [
        getattr(estimate(sample.design, sample.there), TARGETS[target]) for sample in samples
    ]
    return np.array([s.counted[target] / f - 1 for s, f in zip(samples, formulas, strict=True)])


def _said(samples: Sequence[Known], target: str, base: Residual) -> Floats:
    every = (shares(s.design, counted(s.design, s.there), target) for s in samples)
    return np.array([base.ratio(one) - 1 for one in every])


def _table(samples: Sequence[Known], target: str) -> tuple[Floats, list[str]]:
    """Shares of every part, those that any design has."""
    rows = [shares(s.design, counted(s.design, s.there), target) for s in samples]
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    return np.array([[row[name] for name in names] for row in rows], np.float64), names


def strength(table: Floats, wanted: Floats) -> float:
    """Of the penalty: the strongest that is as good as any, to a standard error.

    Good is what predicts designs that are left out in turn.
    """
    squares = np.array([(_left(table, wanted, one) - wanted) ** 2 for one in STRENGTHS])
    means = squares.mean(axis=1)
    best = int(means.argmin())
    most = means[best] + squares[best].std() / np.sqrt(len(wanted))
    return max(one for one, mean in zip(STRENGTHS, means, strict=True) if mean <= most)


def ridge(table: Floats, wanted: Floats, penalty: float) -> Floats:
    """Weights of the columns of a table, without a constant."""
    found: Floats = _of_sklearn("Ridge")(penalty, fit_intercept=False).fit(table, wanted).coef_
    return found


def _of_sklearn(name: str) -> Any:
    try:
        from sklearn import linear_model
    except ImportError as error:
        raise ValueError(f"learning needs scikit-learn: {install('scikit-learn')}") from error
    return getattr(linear_model, name)
