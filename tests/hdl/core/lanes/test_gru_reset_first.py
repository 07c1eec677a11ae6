"""ResetFirstGruLane against its cell: passes of rows as close as they come, clips, loads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design, bits_for
from csb_format.cells.gru import ResetFirstGruCell
from hdl.core.lanes.gru_reset_first import ResetFirstGruLane

DESIGNS = [
    Design(1, 1, 1, 5, 10, 16, 3, 4, 9, 4, 4, 6, cell="gru0"),
    Design(4, 2, 2, 6, 24, 32, 3, 5, 16, 4, 8, 8, cell="gru0", contexts=2),
    Design(6, 2, 2, 3, 9, 8, 3, 3, 5, 2, 16, 16, cell="gru0", deep=True),
    Design(4, 4, 1, 3, 9, 8, 3, 70, 5, 2, 12, 18, cell="gru0", deep=True),
    Design(2, 2, 1, 6, 24, 32, 3, 5, 16, 4, 8, 8, cell="gru0", reach=8, wider=(16, 64)),
    Design(2, 2, 2, 3, 9, 8, 3, 5, 5, 2, 12, 12, cell="gru0", wider=(128,), deep=True),
    Design(4, 4, 4, 3, 9, 8, 3, 65, 5, 2, 12, 12, cell="gru0", deep=True, contexts=2),
]
R, Z, N = range(3)


class Scenario:
    """Rows for a lane, and what comes out of it with each."""

    def __init__(self, design: Design, seed: int):
        self.design, self.lane = design, ResetFirstGruLane(design)
        self.cell, self.rng = ResetFirstGruCell(design.act_bits), np.random.default_rng(seed)
        self.kept = np.zeros(design.state_depth, np.int64)
        self.cycles: list[dict[str, Any]] = []
        self.biases: list[list[int]] = []
        self.expected: dict[int, dict[str, int]] = {}

    def draw(self, bits: int, scale: int, size: int) -> list[int]:
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        reals = np.round(self.rng.normal(size=size) * 2.0**scale)
        found = np.clip(reals.astype(np.int64), low, high)
        end = self.rng.choice([low, high], size)
        return [int(v) for v in np.where(self.rng.random(size) < 0.1, end, found)]

    def row(
        self, kind: int, place: int, addr: int, zero: bool, shift: int, sums: Any, reach: int
    ) -> None:
        """One row of a pass."""
        held = [[7] for _ in range(self.design.units_per_slot)]
        held[place] = [sums[kind]]
        unit = {
            "valid": 1, "zero": int(zero), "select": place, "cell": addr, "shift": (shift,),
            "kind": kind,
        }  # fmt: skip
        unit |= {"reach": reach} if self.design.wider else {}
        self.cycles.append({"unit": unit, "sums": held})

    def step(self, cells: range, zero: bool, shift: int, gap: int) -> None:
        """All passes over some units; rows n follow those of z at once, behind a wait for r."""
        d, places, lanes = self.design, self.design.units_per_slot, len(cells)
        scale = min(d.acc_bits - 1, d.state.frac + shift)
        sums = [self.draw(d.acc_bits, scale, 3) for _ in range(lanes)]
        biases = [self.draw(d.state.width, d.state.frac, 3) for _ in range(lanes)]
        reach = int(self.rng.integers(len(d.reaches))) if d.wider else 0
        for kind in (R, Z, N):
            if kind == Z:
                self.gap(gap)
            for at, addr in enumerate(cells):
                self.row(kind, at % places, addr, zero, shift, sums[at], reach)
                self.biases.append(biases[at])
                if kind != Z:
                    self._expect(kind, addr, zero, sums[at], biases[at], shift, reach)

    def _expect(
        self,
        kind: int,
        addr: int,
        zero: bool,
        sums: Any,
        bias: list[int],
        shift: int,
        reach: int,
    ) -> None:
        cell = self.design.arithmetics[reach]
        each = zip(sums, bias, strict=True)
        pre = tuple(cell.preactivation(np.array(s), np.array(b), shift) for s, b in each)
        old, at = np.array(0 if zero else self.kept[addr]), len(self.cycles) - 1
        if kind == R:
            self.expected[at] = {"hidden": int(cell.reset(pre[0], old))}
            return
        h, new = cell.step(pre, old)
        self.kept[addr] = int(new)
        self.expected[at] = {"hidden": int(h), "cell": int(new)}

    def gap(self, cycles: int) -> None:
        for _ in range(cycles):
            self.cycles.append({})
            self.biases.append([0] * 3)

    def load(self, addr: int, value: int) -> None:
        self.kept[addr] = value
        self.cycles.append({"load": {"en": 1, "addr": addr, "data": value}})
        self.biases.append([0] * 3)

    def check(self, play: Any) -> None:
        delay, latency = ResetFirstGruLane.bias_delay, ResetFirstGruLane.latency(self.design)
        late = [[0] * 3] * delay + self.biases
        idle = {"valid": 0, "zero": 0, "select": 0, "cell": 0, "shift": (0,), "kind": 0}
        idle |= {"reach": 0} if self.design.wider else {}
        none = [[0]] * self.design.units_per_slot
        cycles = [
            {"unit": idle, "sums": none, "load": {"en": 0, "addr": 0, "data": 0}}
            | now
            | {"bias": bias}
            for now, bias in zip([*self.cycles, *[{}] * delay], late, strict=True)
        ]
        names = ["hidden", "cell"]
        seen = play(self.lane, cycles, names, extra=latency)
        got = {
            t: {name: dict(zip(names, seen[t + latency], strict=True))[name] for name in want}
            for t, want in self.expected.items()
        }
        assert got == self.expected


def cells(design: Design, context: int, first: int, count: int) -> range:
    at = (context << bits_for(design.cells)) + first
    return range(at, at + count)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: f"M{d.pes}-E{d.units}-a{d.act_bits}")
def test_passes_that_follow_each_other_at_once(design: Design, play: Any) -> None:
    """Of one unit n is dealt a cycle after z, as no pass is shorter; states of all contexts."""
    scenario = Scenario(design, design.act_bits)
    latency = ResetFirstGruLane.latency(design)
    for step in range(3):
        for context in range(design.contexts):
            scenario.step(cells(design, context, 0, 1), step == 0, 2 + step, latency)
            rest = cells(design, context, 1, design.cells - 1)
            scenario.step(rest, step == 0, 2 + step, latency if len(rest) < latency else 0)
        scenario.gap(latency)
    scenario.load(0, scenario.cell.kept.min)
    scenario.gap(3)
    scenario.step(range(1), False, 1, latency)
    scenario.check(play)


def test_what_is_clipped_is_told_with_the_row(play: Any) -> None:
    design = DESIGNS[1]
    lane, latency = ResetFirstGruLane(design), ResetFirstGruLane.latency(design)
    for kind, beyond in [(R, True), (Z, False), (N, True)]:
        total = 1 << design.acc_bits - 2 if beyond else 5
        unit = {"valid": 1, "zero": 1, "select": 0, "cell": 0, "shift": (0,), "kind": kind}
        cycle = {"unit": unit, "bias": [0] * 3, "sums": [[total], [0]]}
        seen = play(lane, [cycle], ["clipped"], extra=latency)
        told = [t for t, (clipped,) in enumerate(seen) if clipped]
        assert told == ([latency] if beyond else [])
