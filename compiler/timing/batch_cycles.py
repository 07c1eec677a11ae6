"""When everything happens where frames of several streams are worked on together.

As :mod:`compiler.timing.frame_cycles` counts, for the rows of :mod:`compiler.array.batch`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from csb_format import IntArray

from ..array.batch import batch_sizes
from ..array.program import Instruction, Sink
from .frame_cycles import CycleModel, FrameLoading, Issue, Schedule, State, least

__all__ = ["BatchModel"]


class BatchModel(CycleModel):
    """Predicts a run of a batched design exactly.

    Frames come batch by batch, in each in ascending order of their streams; the last of a batch
    tells that it is. The cycles of passes follow from how many these are alone.
    """

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
            Changes nothing here.
        context : sequence of int, optional
            Stream of each frame; by default 0. A frame of no later stream than the one before
            begins a batch.
        """
        if frames < 1:
            raise ValueError(f"frames {frames}: schedule at least one")
        sizes = batch_sizes([0] * frames if context is None else context)
        at = self._fetch - 1
        state = State(self._part.entry + 1, at + self._settle, at)
        loader = _BatchLoading(self._beats, sizes, state.writes)
        while len(state.done) < frames:
            self._step_batch(state, loader, sizes)
        begun, done = (np.array(cycles, np.int64) for cycles in (loader.begun, state.done))
        return Schedule(begun[:frames], done, tuple(state.issues))

    def _step_batch(self, state: State, loader: _BatchLoading, sizes: list[int]) -> None:
        """One instruction."""
        now = self.plan.program[state.address]
        batch = state.taken - (not now.frame)
        streams = sizes[batch] if batch < len(sizes) else 1
        waits = {"": state.ready, "state": least(state.homes, now.lead)}
        if now.frame:
            waits["frame"] = loader.ready_at(batch)
        if now.emit:
            room = self.plan.design.output_depth - now.beats * streams
            waits["room"] = least(state.leaving, room) + 1 + self._settle
        waited = max(waits, key=lambda name: waits[name])
        self._issue_batch(state, now, waits[waited], waited, (sum(sizes[:batch]), streams))
        state.taken += bool(now.frame)
        if now.release_frame:
            loader.release(state.end + self.latencies.read + 1)
        state.load(max(state.end + 1, state.loaded + self._fetch), self._settle)
        state.address = now.next

    def _issue_batch(
        self, state: State, now: Instruction, start: int, waited: str, frames: tuple[int, int]
    ) -> None:
        """Note when a pass runs, and when its results are where; its first frame, and how many."""
        idle, (frame, streams) = start - state.end - 1, frames
        state.end = start + now.cycles * streams - 1
        state.issues.append(Issue(frame, state.address, start, state.end, waited, idle))
        if now.sink == Sink.PARK:
            return
        done = start + self._ready(now, streams)
        state.homes = [t for t in state.homes if t > start]
        state.homes += (done + self.latencies.home(now.sink)).ravel().tolist()
        if now.write:
            state.writes.update((done + self.latencies.written(now.sink)).ravel().tolist())
        if now.emit:
            leaves = done + self.latencies.leaves(now.sink)
            state.leaving = [t for t in state.leaving if t >= start] + leaves.ravel().tolist()
            if now.final:
                state.done += leaves[-1].tolist()

    def _ready(self, now: Instruction, streams: int) -> IntArray:
        """Cycles of a pass up to each beat of each stream, int64 (beats, streams).

        Without the latency of a row.
        """
        slots, places = self.latencies.ready(now)
        first = slots * now.interval * streams + (now.groups - 1) * streams + places
        spacing = now.interval - now.groups + 1
        return np.asarray(first[:, None] + np.arange(streams) * spacing, np.int64)


class _BatchLoading(FrameLoading):
    """Input frames of batches on their way into the two buffers."""

    def __init__(self, beats: int, sizes: list[int], writes: set[int]):
        super().__init__(beats, len(sizes), writes)
        self._sizes, self._each = sizes, beats

    def _load(self, until: int | None) -> bool:
        """Take the next beat; False if that is not before ``until``."""
        batch, beat = len(self._ready), self._beat
        if batch < len(self._sizes):
            self._beats = self._sizes[batch] * self._each
        before = len(self.begun)
        taken = super()._load(until)
        if taken and beat % self._each == 0 and len(self.begun) == before:
            self.begun.append(self._cycle - 1)
        return taken
