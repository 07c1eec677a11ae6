"""Patterns side by side: equal sparsity reached, equal training."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import nn

from ..mask.goals import Goal, UnreachableError
from ..mask.layers import find, matrices
from ..mask.pruner import Pruner
from ..mask.schedule import Schedule
from ..mask.scores import SCORE
from ..mask.views import Rows, View

__all__ = ["Comparison", "compare"]

Train = Callable[[Any, Pruner[Any]], None]
Evaluate = Callable[[Any], float]


@dataclass(frozen=True)
class Comparison:
    """What every pattern reached.

    Parameters
    ----------
    rows : tuple of dict
        ``pattern``, ``view``, ``sparsity`` (counted in the masks), ``weights`` (kept),
        ``steps`` (the pruner's), ``seconds`` (of training), ``result`` (of ``evaluate``).
    """

    rows: tuple[dict[str, Any], ...]

    def table(self, result: str = "result") -> Table:
        """For the terminal; ``result`` is the heading of what ``evaluate`` returned."""
        table = Table("pattern", "sparsity", "weights", "steps", "seconds", result)
        for row in self.rows:
            table.add_row(
                row["pattern"],
                f"{row['sparsity']:.2%}",
                f"{row['weights']:,}",
                str(row["steps"]),
                f"{row['seconds']:.1f}",
                f"{row['result']:.4g}",
            )
        return table


def compare(
    module: nn.Module,
    views: Mapping[str, View],
    sparsity: float,
    train: Train,
    evaluate: Evaluate,
    names: Sequence[str] | None = None,
    schedule: Schedule | None = None,
    score: str = SCORE,
    tolerance: float = 0.01,
    seed: int = 0,
) -> Comparison:
    """Prune and train copies of one module with several patterns, and a dense copy.

    The first pattern comes as near to the sparsity as whole numbers allow, in every
    matrix; the others are held to what it reached.

    Parameters
    ----------
    module : nn.Module
        Where all start; left as it is.
    views : mapping of str to View
        By the name of the row; at least one.
    sparsity : float
        Of every matrix, 0..1.
    train : callable
        (module, pruner): your loop, with an optimizer of its own. It must call
        ``pruner.step()`` equally often for all and reach the end of the schedule.
    evaluate : callable
        Plain module to a number.
    names : sequence of str, optional
        Matrices to prune; by default all.
    schedule, score
        As for :class:`~pruning.mask.pruner.Pruner`.
    tolerance : float
        Largest difference between the sparsity of the first pattern and another's.
    seed : int
        Of torch's generator at the start of every training.

    Returns
    -------
    Comparison
        The dense copy first; then the patterns in their order.

    Raises
    ------
    UnreachableError
        If a pattern cannot reach the sparsity; before anything is trained, where that can
        be known.
    ValueError
        If the trainings were not equally long, or too short for the schedule.
    """
    if not views:
        raise ValueError("views: name at least one pattern to compare")
    chosen = list(matrices(module) if names is None else names)
    dense = {name: Goal(Rows(), 0.0) for name in chosen}
    goals = {"dense": dense} | _equal_goals(module, views, chosen, sparsity, tolerance)
    rows = []
    for pattern, goal in goals.items():
        pruner = Pruner(copy.deepcopy(module), goal, schedule, score)
        rows.append(_row(pattern, pruner, train, evaluate, seed))
        _check_row(rows, tolerance)
    return Comparison(tuple(rows))


def _equal_goals(
    module: nn.Module,
    views: Mapping[str, View],
    names: Sequence[str],
    sparsity: float,
    tolerance: float,
) -> dict[str, dict[str, Goal]]:
    if "dense" in views:
        raise ValueError("views: 'dense' is the name of the dense row, choose another")
    first = next(iter(views.values()))
    reached = {}
    for name in names:
        shape = find(module, name).shape
        reached[name] = first.layout(*shape).sparsity(Goal(first, sparsity).whole(*shape))
    goals = {
        pattern: {name: Goal(view, reached[name], tolerance=1.0) for name in names}
        for pattern, view in views.items()
    }
    for pattern, wished in goals.items():
        _check_reach(pattern, module, wished, tolerance)
    return goals


def _check_reach(
    pattern: str, module: nn.Module, goals: Mapping[str, Goal], tolerance: float
) -> None:
    for name, goal in goals.items():
        shape = find(module, name).shape
        try:
            Goal(goal.view, goal.sparsity, tolerance=tolerance).whole(*shape)
        except UnreachableError as error:
            raise UnreachableError(f"{pattern}, {name}: {error}") from error


def _row(
    pattern: str, pruner: Pruner[Any], train: Train, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        start = time.perf_counter()
        train(pruner.module, pruner)
        seconds = time.perf_counter() - start
    if pruner.keep != pruner.targets:
        raise ValueError(
            f"{pattern}: after {pruner.position} steps the schedule {pruner.schedule} is not "
            "at its end: train longer, or let it end earlier"
        )
    return {
        "pattern": pattern,
        "view": str(next(iter(pruner.goals.values())).view) if pattern != "dense" else "",
        "sparsity": pruner.sparsity(),
        "weights": sum(int(pruner.mask(name).sum()) for name in pruner.matrices),
        "steps": pruner.position,
        "seconds": seconds,
        "result": float(evaluate(pruner.squash())),
    }


def _check_row(rows: list[dict[str, Any]], tolerance: float) -> None:
    last, dense = rows[-1], rows[0]
    if last["steps"] != dense["steps"] or not last["steps"]:
        raise ValueError(
            f"{last['pattern']} was trained for {last['steps']} steps, dense for "
            f"{dense['steps']}: call pruner.step() equally often, at least once"
        )
    # Blocks that are cut at an edge weigh less: only the masks know the sparsity.
    if len(rows) > 2 and abs(last["sparsity"] - rows[1]["sparsity"]) > tolerance:
        raise UnreachableError(
            f"{last['pattern']} has {last['sparsity']:.2%}, {rows[1]['pattern']} "
            f"{rows[1]['sparsity']:.2%}: choose a view that fits the matrices, or raise tolerance"
        )
