"""Cycles of the learner; see :class:`hdl.core.learn.sequencer.LearnSequencer`."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..abi.states import frame_words
from ..abi.wire import sum_packing
from ..array.latency import Latencies
from ..lower.learning.masters import layer_of, learning_passes
from ..lower.passes import HEAD, Pass
from ..lower.plan import Plan
from ..timing.cycle_model import step_cycles
from .commands import FACTOR_BITS, Back, Update
from .layout import GRADIENT_BITS, LearningLayout
from .transposed import back_cycles, turns_of

__all__ = ["UPDATE", "BatchCycles", "batch_cycles", "update_cycles"]

PORT_BITS = 32  # of the streams of a board
HEADER = 1  # word of a packet on `s_axis`
UPDATE = FACTOR_BITS + 3  # from a sum to the next one, besides shifts: rate, saturation, rounding


def update_cycles(update: Update) -> int:
    """Cycles in which the learner is busy with an update.

    A weight's sum is gathered while the weight before it moves; a word is stored when its last
    weight has moved.
    """
    at, shifts = update.layout, abs(update.place)
    gather = at.terms + Latencies(at.design).row
    moves = UPDATE + shifts
    word = gather + (at.design.lanes - 1) * max(gather, moves) + moves + 1
    return at.slots * (1 + at.groups * word)


@dataclass(frozen=True)
class BatchCycles:
    """Cycles in which the array works on a batch, and words that it is told meanwhile.

    Parameters
    ----------
    frames : int
        Of all sequences.
    forward, back, update : int
        Cycles: states and logits; products W^T d; sums of gradients times inputs and moves.
    loaded, left : int
        Words of packets of loads, a word a cycle, and sums of columns, between host and array.
    states, sums : int
        Words of ``PORT_BITS`` in which states, logits and those sums leave, one a cycle.
    drains : int
        Cycles of ``back`` in which sums leave.
    """

    frames: int
    forward: int
    back: int
    update: int
    loaded: int
    left: int
    states: int
    sums: int
    drains: int

    @property
    def frame(self) -> float:
        """Cycles of the array for a frame."""
        return self.array / self.frames

    @property
    def array(self) -> int:
        """Cycles in which the array works, if everything is there at once."""
        return self.forward + self.back + self.update

    @property
    def port(self) -> int:
        """Cycles in which words pass: load packets, states and sums, one a cycle."""
        return self.loaded + self.states + self.sums

    @property
    def whole(self) -> int:
        """Cycles from the first word to the end of the last update, if the host takes none.

        States leave while frames are worked on, sums while columns do. Packets are not taken while
        the array works.
        """
        forward, late = max(self.forward, self.states), max(0, self.sums - self.drains)
        return forward + self.loaded + self.back + late + self.update

    @property
    def hidden(self) -> int:
        """Cycles of transfers behind which the array works."""
        return self.array + self.port - self.whole

    @property
    def times(self) -> float:
        """How many times the forward's."""
        return self.array / self.forward


def batch_cycles(
    plan: Plan, steps: int, sequences: int, bits: int = 8, place: int = 4, mode: str = "all"
) -> BatchCycles:
    """Of a batch of sequences of the same length, whose last step is answered.

    Parameters
    ----------
    plan : Plan
        Of a design whose recurrent layers train.
    steps, sequences : int
    bits : int
        Of gradients of recurrent layers.
    place : int
        How far sums are shifted.
    mode : {"all", "recurrent", "head"}
        Which matrices move.
    """
    design, lanes = plan.design, plan.design.lanes
    back = update = loaded = left = 0
    for given in learning_passes(plan):
        if mode == "head" and given.matrix != HEAD:
            continue
        one = _Matrix(plan, given, steps, -(-sequences // lanes), bits)
        now, command = Update(one.layout, place, 1 << 14, 0), Back.of(one.layout)
        products = one.products if mode != "head" else 0
        if mode != "recurrent" or not one.head:
            update += update_cycles(now)
            loaded += HEADER + one.loaded + len(now.packet())
        back += products * back_cycles(design, command.slots, now.layout.groups, command.width)
        loaded += (one.brought if products else 0) + products * (HEADER + len(command.packets()))
        left += products * command.columns * lanes
    frames = steps * sequences
    forward = round(step_cycles(plan) * frames)
    states = frames * sum(frame_words(design, part, PORT_BITS) for part in plan.parts)
    drains = left // lanes * turns_of(design)
    sums = drains * sum_packing(design, PORT_BITS).beats
    return BatchCycles(frames, forward, back, update, loaded, left, states, sums, drains)


@dataclass(frozen=True)
class _Matrix:
    """A matrix in a batch: ``groups`` of N sequences, ``steps`` long."""

    plan: Plan
    given: Pass
    steps: int
    groups: int
    bits: int

    @property
    def head(self) -> bool:
        return self.given.matrix == HEAD

    @cached_property
    def layout(self) -> LearningLayout:
        answers = self.groups * self.plan.design.lanes * (1 if self.head else self.steps)
        return LearningLayout(
            self.plan, answers, self.given, GRADIENT_BITS if self.head else self.bits
        )

    @property
    def _lowest(self) -> bool:
        """Whether it reads the frames."""
        level = layer_of(self.plan, self.given) // self.plan.shape.directions
        return self.given.matrix == "weight_ih" and not level

    @property
    def products(self) -> int:
        """Products W^T d of N sequences and a digit."""
        steps = 1 if self.head else self.steps
        if self._lowest:
            steps = 0
        at = self.layout
        formats = len(np.unique(at.fracs)) if at.in_turn and not at.marks_rows else 1
        steps -= self.given.matrix == "weight_hh"
        return steps * self.groups * len(at.aligns) * formats

    @property
    def loaded(self) -> int:
        """Words of load packets for the update, but for commands."""
        at, rows = self.layout, self.given.geometry.rows
        zeros, dice = np.zeros((at.answers, rows), np.int64), np.zeros(rows, np.int64)
        tape = at.tape_packets(np.zeros((at.answers, self.given.geometry.columns), np.int64))
        return len(tape) + len(at.gradient_packets(zeros, dice, None, self._there))

    @property
    def brought(self) -> int:
        """Words of load packets of gradients for all products."""
        at, given, steps = self.layout, self.given, self.steps
        few = np.zeros((self.plan.design.lanes, given.geometry.rows), np.int64)
        if self.head or given.matrix == "weight_hr" or (at.in_turn and not at.marks_rows):
            return self.products * len(at.back_packets(few))
        chunks = steps - 1
        if given.matrix == "weight_ih":  # of the first step alone: others lie there
            chunks = steps if self._apart else 1
        return self.groups * chunks * len(at.chunk_packets(0, few, 0))

    @property
    def _apart(self) -> bool:
        """Whether both matrices of a layer have gradients of their own."""
        return bool(self.plan.design.arithmetic.apart)

    @property
    def _there(self) -> Container[int]:
        """Chunks of gradients that the update finds: what W^T d has read, or the other matrix."""
        if self.layout.in_turn and not self.layout.marks_rows:
            return ()
        first = "weight_hh" if self._apart else "weight_ih"
        if self.given.matrix == first and self._last:
            return range(self.groups, self.layout.chunks)
        if self.given.matrix == "weight_hh" and not self._apart:
            return range(self.layout.chunks)
        return ()

    @property
    def _last(self) -> bool:
        """Whether its layer goes back last, and nothing is brought before its update."""
        return layer_of(self.plan, self.given) == self.plan.shape.directions - 1
