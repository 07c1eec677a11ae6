"""When everything happens, to the cycle: the schedule of :mod:`hdl.core.controller` without data.

The model follows the program event by event. It holds for a source that has the next frame
ready until there is none any more, a sink that always takes and, on a streamed design, words
that are always there; then the accelerator is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from csb_format import IntArray

from ..array.latency import Latencies, fetch_delay
from ..array.program import Frame, Instruction, Place, Sink
from ..lower.plan import Plan

__all__ = ["CycleModel", "FrameLoading", "Issue", "Schedule", "State", "least"]


@dataclass(frozen=True)
class Issue:
    """One pass as it ran.

    Parameters
    ----------
    frame : int
        Whose pass it is.
    address : int
        Of its instruction.
    start, end : int
        Cycles of its first group and of its last cycle.
    waited : str
        What it waited for longest: ``frame``, ``state`` or ``room``; empty if for nothing.
    idle : int
        Cycles without a group between the pass before and this one.
    """

    frame: int
    address: int
    start: int
    end: int
    waited: str
    idle: int


@dataclass(frozen=True)
class Schedule:
    """Cycles of a run; cycle 0 takes the first beat of the first frame.

    Parameters
    ----------
    frame_in : int64 array (frames,)
        Cycle in which the first beat of each frame is taken.
    frame_done : int64 array (frames,)
        Cycle in which the last beat of each frame leaves on ``states``.
    issues : tuple of Issue
        All passes, in the order in which they ran.
    """

    frame_in: IntArray
    frame_done: IntArray
    issues: tuple[Issue, ...]

    @property
    def steps(self) -> IntArray:
        """Cycles from the end of each frame to that of the next, int64 (frames - 1,)."""
        return np.diff(self.frame_done)

    def starts(self, addresses: Sequence[int]) -> IntArray:
        """First cycle of the passes at some addresses, int64, in the order they ran."""
        return np.array([i.start for i in self.issues if i.address in addresses], np.int64)


@dataclass
class State:
    """What the controller, the frame loader and the output buffer know."""

    address: int
    ready: int  # the next instruction can start
    loaded: int  # ... and was loaded
    end: int = -1  # of the pass before
    homes: list[int] = field(default_factory=list)  # of beats that may be on their way
    leaving: list[int] = field(default_factory=list)  # cycles of beats in the output buffer
    writes: set[int] = field(default_factory=set)  # cycles in which the write port is taken
    issues: list[Issue] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    taken: int = 0  # frames
    current: int = -1  # frame

    def load(self, cycle: int, settle: int) -> None:
        """An instruction is loaded, and can start some cycles later."""
        self.loaded, self.ready = cycle, cycle + settle


class CycleModel:
    """Predicts a run of a plan exactly; weights do not matter.

    Parameters
    ----------
    plan : Plan
        An image is one.
    part : int
        Which of its programs.
    """

    def __init__(self, plan: Plan, part: int = 0):
        self.plan = plan
        self.latencies = Latencies(plan.design)
        self._fetch = fetch_delay(plan.design)
        self._late = int(plan.design.compact)  # an instruction is fetched when one has ended
        self._settle = int(plan.design.deep)  # cycles of the start's conditions
        self._part = plan.parts[part]
        self._beats = self._part.frame_beats

    def run(
        self,
        frames: int,
        first: Sequence[bool] | None = None,
        context: Sequence[int] | None = None,
    ) -> Schedule:
        """Schedule of a number of frames, at least 1.

        Parameters
        ----------
        frames : int
        first : sequence of bool, optional
            Which frames start a sequence; by default only the first.
        context : sequence of int, optional
            Stream of each frame; by default 0.
        """
        if frames < 1:
            raise ValueError(f"frames {frames}: schedule at least one")
        starts = [n == 0 for n in range(frames)] if first is None else list(first)
        streams = [0] * frames if context is None else list(context)
        # SETUP ends the cycle before the first beat can be taken
        at = self._fetch - 1 + self._late
        state = State(self._part.entry + 1, at + self._settle, at)
        loader = FrameLoading(self._beats, frames, state.writes)
        while len(state.done) < frames:
            self._step(state, loader, starts, streams)
        done = np.array(state.done, np.int64)
        return Schedule(np.array(loader.begun[:frames], np.int64), done, tuple(state.issues))

    def _step(
        self, state: State, loader: FrameLoading, first: list[bool], context: list[int]
    ) -> None:
        """One instruction."""
        now = self.plan.program[state.address]
        if now.frame == Frame.TRY and loader.ready_at(state.taken, state.ready) > state.ready:
            state.address = now.other
            state.load(state.ready + 1 + self._fetch, self._settle)
            return
        frame = state.current + (now.advance or now.source_kind == Place.FRAME)
        waits = {"": state.ready}
        if now.frame:
            waits["frame"] = loader.ready_at(state.taken)
        # `advance` makes the frame current; until then the one before it is
        known = frame if now.source_kind != Place.FRAME else state.current
        lead = now.leads[self._back(known, first, context) - 1]
        waits["state"] = least(state.homes, lead)
        if now.emit:
            room = self.plan.design.output_depth - now.beats
            waits["room"] = least(state.leaving, room) + 1 + self._settle
        waited = max(waits, key=lambda name: waits[name])
        self._issue(state, now, frame, waits[waited], waited)
        if now.frame:
            state.taken += 1
        if now.advance:
            state.current += 1
        if now.release_frame:
            loader.release(state.end + self.latencies.read + 1)
        begun = state.end + 1 if self._late else state.loaded
        state.load(max(state.end + 1, begun + self._fetch), self._settle)
        state.address = now.next

    def _back(self, frame: int, first: list[bool], context: list[int]) -> int:
        """How many frames back the last one of a frame's stream is, as far as that is told."""
        most = self.plan.design.frames_back
        if frame < 0 or first[frame]:
            return most
        # before the first frame the array takes all for frames of context 0
        past = [context[n] if n >= 0 else 0 for n in range(frame - 1, frame - most, -1)]
        return past.index(context[frame]) + 1 if context[frame] in past else most

    def _issue(self, state: State, now: Instruction, frame: int, start: int, waited: str) -> None:
        """Note when a pass runs, and when its results are where."""
        idle = start - state.end - 1
        state.end = start + now.cycles - 1
        state.issues.append(Issue(frame, state.address, start, state.end, waited, idle))
        if now.sink == Sink.PARK:
            return
        slots, places = self.latencies.ready(now)
        done = start + now.walk.lasts[slots] + places
        state.homes = [t for t in state.homes if t > start]
        state.homes += (done + self.latencies.home(now.sink)).tolist()
        if now.write:
            state.writes.update((done + self.latencies.written(now.sink)).tolist())
        if now.emit:
            leaves = self._leave((done + self.latencies.leaves(now.sink)).tolist(), now.final)
            state.leaving = [t for t in state.leaving if t >= start] + leaves
            if now.final:
                state.done.append(self._ended(leaves[-1]))

    def _leave(self, beats: list[int], final: bool) -> list[int]:
        """When beats leave that could from these cycles on: a sink that always takes."""
        return beats

    def _ended(self, last: int) -> int:
        """When a frame has left whose last beat of states leaves in a cycle."""
        return last


class FrameLoading:
    """Input frames on their way into the two buffers."""

    def __init__(self, beats: int, frames: int, writes: set[int]):
        self._beats, self._frames, self._writes = beats, frames, writes
        self._free = [0, 0]  # cycles from which a buffer can be filled
        self._ready: list[int] = []
        self._cycle = self._beat = 0
        self.begun: list[int] = []

    def release(self, cycle: int) -> None:
        """A buffer can be filled from a cycle on."""
        self._free.append(cycle)

    def ready_at(self, frame: int, until: int | None = None) -> int:
        """Cycle from which a pass may use a frame; or one after ``until`` if it is later."""
        while len(self._ready) <= frame:
            if not self._load(until):
                return (until or 0) + 1
        return self._ready[frame]

    def _load(self, until: int | None) -> bool:
        """Take the next beat; False if that is not before ``until``."""
        if self._beat == 0:
            if len(self._ready) == self._frames or len(self._free) <= len(self._ready):
                return False
            self._cycle = max(self._cycle, self._free[len(self._ready)])
        cycle = self._cycle
        while cycle in self._writes:
            cycle += 1
        self._cycle = cycle
        if until is not None and cycle >= until:
            return False
        if self._beat == 0:
            self.begun.append(cycle)
        self._cycle, self._beat = cycle + 1, self._beat + 1
        if self._beat == self._beats:
            self._ready.append(self._cycle)
            self._beat = 0
        return True


def least(cycles: list[int], allowed: int) -> int:
    """First cycle in which no more than ``allowed`` of some later cycles are still to come."""
    return sorted(cycles, reverse=True)[allowed] if len(cycles) > allowed else -1
