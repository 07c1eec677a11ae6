"""The cycle model of a plan, whatever its design, and cycles of a step."""

from __future__ import annotations

import numpy as np

from ..array.design import MOST_BACK
from ..array.screen.latency import screened_cycles
from ..lower.plan import Plan
from .batch_cycles import BatchModel
from .frame_cycles import CycleModel, Issue, Schedule

__all__ = ["CycleModel", "Issue", "Schedule", "cycle_model", "step_cycles"]

_STEADY = 6  # frames after which steps repeat
_TURNS = 8  # of all streams after that
_MANY = 48  # of these where they differ, as the longest that was seen to repeat are 14


def cycle_model(plan: Plan, part: int = 0) -> CycleModel:
    """The model of a plan's design; parameters are those of :class:`CycleModel`."""
    return BatchModel(plan, part) if plan.design.batched else CycleModel(plan, part)


def step_cycles(plan: Plan, contexts: int = 1) -> float:
    """Cycles from frame to frame once they follow each other, of all programs of a plan.

    Steps may alternate, as buffers do: it is the mean of those that repeat, whole where it is
    whole. Behind a screen unit no fewer than
    :func:`~compiler.array.screen.latency.screened_cycles`, an estimate.

    Parameters
    ----------
    plan : Plan
    contexts : int
        Streams that take turns, a frame of each.
    """
    models = [cycle_model(plan, part) for part in range(len(plan.parts))]
    if not plan.design.batched:
        contexts = min(contexts, MOST_BACK + 1)  # more change nothing
    mean = sum(_steady(model, contexts) for model in models) / contexts
    if plan.design.screen:  # whose cycles depend on data
        mean = max(mean, float(screened_cycles(plan.design.screen)))
    return int(mean) if mean.is_integer() else mean


def _steady(model: CycleModel, contexts: int) -> float:
    """Mean cycles of a turn of all streams."""
    turns = _turns(model, _TURNS, contexts)
    if len(set(turns)) > 1:  # as many as frames that overtake one another need to repeat
        turns = _turns(model, _MANY, contexts)
        settled = turns[_MANY // 4 :]
        periods = range(1, len(settled) // 2 + 1)
        repeats = (n for n in periods if settled[n:] == settled[:-n])
        turns = settled[-next(repeats, len(settled)) :]
    return sum(turns) / len(turns)


def _turns(model: CycleModel, count: int, contexts: int) -> list[int]:
    """Cycles of so many turns, once they follow each other."""
    order = np.arange((_STEADY + count) * contexts)
    first, streams = (order < contexts).tolist(), (order % contexts).tolist()
    # the last turn lacks the next as filler
    done = model.run(len(order), first, streams).frame_done[:-contexts]
    found: list[int] = np.diff(done[::-1][::contexts]).tolist()
    return [-cycles for cycles in reversed(found[:count])]
