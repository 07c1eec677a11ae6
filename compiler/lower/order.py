"""Puts the passes of a frame in order, and says when each may start.

Everything that follows the issue of a pass's last group is fixed, so a pass can be told to
start while results that it reads are still on their way: it waits until no more than
``lead`` beats of all passes before it are. docs/schedule.md has the rules and why nothing is
read before it is written.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from csb_format.fixed import IntArray

from ..array.design import Design
from ..array.latency import Latencies
from ..array.program import Frame, Sink
from ..array.widths import lead_bits
from .passes import LayerPasses, Pass

__all__ = ["Order", "Timing", "leads", "parks_meet", "put_in_order"]


@dataclass(frozen=True)
class Timing:
    """When the beats of a pass come home, in cycles after the issue of its last cycle."""

    latencies: Latencies
    given: Pass

    @cached_property
    def _dealt(self) -> IntArray:
        """When the last group of each beat's slot is issued, and its turn among the slot's."""
        now = self.given.instruction
        slots, places = self.latencies.ready(now)
        return np.asarray(now.walk.lasts[slots] - (now.cycles - 1) + places, np.int64)

    @cached_property
    def _homes(self) -> list[int]:
        """First cycle in which a group may be issued that reads each beat."""
        found: list[int] = (self._dealt + self.latencies.home(self.given.sink)).tolist()
        return found

    def home(self, beat: int) -> int:
        """First cycle in which a group may be issued that reads a beat; later for later beats."""
        return self._homes[beat]

    @property
    def last_dealt(self) -> int:
        """Cycle, without the latency of a row, in which the results are needed no longer."""
        now = self.given.instruction
        last = int(now.walk.lasts[-1]) - (now.cycles - 1)
        return last + self.latencies.dealing(now)

    @property
    def last_gone(self) -> int:
        """Cycle in which the last beat has passed the write port and the output buffer."""
        return int(self._dealt[-1]) + self.latencies.written(self.given.sink) + 1

    def beat_of(self, place: int) -> int:
        """The beat that completes a place of all banks."""
        lanes, banks = self.given.placement.lanes, self.given.placement.design.lanes
        if lanes > banks:
            return place // (lanes // banks)
        return (place + 1) * (banks // lanes) - 1

    def lead(self, start: int) -> int:
        """Most beats on their way such that none before cycle ``start`` lets a pass start.

        A stream of words may pause between slots, so that the slots before the last come
        home earlier than without; only beats of the last slot tell the time then.
        """
        now, design = self.given.instruction, self.given.placement.design
        # beats come home one after the other: a slot's before those of the next
        found = max(0, now.beats - 1 - bisect_left(self._homes, start))
        if design.streamed and start > 1:
            _, places = self.latencies.ready(now)
            return min(found, int(places[-1]))
        return found

    def readable(self, reader: Pass) -> int:
        """First cycle in which a pass may start that reads what this one writes.

        A row's entries in a bank are in ascending order of their places, so group ``g`` of ``k``
        that a row keeps reads none above ``w - k + g``. Rows of a gate that keeps fewer than
        others do so in its first groups.
        """
        pieces = self.given.placement.design.pieces
        width = self.given.placement.bank_width
        needs: dict[int, int] = {}  # place by the cycle in which it must be there
        for start, slot in zip(reader.instruction.walk.starts.tolist(), reader.kept, strict=False):
            last = reader.skips + max(reader.groups)
            read = ((k, n) for k in slot for n in range(reader.skips, min(k, last)))
            for k, group in read:
                cycle = start + (group - reader.skips + 1) * pieces - 1
                place = max(0, min(width - 1, width - k + group))
                needs[cycle] = max(needs.get(cycle, 0), place)
        # of rows that keep nothing there is none
        found = (self.home(self.beat_of(place)) - cycle for cycle, place in needs.items())
        return max(found, default=1)


@dataclass(frozen=True)
class Order:
    """Passes in program order.

    Parameters
    ----------
    entry : tuple of Pass
        The input passes of a frame that was waited for.
    frame : tuple of Pass
        The frame after them, with the input passes of the next in it.
    late : tuple of Pass
        What is left of ``frame``, from its ``TRY`` on, when no next frame is there; then
        ``entry`` follows. Empty without a ``TRY``, then ``entry`` always follows or is part
        of ``frame``.
    """

    entry: tuple[Pass, ...]
    frame: tuple[Pass, ...]
    late: tuple[Pass, ...]


def put_in_order(
    layers: Sequence[LayerPasses], head: Sequence[Pass], design: Design, *, parallel: bool
) -> Order:
    """Fill the waits of the chain of a frame with passes that need not wait.

    Parameters
    ----------
    layers : sequence of LayerPasses
    head : sequence of Pass
        Of its linear layers.
    design : Design
    parallel : bool
        Layers are the two directions of one level.
    """
    first = layers if parallel else layers[:1]
    entry = [
        park for parks in zip(*(layer.parks for layer in first), strict=True) for park in parks
    ]
    entry[0] = entry[0].at(frame=Frame.WAIT)
    later = [] if parallel else list(layers[1:])
    filled = _Filling(design, later, entry if not design.streamed else [], len(first))
    for given in _chain(layers, head, parallel):
        filled.put(given)
    return filled.order(tuple(_released(entry)))


def parks_meet(order: Order) -> bool:
    """Whether a sum would be parked where another still waits, in frames that follow each other."""
    waiting = set[int]()
    for given in (*order.entry, *order.frame, *order.frame):
        now = given.instruction
        slots = range(now.slot, now.slot + now.slots)
        if now.parked:
            waiting.difference_update(slots)
        if now.sink == Sink.PARK:
            if not waiting.isdisjoint(slots):
                return True
            waiting.update(slots)
    return False


def _chain(layers: Sequence[LayerPasses], head: Sequence[Pass], parallel: bool) -> list[Pass]:
    """The passes that depend on one another."""
    if parallel:
        steps = zip(*(layer.chain for layer in layers), strict=True)
        return [given for step in steps for given in step]
    chain = [given for layer in layers for given in layer.chain]
    return [*chain, *head]


def _released(entry: list[Pass]) -> Iterator[Pass]:
    """The last of the input passes gives the frame's buffer back."""
    for n, given in enumerate(entry):
        yield given.at(release_frame=n == len(entry) - 1)


class _Filling:
    """The order as it grows."""

    def __init__(self, design: Design, later: list[LayerPasses], entry: list[Pass], entries: int):
        self._latencies = Latencies(design)
        self._streamed = design.streamed
        # by the pass that takes their sums, in the order of these
        self._rest = {taker: park for layer in later for taker, park in layer.early.items()}
        self._takers = list(self._rest)
        self._next = list(entry)
        self._tried_at: int | None = None
        self._out: list[Pass] = []
        self._entries = entries  # layers that take input frames

    def put(self, given: Pass) -> None:
        """Append a pass of the chain, behind what can run while it would wait."""
        if not self._streamed:
            self._fill(self._wait(given))
        if id(given) in self._rest:
            self._out.append(self._rest.pop(id(given)))
        self._out.append(given)

    def order(self, entry: tuple[Pass, ...]) -> Order:
        """The finished order."""
        at = self._tried_at
        if at is None:
            return Order(entry, tuple(self._out), ())
        late = tuple(p for p in self._out[at:] if p.reads[0] != "frame")
        rest = list(_released(self._next)) if self._next else []
        frame = [*self._out, *rest]
        if not rest:
            final = max(n for n, p in enumerate(frame) if p.reads[0] == "frame")
            frame[final] = frame[final].at(release_frame=True)
        return Order(entry, tuple(frame), late)

    def _wait(self, given: Pass) -> int:
        """Cycles that the array would stand still before a pass."""
        since, wait = 0, 0
        for before in reversed(self._out):
            if before.sink != Sink.PARK:
                timing = Timing(self._latencies, before)
                starts = [_free(timing, given)]
                if before.writes == given.reads:
                    starts.append(timing.readable(given))
                wait = max(wait, max(starts) - 1 - since)
            since += before.cycles
        return wait

    def _fill(self, wait: int) -> None:
        """Passes of later layers first, then of the next frame's input."""
        for taker in self._takers:
            if wait > 0 and taker in self._rest:
                piece, left = _split(self._rest[taker], wait)
                wait -= piece.cycles
                self._out.append(piece)
                if left is None:
                    # an empty rest: nothing is left to run before the layer finishes
                    del self._rest[taker]
                else:
                    self._rest[taker] = left
        while wait > 0 and self._next and self._taken(self._next[0].kind):
            if self._tried_at is None:
                self._tried_at = len(self._out)
                self._next[0] = self._next[0].at(frame=Frame.TRY)
            piece, left = _split(self._next.pop(0), wait)
            wait -= piece.cycles
            self._out.append(piece)
            if left is not None:
                self._next.insert(0, left.at(frame=Frame.NONE))

    def _taken(self, kind: int) -> bool:
        """Whether the frame has taken its own sums of input passes of a kind."""
        takers = [p for p in self._out if p.instruction.parked and p.kind == kind]
        return len(takers) >= self._entries


def _split(given: Pass, cycles: int) -> tuple[Pass, Pass | None]:
    """The first slots that take at least so many cycles, and the rest."""
    now = given.instruction
    # all rows of a unit, as the first of a pass is the first of a unit
    rounds = now.walk.ends[:-1] + 1
    long = now.walk.starts[rounds] >= cycles
    if not long.any():
        return given, None
    slots = int(rounds[long][0])
    return given.chunk(0, slots), given.chunk(slots, now.slots - slots)


def leads(order: Sequence[Pass], design: Design) -> list[tuple[int, ...]]:
    """Leads of every pass of a frame, which follows some like it.

    Parameters
    ----------
    order : sequence of Pass
        The frame in program order; what passes of the next frame's input are in it does not
        matter, as they write nothing.
    design : Design
    """
    if design.batched:
        return [_batched_lead(given, design) for given in order]
    latencies = Latencies(design)
    writers = [p for p in order if p.sink != Sink.PARK]
    return [_leads(given, n, order, writers, latencies) for n, given in enumerate(order)]


def _batched_lead(given: Pass, design: Design) -> tuple[int, ...]:
    """Of a batched design, where how many beats are on their way depends on who is there.

    A pass over the input reads what no pass writes. All others wait until everything is home, which
    costs the way through the array once a pass; words of the stream gather meanwhile.
    """
    lead = (1 << lead_bits(design)) - 1 if given.reads[0] == "frame" else 0
    return (lead,) * design.frames_back


def _leads(
    given: Pass, at: int, order: Sequence[Pass], writers: list[Pass], latencies: Latencies
) -> tuple[int, ...]:
    """Leads of the pass at a place in the order, by how far back its stream's last frame is."""
    before = [p for p in order[:at] if p.sink != Sink.PARK]
    # one frame for states of the step before, one more for each of other contexts between
    frames = latencies.design.frames_back
    past = [*writers * frames, *before]
    this_frame = len(past) - len(before)
    busy = _not_before(given, past, latencies)
    if given.reads[0] == "frame":
        return (busy,) * frames
    recurrent = given.instruction.recurrent
    found = _producers(given, past, this_frame if recurrent else len(past))
    chosen = found[:frames] if recurrent else found[:1] * frames
    return tuple(min(busy, _after(given, past, producer, latencies)) for producer in chosen)


def _producers(given: Pass, past: list[Pass], before: int) -> list[int]:
    """Places of the passes that wrote the vector, the latest first."""
    return [n for n in reversed(range(before)) if past[n].writes == given.reads]


def _after(given: Pass, past: list[Pass], producer: int, latencies: Latencies) -> int:
    """Beats that may be on their way as the pass starts, for what it reads."""
    timing = Timing(latencies, past[producer])
    later = sum(p.instruction.beats for p in past[producer + 1 :])
    return later + timing.lead(timing.readable(given))


def _not_before(given: Pass, past: list[Pass], latencies: Latencies) -> int:
    """Beats that may be on their way so that results do not meet in registers and ports."""
    allowed = sum(p.instruction.beats for p in past)
    if given.sink == Sink.PARK:
        return allowed
    later = 0
    for before in reversed(past):
        timing = Timing(latencies, before)
        start = _free(timing, given)
        if start > 1:
            allowed = min(allowed, later + timing.lead(start))
        later += before.instruction.beats
        if before.sink != given.sink:
            break
    return allowed


def _free(timing: Timing, given: Pass) -> int:
    """First cycle, after a pass, in which another may start that has results of its own."""
    if given.sink == Sink.PARK:
        return 1
    # its first result takes the PEs' registers when the last was dealt from them
    groups = timing.latencies.first_results(given.instruction)
    start = timing.last_dealt - groups + 1
    if timing.given.sink != given.sink:
        # ... and the write port when the last beat has passed it
        written = timing.latencies.written(given.sink)
        start = max(start, timing.last_gone - written - groups + 2)
    return start
