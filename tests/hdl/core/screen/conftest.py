"""Screen units, their heads and states, and a bench around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from compiler.array.screen.design import ScreenDesign
from compiler.lower.screen import screen_image
from compiler.timing.screen_cycles import ScreenCycles, Screened
from csb_format.fixed import IntArray
from csb_format.screening.adversaries import adversarial_head, adversarial_states
from csb_format.screening.layer import ScreenedLayer
from hdl.core.screen.unit import COUNTERS, ScreenUnit
from tests.screens import drawn_design

PERIOD = 1e-6


@dataclass(frozen=True)
class Case:
    """A unit, its head, and states for it."""

    design: ScreenDesign
    layer: ScreenedLayer
    states: IntArray

    @classmethod
    def drawn(cls, seed: int, **sizes: int) -> Case:
        """Ties, zeros and extremes in a unit of any widths."""
        rng = np.random.default_rng([23, seed])
        layer = ScreenedLayer.of(adversarial_head(rng, **sizes))
        if seed % 2:  # any order of rows
            layer = layer.after(np.random.default_rng(seed).permutation(layer.output_size)[::2])
        design = drawn_design(rng, layer)
        return cls(design, layer, adversarial_states(rng, layer, 3))

    def expected(self) -> list[Screened]:
        """By the cycle model."""
        return ScreenCycles(self.design, self.layer).run(self.states)


class Bench:
    """A unit in Amaranth's simulator, a source of states and a sink that may pause."""

    def __init__(self, case: Case, pauses: float = 0.0):
        self.case, self.pauses = case, pauses
        self.unit = self._unit()
        self.rng = np.random.default_rng(7)
        self.now = 0
        self.taken: list[int] = []  # cycles of the last beats of states
        self.results: list[tuple[list[tuple[int, int]], dict[str, int], int]] = []

    def _unit(self) -> Any:
        return ScreenUnit(self.case.design, screen_image(self.case.design, self.case.layer))

    def run(self) -> None:
        """All states; fails by a lack of results where it takes twice as long as it may."""
        limit = sum(w.cycles + self.case.design.beats for w in self.case.expected()) + 100
        simulator = Simulator(self.unit)
        simulator.add_clock(PERIOD)
        simulator.add_testbench(self._clock, background=True)
        simulator.add_testbench(self._source)
        simulator.add_testbench(self._sink)
        simulator.run_until(limit * PERIOD * (4 if self.pauses else 1))

    async def _pause(self, ctx: Any, signal: Any) -> None:
        while self.rng.random() < self.pauses:
            ctx.set(signal, 0)
            await ctx.tick()
        ctx.set(signal, 1)

    async def _source(self, ctx: Any) -> None:
        design, hidden = self.case.design, self.unit.hidden
        most = 1 << (design.act_bits - 1)
        padded = self.rng.integers(
            -most, most, (len(self.case.states), design.beats, design.elements)
        )
        flat = padded.reshape(len(padded), -1)
        flat[:, : design.columns] = self.case.states  # what lies behind the last column is noise
        for state in padded.tolist():
            for beat in state:
                await self._pause(ctx, hidden.valid)
                ctx.set(hidden.payload, beat)
                await ctx.tick().until(hidden.ready)
            self.taken.append(self.now)
        ctx.set(hidden.valid, 0)

    async def _sink(self, ctx: Any) -> None:
        largest = self.unit.largest
        for _ in self.case.states:
            pairs, last, counts = [], 0, dict[str, int]()
            while not last:
                await self._pause(ctx, largest.ready)
                payload, counts = (
                    await ctx.tick().sample(largest.payload, self.unit.counts).until(largest.valid)
                )
                last = payload.last
                pairs.append((payload.pair.index, payload.pair.logit))
            self.results.append((pairs, {n: counts[n] for n in COUNTERS}, self.now))

    async def _clock(self, ctx: Any) -> None:
        while True:
            await ctx.tick()
            self.now += 1


@pytest.fixture(scope="session")
def make_case() -> Any:
    """See :meth:`Case.drawn`."""
    return Case.drawn


@pytest.fixture(scope="session")
def make_bench() -> type[Bench]:
    """See :class:`Bench`."""
    return Bench
