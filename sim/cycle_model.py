"""When everything happens, to the cycle: the schedule of :mod:`hdl.controller` without data.

The model follows the program event by event. It holds for a source that always has the
next frame ready and a sink that always takes; then the accelerator is deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from csb_format import IntArray
from hdl.compiler import Image
from hdl.controller import Controller
from hdl.hierarchy import Ram
from hdl.latency import Latencies
from hdl.program import Instruction

__all__ = ["CycleModel", "Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Cycles of a run; cycle 0 takes the first beat of the first frame.

    Parameters
    ----------
    frame_done : int64 array (frames,)
        Cycle in which the last beat of each frame leaves on ``states``.
    input_start, recurrent_start : int64 arrays (frames,)
        Cycle in which the first group of each pass is issued.
    """

    frame_done: IntArray
    input_start: IntArray
    recurrent_start: IntArray

    @property
    def steps(self) -> IntArray:
        """Cycles from the end of each frame to that of the next, int64 (frames - 1,)."""
        return np.diff(self.frame_done)


@dataclass(frozen=True)
class _Update:
    """An element-wise pass: when it was issued, and when its units come home."""

    latencies: Latencies
    instruction: Instruction
    start: int

    def last_group(self, slot: int) -> int:
        """Cycle in which the last group of a slot is issued."""
        return self.start + slot * self.instruction.interval + self.instruction.groups - 1

    def leaves(self, unit: int) -> int:
        """Cycle in which the lanes' ``unit``-th result is written."""
        slot, place = divmod(unit, self.latencies.design.units_per_slot)
        return self.last_group(slot) + self.latencies.unit + place

    def writes(self, cycle: int) -> bool:
        """Whether a hidden state takes the vectors' write port in a cycle."""
        since = cycle - self.leaves(0)
        slot, place = divmod(since, self.instruction.interval)
        per_slot = self.latencies.design.units_per_slot
        unit = slot * per_slot + place
        return since >= 0 and place < per_slot and unit < self.instruction.units


@dataclass
class _State:
    """What the controller and the frame loader know."""

    ready: int = 0  # the next instruction can start
    loaded: int = 0  # ... and was loaded
    h_ready: int = 0  # the last hidden state may be read
    port_free: int = 0  # the source's next beat can be taken
    buffers_free: list[int] = field(default_factory=lambda: [0, 0])
    updates: list[_Update] = field(default_factory=list)


class CycleModel:
    """Predicts a run of an image exactly.

    Parameters
    ----------
    image : Image
        Its program is one ``SETUP`` followed by passes.
    """

    def __init__(self, image: Image):
        self.image = image
        self.latencies = Latencies(image.design)
        self._beats = image.program[0].frame_beats

    def run(self, frames: int) -> Schedule:
        """Schedule of a number of frames, at least 1."""
        if frames < 1:
            raise ValueError(f"frames {frames}: schedule at least one")
        # SETUP ends the cycle before the first beat can be taken
        state = _State(ready=Controller.fetch - 1, loaded=Controller.fetch - 1)
        done: list[int] = []
        starts: dict[bool, list[int]] = {False: [], True: []}
        at = 1
        while len(done) < frames:
            instruction = self.image.program[at]
            at = instruction.next
            starts[instruction.elementwise].append(self._pass(state, instruction))
            if instruction.elementwise:
                last = state.updates[-1].leaves(instruction.units - 1)
                done.append(last + self.latencies.output)
        return Schedule(*(np.array(c, np.int64) for c in (done, starts[False], starts[True])))

    def _pass(self, state: _State, now: Instruction) -> int:
        """Start a pass when all it waits for is there; the cycle of its first group."""
        start = state.ready
        if now.wait_frame:
            start = max(start, self._load_frame(state))
        if now.elementwise:
            start = max(start, state.h_ready, self._room(state, now))
        end = start + now.slots * now.interval - 1
        if now.elementwise:
            update = _Update(self.latencies, now, start)
            state.updates = [*state.updates[-1:], update]
            state.h_ready = update.last_group(now.slots - 1) + self.latencies.bubble
        if now.release_frame:
            state.buffers_free.append(end + Ram.latency + 1)
        next_loaded = max(end + 1, state.loaded + Controller.fetch)
        state.ready = state.loaded = next_loaded
        return start

    def _load_frame(self, state: _State) -> int:
        """Cycle from which a pass may use the next frame; its beats are taken before."""
        cycle = max(state.port_free, state.buffers_free.pop(0))
        for _ in range(self._beats):
            while any(update.writes(cycle) for update in state.updates):
                cycle += 1
            cycle += 1
        state.port_free = cycle
        return cycle

    def _room(self, state: _State, now: Instruction) -> int:
        """Cycle from which the output buffer has room for another frame."""
        lacking = 2 * now.units - self.image.design.output_depth
        if not state.updates or lacking <= 0:
            return 0
        return state.updates[-1].leaves(lacking - 1) + self.latencies.output + 1
