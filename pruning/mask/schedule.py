"""How sparsity grows with training steps, and what that is in whole units per group."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Protocol

from csb_format.arguments import whole

from .views import Layout

__all__ = [
    "Cubic",
    "Increments",
    "Linear",
    "OneShot",
    "Regrowth",
    "Schedule",
    "end_of",
    "kept_at",
]


def kept_at(layout: Layout, target: int, share: float, now: int) -> int:
    """Units per group after a share of the way from dense to the target sparsity.

    Parameters
    ----------
    layout : Layout
    target : int
        Units per group at the end.
    share : float
        What :meth:`Schedule.progress` says, 0..1.
    now : int
        Units kept now, which may be ahead of the schedule: the result is not above it.

    Returns
    -------
    int
        The nearest whole number to that share of the sparsity, ``target`` to ``now``.
    """
    if share >= 1.0:
        return target
    if share <= 0.0 or now == target:
        return now
    near = layout.nearest(layout.sparsity(target) * share)
    return min(max(near, target), now)


class Schedule(Protocol):
    """Share of the target sparsity by training step."""

    def progress(self, step: int) -> float:
        """Share 0..1 after ``step`` steps (0: before the first); never falls."""


_LONGEST = 1 << 62


def end_of(schedule: Schedule) -> int | None:
    """First step after which a schedule is at its target; None if there is none."""
    high = 1
    while schedule.progress(high) < 1:
        if high >= _LONGEST:
            return None
        high *= 2
    return bisect_left(range(high), 1.0, key=schedule.progress)


@dataclass(frozen=True)
class OneShot:
    """All at once.

    Parameters
    ----------
    at : int
        After so many steps; 0 prunes when the pruner is made.
    """

    at: int = 0

    def __post_init__(self) -> None:
        _check_begin(self.at)

    def progress(self, step: int) -> float:
        """0 before ``at``, then 1."""
        return float(step >= self.at)


@dataclass(frozen=True)
class Linear:
    """Sparsity grows evenly.

    Parameters
    ----------
    begin, end : int
        Steps after which it is 0 and the target.
    every : int
        Steps between two changes.
    """

    begin: int
    end: int
    every: int = 1

    def __post_init__(self) -> None:
        _check_begin(self.begin)
        whole("every", self.every, 1)
        if whole("end", self.end, 0) <= self.begin:
            raise ValueError(f"begin = {self.begin}, end = {self.end}: end must come after begin")

    def progress(self, step: int) -> float:
        """Share of the way, in stairs of ``every`` steps."""
        if step >= self.end:
            return 1.0
        stairs = max(0, step - self.begin) // self.every
        return stairs * self.every / (self.end - self.begin)


@dataclass(frozen=True)
class Cubic(Linear):
    """Fast at first, slow at the end: ``1 - (1 - t)**3`` (Zhu & Gupta 2017).

    Parameters
    ----------
    begin, end, every : int
        As :class:`Linear`.
    """

    def progress(self, step: int) -> float:
        """Cubic of the share of the way."""
        return float(1 - (1 - super().progress(step)) ** 3)


@dataclass(frozen=True)
class Increments:
    """Equal increments with fine-tuning between: Algorithm 1 of Cao et al. (FPGA'19).

    Parameters
    ----------
    count : int
        Increments, at least 1.
    every : int
        Steps of fine-tuning after each.
    begin : int
        Steps before the first; 0 takes it when the pruner is made.
    """

    count: int
    every: int
    begin: int = 0

    def __post_init__(self) -> None:
        _check_begin(self.begin)
        whole("count", self.count, 1)
        whole("every", self.every, 1)

    def progress(self, step: int) -> float:
        """Increments taken, over their count."""
        if step < self.begin:
            return 0.0
        return min(self.count, 1 + (step - self.begin) // self.every) / self.count


@dataclass(frozen=True)
class Regrowth:
    """Move weights: drop the smallest, grow where the gradient is largest (RigL, Evci 2020).

    The number kept in every group does not change.

    Parameters
    ----------
    every : int
        Steps between two moves.
    until : int
        Steps after which the masks stay.
    fraction : float
        Share of the kept weights that the first move changes, 0..1; it falls to 0 at
        ``until`` along a cosine.
    begin : int
        No moves up to this step.
    """

    every: int
    until: int
    fraction: float = 0.3
    begin: int = 0

    def __post_init__(self) -> None:
        _check_begin(self.begin)
        whole("every", self.every, 1)
        if whole("until", self.until, 0) <= self.begin:
            raise ValueError(
                f"begin = {self.begin}, until = {self.until}: until must come after begin"
            )
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction {self.fraction}: must be above 0, at most 1")

    def due(self, step: int) -> bool:
        """Whether masks move after this step."""
        return self.begin < step < self.until and (step - self.begin) % self.every == 0

    def moved(self, step: int, keep: int) -> int:
        """How many of ``keep`` units of a group move at this step, 0..keep."""
        way = (step - self.begin) / (self.until - self.begin)
        return int(keep * self.fraction * (1 + math.cos(math.pi * way)) / 2)


def _check_begin(begin: int) -> None:
    if whole("begin", begin, -(1 << 62)) < 0:
        raise ValueError(f"schedule begins at step {begin}: must be 0 or later")
