"""Cycles of many networks and arrays: each set of counts is scheduled once."""

from __future__ import annotations

from csb_format.model import Model
from csb_format.shape import ModelShape

from ..array.design import Design
from ..array.steps import Counts, counts
from ..lower.schedule import schedule
from .cycle_model import step_cycles

__all__ = ["SharedCycles"]


class SharedCycles:
    """Exact cycles of a step, as of :func:`.cycle_model.step_cycles`, by what they follow from.

    Bits, index widths, and banks that merge to the same groups are not among that, so a space of
    designs has far fewer counts than designs.
    """

    def __init__(self) -> None:
        self._known: dict[Counts, float] = {}

    def __call__(self, model: Model | ModelShape, design: Design, *, head: bool = False) -> float:
        """Cycles from frame to frame, steady state, of as many streams as there are contexts."""
        what = counts(model, design, head=head)
        if what not in self._known:
            plan = schedule(model, design, head=head)
            self._known[what] = step_cycles(plan, design.contexts)
        return self._known[what]

    def __len__(self) -> int:
        """How many were scheduled."""
        return len(self._known)
