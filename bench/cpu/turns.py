"""Fair times on a busy machine: contenders take turns, and only their own CPU time counts.

CPU time of the process leaves out what others do on the same cores; with one thread and
nobody else it is the time on the clock. Ratios are those within a round, so that what
slows a round (a cold cache, a lower clock) slows both sides.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["Seconds", "in_turns", "milliseconds", "ratio", "seconds_of"]

Seconds = dict[str, list[float]]
RESAMPLES = 2000


def seconds_of(work: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turns(calls: dict[str, Callable[[], Any]], rounds: int, block: int) -> Seconds:
    """CPU seconds of a call, per round: ``block`` calls, after one that does not count."""
    found: Seconds = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            found[name].append(seconds_of(lambda call=call: _repeat(call, block)) / block)  # type: ignore[misc]
    return found


def _repeat(call: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        call()


def milliseconds(seconds: Sequence[float]) -> float:
    """Median in ms."""
    return 1e3 * statistics.median(seconds)


def ratio(ours: Sequence[float], theirs: Sequence[float], seed: int) -> dict[str, float]:
    """Median of ``ours / theirs`` within rounds, and its 95 % interval (bootstrap)."""
    found = np.array(ours) / np.array(theirs)
    picks = np.random.default_rng(seed).integers(0, len(found), (RESAMPLES, len(found)))
    low, high = np.quantile(np.median(found[picks], axis=1), (0.025, 0.975))
    return {"median": float(np.median(found)), "low": float(low), "high": float(high)}
