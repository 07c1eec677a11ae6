"""What a screen unit does for given hidden states, to the cycle: rows, words, cycles, results.

Cycles depend on data: what is read follows from bounds that are compared with the k-th largest
exact logit **as the unit knows it in that cycle**. So stages are followed cycle by cycle; bounds
and logits are those of :class:`~csb_format.screening.layer.ScreenedLayer`. The k-th largest is
known later than in :func:`engine.screened.top`, which has no pipeline, and bounds are compared
again when a row leaves a queue: more or fewer rows are read than there, the result is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from csb_format.fixed import IntArray
from csb_format.screening.bounds import FRACTION, query_of
from csb_format.screening.layer import ScreenedLayer

from ..array.screen.bus import ScreenBus, bus_of
from ..array.screen.design import ScreenDesign
from ..array.screen.latency import ScreenLatencies
from ..lower.plan import Plan
from ..lower.screen import check_fits
from .cycle_model import CycleModel
from .screen_stages import FetchedStages, Stages

__all__ = ["ScreenCycles", "Screened", "ScreenedSchedule"]

StagesT = TypeVar("StagesT", bound=Stages)


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
        Planes come over it, as in :class:`hdl.core.screen.fetched.unit.FetchedScreen`, instead of
        from memories of the unit. To the cycle for a memory that takes every address at once and
        has exactly this latency. By default what :func:`~compiler.array.screen.bus.bus_of` says.

    Raises
    ------
    ValueError
        For a head that the unit was not made for.
    """

    def __init__(self, design: ScreenDesign, layer: ScreenedLayer, bus: ScreenBus | None = None):
        check_fits(design, layer)
        self.design, self.layer, self.bus = design, layer, bus or bus_of(design)
        self.latencies = ScreenLatencies(design)

    def run(self, hidden: IntArray) -> list[Screened]:
        """Each of some hidden states (T, H), in the layer's ``input`` format."""
        logits = self.layer.logits(hidden)[:, self.layer.order]
        return [self._one(h, row) for h, row in zip(hidden, logits, strict=True)]

    def _one(self, hidden: IntArray, logits: IntArray) -> Screened:
        kind = partial(FetchedStages, bus=self.bus) if self.bus else Stages
        stages = self.staged(kind, np.asarray(hidden, np.int64), logits)
        run = stages.run()
        return Screened(
            tuple(output for _, output in stages.best),
            tuple(-key for key, _ in stages.best),
            **stages.counts,
            words=self.words(stages.counts),
            run=run + 1,
            cycles=self.latencies.prepare + run + self.design.top,
        )

    def staged(self, kind: Callable[..., StagesT], hidden: IntArray, logits: IntArray) -> StagesT:
        """The stages before a state; logits (O,) in the order of the rows."""
        query, layer = query_of(hidden), self.layer
        each = layer.blocks.bounds(query.norm), layer.first_bounds(query)
        bounds = [(b >> FRACTION).tolist() for b in (*each, layer.second_bounds(query))]
        given = bounds, logits.tolist(), layer.order.tolist()
        return kind(self.design, self.latencies, *given)

    def words(self, counts: dict[str, int]) -> int:
        """Words of planes that rows which went so far have read."""
        design = self.design
        words = counts["first"] * design.groups
        return words + (counts["second"] + 2 * counts["exact"]) * design.words


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
