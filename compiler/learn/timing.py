"""Cycles of the learner; see :class:`hdl.core.learn.sequencer.LearnSequencer`."""

from __future__ import annotations

from ..array.latency import Latencies
from .commands import FACTOR_BITS, Update

__all__ = ["UPDATE", "update_cycles"]

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
