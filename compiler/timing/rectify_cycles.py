"""What a unit behind a ReLU does for given hidden states, to the cycle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csb_format.fixed import IntArray
from csb_format.heads.mlp import MlpHead

from ..array.screen.rectify import STORED, RectifyDesign, planes_of
from .screen_cycles import ScreenCycles
from .screen_stages import Stages

__all__ = ["RectifiedState", "RectifyCycles"]


@dataclass(frozen=True)
class RectifiedState:
    """One hidden state through the unit.

    Parameters
    ----------
    activations : tuple of int
        Of all outputs.
    blocks, first, second, exact, words, run : int
        As of :class:`~compiler.timing.screen_cycles.Screened`.
    cycles : int
        From the last beat of the state to the last activation, if these are always taken.
    """

    activations: tuple[int, ...]
    blocks: int
    first: int
    second: int
    exact: int
    words: int
    run: int
    cycles: int


class _Rectifying(Stages):
    """Nothing changes what rows are compared with; a sum is stored, not listed."""

    def list_next(self, now: int) -> None:
        if self.listing and self.listing[0] == now:
            self.listing = None
        if self.exact and self.exact[0][0] == now:
            self.listing = now + STORED, self.exact.popleft()[1]


class RectifyCycles(ScreenCycles):
    """Predicts a unit behind a ReLU exactly, for given data.

    Which rows are read does not depend on the pipeline: they are those of
    :func:`engine.rectified.rectified`.

    Parameters
    ----------
    design : RectifyDesign
    head : MlpHead
        Whose first layer the unit's memories hold.

    Raises
    ------
    DesignError
        For a first layer without planes.
    ValueError
        For a head that the unit was not made for.
    """

    def __init__(self, design: RectifyDesign, head: MlpHead):
        super().__init__(design, planes_of(head))
        if head.rectifiers[0] != design.rectifier:
            raise ValueError(
                f"{head.rectifiers[0]} behind the first layer, and {design.rectifier} behind the "
                "unit: make a unit for this head"
            )
        self.rectify, self.head = design, head

    def states(self, hidden: IntArray) -> list[RectifiedState]:
        """Each of some hidden states (T, H), in the layer's ``input`` format."""
        sums = self.layer.logits(hidden)
        found = self.rectify.rectifier.of(sums)
        rows = zip(np.asarray(hidden, np.int64), sums[:, self.layer.order], found, strict=True)
        return [self._state(*row) for row in rows]

    def _state(self, hidden: IntArray, sums: IntArray, found: IntArray) -> RectifiedState:
        stages = self.staged(_Rectifying, hidden, sums)
        stages.tau = self.rectify.rectifier.least
        run = stages.run()
        cycles = self.latencies.prepare + run + self.design.rows
        counts = stages.counts
        return RectifiedState(
            tuple(found.tolist()), **counts, words=self.words(counts), run=run + 1, cycles=cycles
        )
