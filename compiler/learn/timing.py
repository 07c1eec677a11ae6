"""Cycles of the learner; see :class:`hdl.core.learn.sequencer.LearnSequencer`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..array.latency import Latencies
from ..lower.learning.masters import learning_passes
from ..lower.passes import HEAD, Pass
from ..lower.plan import Plan
from ..timing.cycle_model import step_cycles
from .commands import FACTOR_BITS, Back, Update
from .layout import GRADIENT_BITS, LearningLayout
from .transposed import back_cycles

__all__ = ["UPDATE", "BatchCycles", "batch_cycles", "update_cycles"]

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
        Words of load packets and sums of columns, between host and array.
    """

    frames: int
    forward: int
    back: int
    update: int
    loaded: int
    left: int

    @property
    def frame(self) -> float:
        """Cycles of the array for a frame."""
        return (self.forward + self.back + self.update) / self.frames

    @property
    def times(self) -> float:
        """How many times the forward's."""
        return (self.forward + self.back + self.update) / self.forward


def batch_cycles(
    plan: Plan, steps: int, sequences: int, bits: int = 8, place: int = 4
) -> BatchCycles:
    """Of a batch of sequences of the same length, whose last step is answered; all matrices move.

    Parameters
    ----------
    plan : Plan
        Of a design whose recurrent layers train.
    steps, sequences : int
    bits : int
        Of gradients of recurrent layers.
    place : int
        How far sums are shifted.
    """
    lanes = plan.design.lanes
    wide = -(-sequences // lanes) * lanes
    back = update = loaded = left = 0
    for given in learning_passes(plan):
        head = given.matrix == HEAD
        answers = wide * (1 if head else steps)
        at = LearningLayout(plan, answers, given, GRADIENT_BITS if head else bits)
        now = Update(at, place, 1 << 14, 0)
        update += update_cycles(now)
        loaded += len(_packets(at, _shares(plan, given))) + len(now.packet())
        products = _products(plan, given, steps) * (wide // lanes) * len(at.aligns)
        command = Back.of(at)
        back += products * back_cycles(plan.design, at.slots, at.groups, command.width)
        gradients = np.zeros((lanes, given.geometry.rows), np.int64)
        loaded += products * (len(at.back_packets(gradients)) + len(command.packets()))
        left += products * command.columns * lanes
    frames = steps * sequences
    forward = round(step_cycles(plan) * frames)
    return BatchCycles(frames, forward, back, update, loaded, left)


def _products(plan: Plan, given: Pass, steps: int) -> int:
    """Products W^T d of N sequences and a digit."""
    if given.matrix == HEAD:
        return 1
    if given.matrix == "weight_ih":
        return steps if given.layer else 0
    return steps - (given.matrix == "weight_hh")


def _shares(plan: Plan, given: Pass) -> bool:
    """Whether gradients of a matrix are there already, shifted alike: those of the input's."""
    if given.matrix != "weight_hh":
        return False
    layer = plan.shape.layers[given.layer]
    ih, hh = (
        [fixed.frac - formats[0].frac for fixed in formats]
        for formats in (layer.weight_ih_formats, layer.weight_hh_formats)
    )
    return ih == hh


def _packets(at: LearningLayout, shared: bool) -> list[int]:
    rows, columns = at.given.geometry.rows, at.given.geometry.columns
    tape = at.tape_packets(np.zeros((at.answers, columns), np.int64))
    dice = np.zeros(rows, np.int64)
    if shared:
        return tape + at.dice_packets(dice)
    return tape + at.gradient_packets(np.zeros((at.answers, rows), np.int64), dice)
