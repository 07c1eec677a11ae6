"""What ``predict build`` and ``predict check`` do: count designs where a table is bad; judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, log, sqrt
from typing import Any

import numpy as np

from boards.board import Board, board
from boards.cells.clocks import TAIL, kind_of
from boards.cells.learned import TARGETS, Learned
from boards.cells.structure import estimate
from sim.jobs.engines import Engine
from sim.jobs.store import Store

from .draw import JUDGED, Drawn, about, draw
from .fit import LEAST, left_out, ratios
from .samples import FRESH, NEAR, PRIOR, Known, Sample, counted

__all__ = ["BOUND", "Plan", "clocks_of", "errors", "fresh", "gathered", "times_of", "worst_first"]

BOUND = 0.05
"""Error of a design that is left out, above which more are drawn about it."""
NEIGHBOURS = 2  # of each of those; nn-Meter, whose samples are timed in seconds, draws 20
BADLY = 6  # designs that neighbours are drawn about, at most, the worst ones
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How many designs are counted.

    Parameters
    ----------
    designs : int
        Drawn from the priors, of every board.
    rounds : int
        Of drawing more where the table is bad.
    seed : int
    most : int
        Multipliers of an array.
    """

    designs: int
    rounds: int
    seed: int
    most: int


def gathered(
    boards: Iterable[Board],
    plan: Plan,
    store: Store,
    engine: Engine,
    tell: Tell,
    known: Sequence[Sample] = (),
) -> list[Sample]:
    """Designs of every board: from the priors, then about those that are predicted badly.

    Those that are ``known`` of the same hardware are not counted again.
    """
    found: list[Sample] = []
    for one in boards:
        drawn = draw(one, plan.designs, plan.seed, plan.most)
        mine = counted([(one, d, PRIOR) for d in drawn], store, engine, tell, known)
        for number in range(plan.rounds if len(mine) >= LEAST else 0):
            near = _near(one, mine, plan, number)
            if not near:
                break
            tell(f"{len(near)} more of {one.name}, about designs that were off by {BOUND:.0%}")
            mine += counted([(one, d, NEAR) for d in near], store, engine, tell, known)
        found += mine
    return found


def _near(one: Board, samples: Sequence[Sample], plan: Plan, number: int) -> list[Drawn]:
    bad = worst_first(samples)[:BADLY]
    seed = plan.seed + 1000 * (number + 1)
    return [d for s in bad for d in about(one, s.drawn, NEIGHBOURS, seed, plan.most)]


def worst_first(samples: Sequence[Sample]) -> list[Sample]:
    """Those that all others predict worse than :data:`BOUND`, in any count."""
    off = np.max(
        [np.abs(left_out(samples, t) / (1 + ratios(samples, t)) - 1) for t in TARGETS], axis=0
    )
    return [samples[n] for n in np.argsort(-off) if off[n] > BOUND]


def fresh(one: Board, plan: Plan, store: Store, engine: Engine, tell: Tell) -> list[Sample]:
    """Designs that no table was learned from."""
    drawn = draw(one, plan.designs, plan.seed, plan.most, JUDGED)
    return counted([(one, d, FRESH) for d in drawn], store, engine, tell)


def errors(samples: Iterable[Known], table: Learned) -> dict[str, dict[str, list[float]]]:
    """Relative errors of every count, as predicted and by the structural count alone.

    Parameters
    ----------
    samples : iterable of Known
    table : Learned

    Returns
    -------
    dict
        ``predicted`` and ``formula``, each by the names of results, where the device has such
        cells and the design takes any.
    """
    found: dict[str, dict[str, list[float]]] = {"predicted": {}, "formula": {}}
    for sample in samples:
        there, design = sample.there, sample.design
        formula = estimate(design, there)
        for how, usage in (("formula", formula), ("predicted", table.likely(design, there))):
            for name, count in usage.counts(there.has).items():
                if real := sample.counted.get(name):
                    found[how].setdefault(name, []).append(count / real - 1)
    return found


def clocks_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Distributions of what was reached, by kind of device.

    Parameters
    ----------
    rows : iterable of mapping
        ``board`` and ``fmax_mhz`` of every place and route that ended well; those of one design
        (``design``, any text) count as one, at their middle.
    """
    found = ((kind_of(board(row["board"])), row["design"], row["fmax_mhz"]) for row in rows)
    return _spreads(found, places=2)


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

    The smallest that a split conformal interval allows (Lei et al., JASA 2018), of how far each is
    from the middle of the others of its kind; the farthest of all where there are too few.
    """
    from scipy.stats import norm

    off = sorted(
        abs(float(y - np.delete(np.array(some), n).mean())) / sqrt(1 + 1 / (len(some) - 1))
        for some in groups
        if len(some) > 1
        for n, y in enumerate(some)
    )
    at = min(len(off), ceil((1 - 2 * TAIL) * (len(off) + 1))) - 1
    return off[at] / float(norm.ppf(1 - TAIL))


def _wider(free: int) -> float:
    """Of an interval of 80 %, as Student's distribution has it, beside the normal one's."""
    from scipy.stats import norm, t

    return float(t.ppf(0.9, free) / norm.ppf(0.9))
