"""GruLane against its cell: rows of slots as short as one cycle, clips, loads, extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design
from csb_format.cells.gru import GruCell
from csb_format.fixed import round_shift, saturate
from hdl.core.lanes.gru import GruLane

DESIGNS = [
    Design(1, 1, 1, 5, 10, 16, 3, 4, 9, 4, 4, 6, cell="gru"),
    Design(4, 2, 2, 6, 24, 32, 3, 5, 16, 4, 8, 8, cell="gru", contexts=2),
    Design(6, 2, 2, 3, 9, 8, 3, 3, 5, 2, 16, 16, cell="gru", deep=True),
    Design(4, 4, 1, 3, 9, 8, 3, 70, 5, 2, 12, 18, cell="gru", deep=True),
    Design(2, 2, 1, 6, 24, 32, 3, 5, 16, 4, 8, 8, cell="gru", reach=8, wider=(16, 64)),
    Design(2, 2, 2, 3, 9, 8, 3, 5, 5, 2, 12, 12, cell="gru", wider=(128,), deep=True),
]


class Scenario:
    """Slots of rows for a lane, and the new state of each unit with its last row."""

    def __init__(self, design: Design, seed: int):
        self.design, self.lane = design, GruLane(design)
        self.cell, self.rng = GruCell(design.act_bits), np.random.default_rng(seed)
        self.kept = np.zeros(design.state_depth, np.int64)
        self.cycles: list[dict[str, Any]] = []
        self.biases: list[list[int]] = []
        self.expected: dict[int, tuple[int, int]] = {}

    def draw(self, bits: int, scale: int, size: int) -> list[int]:
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        reals = np.round(self.rng.normal(size=size) * 2.0**scale)
        found = np.clip(reals.astype(np.int64), low, high)
        end = self.rng.choice([low, high], size)
        return [int(v) for v in np.where(self.rng.random(size) < 0.1, end, found)]

    def round(self, first: int, zero: bool, swapped: bool, shift: int) -> None:
        """Three slots of the units from a place on, each of ``units_per_slot`` rows."""
        d, places = self.design, self.design.units_per_slot
        shifts = tuple((shift + 3 * n) % 12 for n in range(4))
        scale = min(d.acc_bits - 1, d.state.frac + shift)
        sums = [[self.draw(d.acc_bits, scale, 4) for _ in range(places)]]
        biases = [self.draw(d.state.width, d.state.frac, 4) for _ in range(places)]
        reach = int(self.rng.integers(len(d.reaches))) if d.wider else 0
        for turn in range(3):
            for place in range(places):
                addr = (first + place) % d.state_depth
                r, z, nx, nh = sums[0][place]
                shown = [[r, 7], [z, 9], [nx, nh] if swapped else [nh, nx]][turn]
                held = [[0, 0] for _ in range(places)]
                held[place] = shown
                unit = {
                    "valid": 1, "zero": int(zero), "select": place, "cell": addr,
                    "shift": shifts, "turn": turn, "ready": int(turn == 2),
                    "swapped": int(swapped),
                }  # fmt: skip
                unit |= {"reach": reach} if d.wider else {}
                if turn == 2:
                    self._expect(addr, zero, (r, z, nx, nh), biases[place], shifts, reach)
                self.cycles.append({"unit": unit, "sums": held})
                self.biases.append(biases[place])

    def _expect(
        self, addr: int, zero: bool, sums: Any, bias: list[int], shifts: Any, reach: int
    ) -> None:
        cell = self.design.arithmetics[reach]
        each = zip(sums, bias, shifts, strict=True)
        pre = tuple(cell.preactivation(np.array(s), np.array(b), n) for s, b, n in each)
        h, new = cell.step(pre, np.array(0 if zero else self.kept[addr]))
        self.kept[addr] = int(new)
        self.expected[len(self.cycles)] = int(h), int(new)

    def gap(self, cycles: int) -> None:
        for _ in range(cycles):
            self.cycles.append({})
            self.biases.append([0] * 4)

    def load(self, addr: int, value: int) -> None:
        self.kept[addr] = value
        self.cycles.append({"load": {"en": 1, "addr": addr, "data": value}})
        self.biases.append([0] * 4)

    def check(self, play: Any) -> None:
        delay, latency = GruLane.bias_delay, GruLane.latency(self.design)
        late = [[0] * 4] * delay + self.biases
        zero = {"valid": 0, "zero": 0, "select": 0, "cell": 0, "shift": (0,) * 4}
        idle = zero | {"turn": 0, "ready": 0, "swapped": 0}
        idle |= {"reach": 0} if self.design.wider else {}
        none = [[0, 0]] * self.design.units_per_slot
        cycles = [
            {"unit": idle, "sums": none, "load": {"en": 0, "addr": 0, "data": 0}}
            | now
            | {"bias": bias}
            for now, bias in zip([*self.cycles, *[{}] * delay], late, strict=True)
        ]
        seen = play(self.lane, cycles, ["hidden", "cell"], extra=latency)
        assert {t: seen[t + latency] for t in self.expected} == self.expected


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: f"M{d.pes}-E{d.units}-a{d.act_bits}")
def test_rows_of_slots_that_follow_each_other_at_once(design: Design, play: Any) -> None:
    """Back to back: r is dealt as few cycles before n as there can be."""
    scenario = Scenario(design, design.act_bits)
    latency = GruLane.latency(design)
    for step in range(3):
        for first in range(0, design.cells - design.units_per_slot + 1, design.units_per_slot):
            scenario.round(first, step == 0, bool(step % 2), 2 + step)
        scenario.gap(latency)
    value = scenario.cell.kept.min
    scenario.load(0, value)
    scenario.gap(3)
    scenario.round(0, False, False, 1)
    scenario.check(play)


def test_what_is_clipped_is_told_with_the_row(play: Any) -> None:
    design = DESIGNS[1]
    cell, lane, latency = GruCell(8), GruLane(design), GruLane.latency(design)
    for turn, beyond in [(0, True), (1, False), (2, True)]:
        total = 1 << design.acc_bits - 2 if beyond else 5
        unit = {
            "valid": 1, "zero": 1, "select": 0, "cell": 0, "shift": (0,) * 4,
            "turn": turn, "ready": int(turn == 2), "swapped": 0,
        }  # fmt: skip
        cycle = {"unit": unit, "bias": [0] * 4, "sums": [[total, 0], [0, 0]]}
        seen = play(lane, [cycle], ["clipped"], extra=latency)
        told = [t for t, (clipped,) in enumerate(seen) if clipped]
        assert told == ([latency] if beyond else [])
    exact = round_shift(np.array(1 << design.acc_bits - 2), 0)
    assert saturate(exact, cell.state.width) != exact
