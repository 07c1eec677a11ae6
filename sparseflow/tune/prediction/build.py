"""What ``predict build`` and ``predict check`` do: count designs where a table is bad; judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from boards.board import Board
from boards.cells.learned import TARGETS, Learned
from boards.cells.structure import estimate
from sim.jobs.engines import Engine
from sim.jobs.store import Store

from .draw import JUDGED, Drawn, about, draw
from .fit import LEAST, left_out, ratios
from .samples import FRESH, NEAR, PRIOR, Known, Sample, counted

__all__ = ["BOUND", "Plan", "errors", "fresh", "gathered", "worst_first"]

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
