"""Distributions of clocks and of times of builds, learned from places and routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, log, sqrt
from typing import Any

import numpy as np

from boards.board import board
from boards.cells.clocks import TAIL, features, kind_of

from .fit import WORTH, Floats, ridge, strength

__all__ = ["clocks_of", "times_of"]

ENOUGH = 16  # designs whose features are known, to learn from them


@dataclass(frozen=True)
class _Design:
    """What all runs of a design came to.

    Parameters
    ----------
    kind : str
    middle : float
        Logarithm, mean of the runs.
    known : mapping of str to float
        Its features.
    """

    kind: str
    middle: float
    known: Mapping[str, float]


def clocks_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Distributions of what was reached, by kind of device.

    Parameters
    ----------
    rows : iterable of mapping
        ``board`` and ``fmax_mhz`` of every place and route that ended well; those of one design
        (``design``, any text) count as one, at their middle. With ``about``, what
        :func:`boards.cells.clocks.features` takes, medians move with it where designs that are
        left out are then clearly less off.

    Returns
    -------
    dict
        Arguments of a :class:`boards.cells.clocks.Clocks` each.
    """
    found = list(rows)
    plain = _spreads(
        ((kind_of(board(row["board"])), row["design"], row["fmax_mhz"]) for row in found), places=2
    )
    return _moved(plain, _designs(found))


def times_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Distributions of the seconds that a look-up table took to build, by family.

    Parameters
    ----------
    rows : iterable of mapping
        ``board``, ``design``, ``lut`` and ``cpu_seconds`` of builds that ended well; rows without
        the latter two do not count.
    """
    found = (
        (board(row["board"]).family.name, row["design"], row["cpu_seconds"] / row["lut"])
        for row in rows
        if row.get("cpu_seconds") and row.get("lut")
    )
    return _spreads(found, places=6)


def _designs(rows: Sequence[Mapping[str, Any]]) -> list[_Design]:
    """Of those whose features are known."""
    every: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("about"):
            every.setdefault((kind_of(board(row["board"])), row["design"]), []).append(row)
    return [
        _Design(
            kind, float(np.mean([log(row["fmax_mhz"]) for row in mine])),
            features(**mine[0]["about"], device=board(mine[0]["board"]).has.luts),
        )
        for (kind, _), mine in every.items()
    ]  # fmt: skip


def _moved(
    plain: dict[str, dict[str, Any]], designs: Sequence[_Design]
) -> dict[str, dict[str, Any]]:
    """Distributions with weights, where these pay; else as they were."""
    some = [one for one in designs if sum(o.kind == one.kind for o in designs) > 1]
    if len(some) < ENOUGH:
        return plain
    names = list(some[0].known)
    table = np.array([[one.known[name] for name in names] for one in some])
    wanted = np.array([one.middle for one in some])
    kinds = np.array([one.kind for one in some])
    penalty = strength(_centred(table, kinds), _centred(wanted, kinds))
    off = np.array([_left(table, wanted, kinds, n, penalty) for n in range(len(some))])
    alone = np.array([_left(table[:, :0], wanted, kinds, n, penalty) for n in range(len(some))])
    if not np.abs(off).mean() < WORTH * np.abs(alone).mean():
        return plain
    weights = ridge(_centred(table, kinds), _centred(wanted, kinds), penalty)
    return {
        kind: one if kind not in kinds else {
            "median": round(exp(float(wanted[kinds == kind].mean())), 2),
            "deviation": round(_quantile(np.abs(off)), 4),
            "designs": int((kinds == kind).sum()),
            "weights": {n: round(float(w), 4) for n, w in zip(names, weights, strict=True)},
            "centre": {n: round(float(mean), 3)
                       for n, mean in zip(names, table[kinds == kind].mean(axis=0), strict=True)},
        }
        for kind, one in plain.items()
    }  # fmt: skip


def _centred(values: Floats, kinds: Any) -> Floats:
    """Less the mean of its kind."""
    found: Floats = values.astype(np.float64)
    for kind in set(kinds):
        found[kinds == kind] -= found[kinds == kind].mean(axis=0)
    return found


def _left(table: Floats, wanted: Floats, kinds: Any, n: int, penalty: float) -> float:
    """How far a design is from what all others say of it."""
    rest = np.arange(len(wanted)) != n
    mine = rest & (kinds == kinds[n])
    told = float(wanted[mine].mean())
    if table.shape[1]:
        weights = ridge(_centred(table[rest], kinds[rest]), _centred(wanted[rest], kinds[rest]),
                        penalty)  # fmt: skip
        told += float((table[n] - table[mine].mean(axis=0)) @ weights)
    return float(wanted[n]) - told


def _spreads(values: Iterable[tuple[str, str, float]], places: int) -> dict[str, dict[str, Any]]:
    """Median and deviation of every kind, of (kind, design, value)."""
    kinds: dict[str, dict[str, list[float]]] = {}
    for kind, design, value in values:
        kinds.setdefault(kind, {}).setdefault(design, []).append(log(value))
    middles = {kind: [float(np.mean(one)) for one in some.values()] for kind, some in kinds.items()}
    spread, free = _pooled(middles.values())
    each = max(spread * _wider(free), _conformal(middles.values())) if free else 0.0
    return {
        kind: {
            "median": round(exp(float(np.mean(some))), places),
            "deviation": round(each * sqrt(1 + 1 / len(some)), 4),
            "designs": len(some),
        }
        for kind, some in sorted(middles.items())
        if free
    }


def _pooled(groups: Iterable[Sequence[float]]) -> tuple[float, int]:
    """Deviation about the middles of all kinds, and its degrees of freedom."""
    every = [np.array(some) for some in groups]
    free = sum(len(some) - 1 for some in every)
    squares = sum(float(((some - some.mean()) ** 2).sum()) for some in every)
    return (sqrt(squares / free), free) if free else (0.0, 0)


def _conformal(groups: Iterable[Sequence[float]]) -> float:
    """Deviation whose interval of 80 % holds so many of the designs that are left out in turn.

    Of how far each is from the middle of the others of its kind.
    """
    off = [
        abs(float(y - np.delete(np.array(some), n).mean())) / sqrt(1 + 1 / (len(some) - 1))
        for some in groups
        if len(some) > 1
        for n, y in enumerate(some)
    ]
    return _quantile(np.array(off))


def _quantile(off: Floats) -> float:
    """Deviation of an interval of 80 %: the smallest that a split conformal one allows.

    Lei et al., JASA 2018; the farthest of all where there are too few.
    """
    from scipy.stats import norm

    at = min(len(off), ceil((1 - 2 * TAIL) * (len(off) + 1))) - 1
    return float(np.sort(off)[at] / norm.ppf(1 - TAIL))


def _wider(free: int) -> float:
    """Of an interval of 80 %, as Student's distribution has it, beside the normal one's."""
    from scipy.stats import norm, t

    return float(t.ppf(0.9, free) / norm.ppf(0.9))
