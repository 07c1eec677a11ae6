"""What a screen unit does for given hidden states, to the cycle: rows, words, cycles, results.

Cycles depend on data: what is read follows from bounds that are compared with the k-th largest
exact logit **as the unit knows it in that cycle**. So stages are followed cycle by cycle; bounds
and logits are those of :class:`~csb_format.screening.layer.ScreenedLayer`. The k-th largest is
known later than in :func:`engine.screened.top`, which has no pipeline, and bounds are compared
again when a row leaves a queue: more or fewer rows are read than there, the result is the same.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from csb_format.fixed import IntArray
from csb_format.screening.bounds import BLOCK, FRACTION, query_of
from csb_format.screening.layer import ScreenedLayer

from ..array.screen.design import ScreenBus, ScreenDesign
from ..array.screen.latency import QUEUE, ScreenLatencies
from ..lower.plan import Plan
from .cycle_model import CycleModel

__all__ = ["ScreenCycles", "Screened", "ScreenedSchedule", "Stages"]

_Bounds = list[int]
_Queue = deque[tuple[int, int]]  # of a cycle and a block or row
StagesT = TypeVar("StagesT", bound="Stages")


@dataclass(frozen=True)
class Screened:
    """One hidden state through the unit.

    Parameters
    ----------
    indices, logits : tuple of int
        Outputs and their logits, the largest first; of equal logits the lower output first.
    blocks, first, second, exact : int
        Blocks looked at, rows whose first plane was read, whose second was, and that were computed.
    words : int
        Words of planes that were read, of all memories.
    run : int
        Cycles from the first in which a block may be read to the one before the first result.
    cycles : int
        From the last beat of the hidden state to the last result, if that is always taken.
    """

    indices: tuple[int, ...]
    logits: tuple[int, ...]
    blocks: int
    first: int
    second: int
    exact: int
    words: int
    run: int
    cycles: int


class ScreenCycles:
    """Predicts a screen unit exactly, for given data.

    Parameters
    ----------
    design : ScreenDesign
    layer : ScreenedLayer
        What :func:`~compiler.lower.screen.screen_image` was given.
    bus : ScreenBus, optional
        Planes come over it instead of from memories of the unit: a prediction, no Verilog has it.
    """

    def __init__(self, design: ScreenDesign, layer: ScreenedLayer, bus: ScreenBus | None = None):
        self.design, self.layer, self.bus = design, layer, bus
        self.latencies = ScreenLatencies(design)

    def run(self, hidden: IntArray) -> list[Screened]:
        """Each of some hidden states (T, H), in the layer's ``input`` format."""
        logits = self.layer.logits(hidden)[:, self.layer.order]
        return [self._one(h, row) for h, row in zip(hidden, logits, strict=True)]

    def _one(self, hidden: IntArray, logits: IntArray) -> Screened:
        stages = self.staged(Stages, np.asarray(hidden, np.int64), logits)
        run = stages.run()
        return Screened(
            tuple(output for _, output in stages.best),
            tuple(-key for key, _ in stages.best),
            **stages.counts,
            words=self.words(stages.counts),
            run=run + 1,
            cycles=self.latencies.prepare + run + self.design.top,
        )

    def staged(self, kind: type[StagesT], hidden: IntArray, logits: IntArray) -> StagesT:
        """The stages before a state; logits (O,) in the order of the rows."""
        query, layer = query_of(hidden), self.layer
        each = layer.blocks.bounds(query.norm), layer.first_bounds(query)
        bounds = [(b >> FRACTION).tolist() for b in (*each, layer.second_bounds(query))]
        given = bounds, logits.tolist(), layer.order.tolist()
        return kind(self.design, self.latencies, *given, self.bus)

    def words(self, counts: dict[str, int]) -> int:
        """Words of planes that rows which went so far have read."""
        design = self.design
        words = counts["first"] * design.groups
        return words + (counts["second"] + 2 * counts["exact"]) * design.words


class Stages:
    """The stages between two clock edges: :meth:`step` is one cycle.

    A bound is below where it is less than the k-th largest logit; both are whole logits, the bound
    rounded down, which changes no verdict.
    """

    def __init__(
        self,
        design: ScreenDesign,
        latencies: ScreenLatencies,
        bounds: list[_Bounds],
        logits: list[int],
        order: list[int],
        bus: ScreenBus | None,
    ):
        self.design, self.latencies = design, latencies
        self.bounds, self.logits, self.order = bounds, logits, order
        self.best: list[tuple[int, int]] = []
        self.tau: int | None = None
        self.counts = {"blocks": 0, "first": 0, "second": 0, "exact": 0}
        # of each stage: room behind it, what is on its way, what has come
        self._room = [design.blocks_ahead, design.survivors, design.finalists]
        self._way: list[_Queue] = [deque(), deque(), deque()]
        self._come: list[_Queue] = [deque(), deque(), deque()]
        self.exact: _Queue = deque()  # whole rows on their way to the list
        self.listing: tuple[int, int] | None = None
        self._row = self._group = self._left = 0
        # cycles in which a row's planes come, and how long a request waits for the first of them
        self._shared, self._wait = bus is not None, bus.latency if bus else 0
        self._takes = design.groups, design.words, design.exact_cycles
        self._ends = 2 * design.words - 1  # the last word of a whole row
        if bus:
            *planes, whole = bus.beats(design)
            # no row ends before the list has taken the last
            self._takes = planes[0], planes[1], max(whole, design.top + 2)
            self._ends = whole - 1

    def run(self) -> int:
        """Cycles until nothing is left to do."""
        now = 0
        while not self.step(now):
            now += 1
        return now

    def step(self, now: int) -> bool:
        """One cycle; whether nothing is left to do in it."""
        room = list(self._room)  # what registers say
        if self._idle():
            return True
        tau = self.tau
        for stage in range(3):
            self._verdict(stage, now, tau)
        self._block(now, room[0])
        if not self._shared:
            self._refine(now, room[2], tau)
            self._digits(now, room[1], tau)
        elif self._group or not self._refine(now, room[2], tau):
            self._digits(now, room[1], tau)
        self.list_next(now)
        return False

    def _idle(self) -> bool:
        design = self.design
        full = [design.blocks_ahead, design.survivors, design.finalists]
        busy = self._left or self.exact or self.listing
        return self.counts["blocks"] == design.blocks and self._room == full and not busy

    def _below(self, stage: int, number: int, tau: int | None) -> bool:
        return tau is not None and self.bounds[stage][number] < tau

    def _verdict(self, stage: int, now: int, tau: int | None) -> None:
        way = self._way[stage]
        if way and way[0][0] == now:
            _, number = way.popleft()
            if self._below(stage, number, tau):
                self._room[stage] += 1
            else:
                self._come[stage].append((now + QUEUE, number))

    def _head(self, stage: int, now: int) -> int | None:
        """What leaves a queue next, if it is there already."""
        come = self._come[stage]
        return come[0][1] if come and come[0][0] <= now else None

    def _take(self, stage: int) -> None:
        self._come[stage].popleft()
        self._room[stage] += 1

    def _block(self, now: int, room: int) -> None:
        number = self.counts["blocks"]
        if room and number < self.design.blocks:
            self.counts["blocks"] += 1
            self._room[0] -= 1
            self._way[0].append((now + self.latencies.block, number))

    def _digits(self, now: int, room: int, tau: int | None) -> None:
        """A word of a row of the oldest block that is left."""
        block = self._head(0, now)
        if self._group == 0:
            if block is None:
                return
            if self._below(0, block, tau):
                self._take(0)
                self._row = 0
                return
            if not room:
                return
            self._room[1] -= 1
            self.counts["first"] += 1
        assert block is not None
        self._group += 1
        if self._group < self._takes[0]:
            return
        row, self._group = block * BLOCK + self._row, 0
        self._way[1].append((now + self._wait + self.latencies.first, row))
        self._row += 1
        if self._row == BLOCK or row + 1 == self.design.rows:
            self._row = 0
            self._take(0)

    def _refine(self, now: int, room: int, tau: int | None) -> bool:
        """A whole row if one waits, else a second plane; whether one is read in this cycle."""
        if self._left:
            self._left -= 1
            return True
        latencies, (_, words, whole) = self.latencies, self._takes
        final, survivor = self._head(2, now), self._head(1, now)
        if final is not None:
            self._take(2)
            if not self._below(2, final, tau):
                self.counts["exact"] += 1
                self._left = whole - 1
                self.exact.append((now + self._wait + self._ends + latencies.exact, final))
                return True
        elif survivor is not None and room:
            self._take(1)
            if not self._below(1, survivor, tau):
                self.counts["second"] += 1
                self._left = words - 1
                self._room[2] -= 1
                self._way[2].append((now + self._wait + words - 1 + latencies.second, survivor))
                return True
        return False

    def list_next(self, now: int) -> None:
        """A logit goes past the places of the list, one a cycle."""
        if self.exact and self.exact[0][0] == now:
            _, row = self.exact.popleft()
            self.listing = now + self.design.top - 1, row
        if self.listing and self.listing[0] == now:
            row = self.listing[1]
            insort(self.best, (-self.logits[row], self.order[row]))
            del self.best[self.design.top :]
            if len(self.best) == self.design.top:
                self.tau = -self.best[-1][0]
            self.listing = None


class ScreenedSchedule(CycleModel):
    """The cycles of an array whose states a screen unit takes, when it has done with those before.

    Parameters
    ----------
    plan : Plan
        Of the array; an image is one.
    screened : sequence of Screened
        What the unit does with each frame's state.
    """

    def __init__(self, plan: Plan, screened: Sequence[Screened]):
        super().__init__(plan)
        self.screened = screened
        self._free = 0
        self.results: list[int] = []

    def _leave(self, beats: list[int], final: bool) -> list[int]:
        """Beats leave while no state is under way in the unit, one a cycle."""
        leaves = []
        for beat in beats:
            leaves.append(max(beat, self._free))
            self._free = leaves[-1] + 1
        return leaves

    def _ended(self, last: int) -> int:
        """The last result of a frame follows the last beat of its state."""
        self.results.append(last + self.screened[len(self.results)].cycles)
        self._free = self.results[-1] + 1
        return self.results[-1]
