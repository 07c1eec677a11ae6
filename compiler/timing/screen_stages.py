"""Stages of a screen unit, cycle by cycle; :mod:`compiler.timing.screen_cycles` says what for."""

from __future__ import annotations

from bisect import insort
from collections import deque

from csb_format.screening.bounds import BLOCK

from ..array.screen.bus import ScreenBus
from ..array.screen.design import ScreenDesign
from ..array.screen.latency import QUEUE, ScreenLatencies

__all__ = ["FetchedStages", "Stages"]

Bounds = list[int]
Queue = deque[tuple[int, int]]  # of a cycle and a block or row


class Stages:
    """The stages between two clock edges: :meth:`step` is one cycle.

    A bound is below where it is less than the k-th largest logit; both are whole logits, the bound
    rounded down, which changes no verdict.
    """

    def __init__(
        self,
        design: ScreenDesign,
        latencies: ScreenLatencies,
        bounds: list[Bounds],
        logits: list[int],
        order: list[int],
    ):
        self.design, self.latencies = design, latencies
        self.bounds, self.logits, self.order = bounds, logits, order
        self.best: list[tuple[int, int]] = []
        self.tau: int | None = None
        self.counts = {"blocks": 0, "first": 0, "second": 0, "exact": 0}
        # of each stage: room behind it, what is on its way, what has come
        self._room = [design.blocks_ahead, design.survivors, design.finalists]
        self._way: list[Queue] = [deque(), deque(), deque()]
        self._come: list[Queue] = [deque(), deque(), deque()]
        self.exact: Queue = deque()  # whole rows on their way to the list
        self.listing: tuple[int, int] | None = None
        self._row = self._group = self._left = 0

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
        self._planes(now, room, tau)
        self.list_next(now)
        return False

    def _planes(self, now: int, room: list[int], tau: int | None) -> None:
        """What is read in a cycle: two memories, each for a stage."""
        self._refine(now, room[2], tau)
        self._digits(now, room[1], tau)

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
        if self._group < self.design.groups:
            return
        row, self._group = block * BLOCK + self._row, 0
        self._way[1].append((now + self.latencies.first, row))
        self._row += 1
        if self._row == BLOCK or row + 1 == self.design.rows:
            self._row = 0
            self._take(0)

    def _refine(self, now: int, room: int, tau: int | None) -> None:
        """A whole row if one waits, else a second plane."""
        if self._left:
            self._left -= 1
            return
        latencies, words = self.latencies, self.design.words
        final, survivor = self._head(2, now), self._head(1, now)
        if final is not None:
            self._take(2)
            if not self._below(2, final, tau):
                self.counts["exact"] += 1
                self._left = self.design.exact_cycles - 1
                self.exact.append((now + 2 * words - 1 + latencies.exact, final))
        elif survivor is not None and room:
            self._take(1)
            if not self._below(1, survivor, tau):
                self.counts["second"] += 1
                self._left = words - 1
                self._room[2] -= 1
                self._way[2].append((now + words - 1 + latencies.second, survivor))

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


class FetchedStages(Stages):
    """Stages whose planes come over a bus: a request at a time, in the order of the queues.

    Parameters
    ----------
    design, latencies, bounds, logits, order
        As of :class:`Stages`.
    bus : ScreenBus
    """

    def __init__(
        self,
        design: ScreenDesign,
        latencies: ScreenLatencies,
        bounds: list[Bounds],
        logits: list[int],
        order: list[int],
        *,
        bus: ScreenBus,
    ):
        super().__init__(design, latencies, bounds, logits, order)
        layout = bus.layout(design)
        self._bus, self._beats, self._spacings = bus, layout.beats, layout.spacings
        self._flying: deque[int] = deque()  # last beats of requests under way
        # from when on the bus takes a request, and one for the lanes of first, of other planes
        self._free = self._first_free = self._refine_free = 0

    def _planes(self, now: int, room: list[int], tau: int | None) -> None:
        """A request, if the bus takes one; rows that have been beaten leave in any cycle."""
        while self._flying and self._flying[0] < now:
            self._flying.popleft()
        may = now >= self._free and len(self._flying) < self._bus.outstanding
        asked = self._asks_refined(now, room[2], tau, may)
        self._asks_first(now, room[1], tau, may and not asked)

    def _asks_refined(self, now: int, room: int, tau: int | None, may: bool) -> bool:
        """Whether a whole row or a second plane is asked for."""
        may = may and now >= self._refine_free
        final, survivor = self._head(2, now), self._head(1, now)
        asked = False
        if final is not None and (may or self._below(2, final, tau)):
            self._take(2)
            if not self._below(2, final, tau):
                self.counts["exact"] += 1
                begins = self._ask(2, now)
                ends = begins + 2 * self.design.words - 1
                self.exact.append((ends + self.latencies.exact, final))
                asked = True
        if survivor is None:
            return asked
        if self._below(1, survivor, tau):
            self._take(1)
        elif may and room and final is None:
            self._take(1)
            self.counts["second"] += 1
            self._room[2] -= 1
            ends = self._ask(1, now) + self.design.words - 1
            self._way[2].append((ends + self.latencies.second, survivor))
            asked = True
        return asked

    def _asks_first(self, now: int, room: int, tau: int | None, may: bool) -> None:
        """The next row of the oldest block that is left."""
        block = self._head(0, now)
        if block is None:
            return
        if self._below(0, block, tau):
            self._row = 0
            self._take(0)
        elif may and room and now >= self._first_free:
            self._room[1] -= 1
            self.counts["first"] += 1
            row = block * BLOCK + self._row
            ends = self._ask(0, now) + self.design.groups - 1
            self._way[1].append((ends + self.latencies.first, row))
            self._row += 1
            if self._row == BLOCK or row + 1 == self.design.rows:
                self._row = 0
                self._take(0)

    def _ask(self, kind: int, now: int) -> int:
        """A request for a row; the cycle in which lanes take its first word."""
        beats, spacing = self._beats[kind], self._spacings[kind]
        self._free = now + beats
        if kind:
            self._refine_free = now + spacing
        else:
            self._first_free = now + spacing
        # an address stands on the bus in the cycle after
        last = now + 1 + self._bus.latency + beats - 1
        self._flying.append(last)
        return last + 1
