"""Sequencer: which result when and where, and the exact cycle from which it may be read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design, bits_for
from compiler.array.latency import home_delay
from hdl.core.hierarchy import Ram
from hdl.core.lanes.lstm import ElementwiseLane
from hdl.core.lanes.projector import Projector
from hdl.core.sequencer import Sequencer

WATCH = ["deal", "select", "bias", "cell", "now", "writeback", "home"]
# lanes fewer than banks, as many, two and four times as many; results of a slot
TAKERS = {
    "units": ("units", ElementwiseLane.latency),
    "projectors": ("projectors", Projector.latency),
}
WIDE = [
    Design(8, 2, 1, 6, 24, 32, 4, 8, 16, 4, 8, 8, projectors=1),
    Design(8, 2, 2, 6, 24, 32, 4, 8, 16, 4, 8, 8, projectors=2),
    Design(16, 2, 1, 6, 24, 32, 4, 8, 16, 4, 8, 8, projectors=4),
    Design(16, 2, 2, 6, 24, 32, 4, 8, 16, 4, 8, 8, projectors=8),
    Design(16, 8, 4, 6, 24, 32, 4, 8, 16, 4, 8, 8, projectors=4),
]


class Scenario:
    """Passes of random length, and what the sequencer must put out in every cycle."""

    def __init__(self, design: Design, taker: str, seed: int):
        self.design, self.rng = design, np.random.default_rng(seed)
        name, latency = TAKERS[taker]
        self.latency: int = latency(design)
        self.lanes: int = getattr(design, name)
        self.beats = {"units": design.units_per_slot, "projectors": design.results_per_slot}[taker]
        self.block = Sequencer(design, self.lanes, self.beats, self.latency)
        self.cycles: list[dict[str, Any]] = []
        self.deals: dict[int, dict[str, Any]] = {}
        self.places: dict[int, dict[str, int]] = {}
        self.gates: dict[int, list[int]] = {}  # which PE has them

    def update(self, beats: int) -> dict[str, Any]:
        """A description of a pass with random fields."""
        rng, drawn = self.rng, {}
        for name in ("zero", "write", "emit", "final"):
            drawn[name] = int(rng.integers(2))
        region = 1 << bits_for(-(-beats * self.lanes // self.design.lanes))
        regions = max(1, self.design.vector_depth // region)
        return drawn | {
            "beats": beats,
            "base": int(rng.integers(regions)) * region,
            "bias": int(rng.integers(self.design.cells)),
            "cell": int(rng.integers(self.design.state_depth)),
            "shift": rng.integers(64, size=4).tolist(),
        }

    def run_pass(self, beats: int, gaps: float, early: bool = False) -> None:
        """All slots of a pass; ``early``: the next may begin when the last beat is dealt."""
        update = self.update(beats)
        slots = -(-beats // self.beats)
        for slot in range(slots):
            start, first = len(self.cycles), slot * self.beats
            dealt = min(self.beats, beats - first)
            for i in range(dealt):
                self.note(start + i, first + i, i, update)
            for i in range(dealt if early and slot == slots - 1 else self.beats):
                pulse = {"slot_done": int(i == 0), "first_slot": int(slot == 0 and i == 0)}
                self.cycles.append(pulse | {"update": update if i == 0 else self.update(1)})
            while self.rng.random() < gaps:
                self.cycles.append({"update": self.update(1)})

    def note(self, at: int, n: int, select: int, update: dict[str, Any]) -> None:
        """Beat ``n`` of a pass: the processing order in the banks."""
        place, bank = divmod(n * self.lanes, self.design.lanes)
        at += 1  # the deal is registered
        self.deals[at] = {"select": select} | update
        for name, shape in (("bias", self.block.bias), ("cell", self.block.cell)):
            self.deals[at][name] = (update[name] + n) & ((1 << len(shape)) - 1)
        last = int(bool(update["final"]) and n == update["beats"] - 1)
        self.places[at] = {
            "place": update["base"] | place,
            "turn": bank // self.lanes,
            "write": update["write"],
            "emit": update["emit"],
            "last": last,
        }

    def check(self, play: Any) -> None:
        seen = play(self.block, self.cycles, WATCH, self.latency + 3)
        home = home_delay(self.design, self.latency)
        dealt = {t: out for t, out in enumerate(seen) if out[0]}
        for t, (_, select, bias, cell, now, _, _) in dealt.items():
            told = {name: plain(now[name]) for name in self.deals[t] if name in now.shape().members}
            assert told | {"select": select, "bias": bias, "cell": cell} == self.deals[t], t
        assert list(dealt) == list(self.deals)
        homes = {t - self.latency: out[5] for t, out in enumerate(seen) if out[5].valid}
        found = {t: {name: at[name] for name in self.places[t]} for t, at in homes.items()}
        assert found == self.places
        assert [t for t, out in enumerate(seen) if out[6]] == [t + home for t in self.deals]


def plain(value: Any) -> Any:
    return value if isinstance(value, int) else list(value)


def takers(design: Design) -> list[str]:
    return ["units", "projectors"][: 1 + bool(design.projectors)]


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("gaps", [0.0, 0.5])
def test_beats_of_several_passes(play: Any, design: Design, gaps: float, early: bool) -> None:
    for taker in takers(design):
        scenario = Scenario(design, taker, seed=1)
        for _ in range(8):
            most = min(design.cells, design.lanes * design.vector_depth // scenario.lanes)
            scenario.run_pass(int(scenario.rng.integers(1, most + 1)), gaps, early)
        scenario.check(play)


class Collected(Scenario):
    """Blocks of units whose sums PEs keep: those of a round one after the other."""

    def run_rounds(self, beats: int, blocks: list[int]) -> None:
        """All rounds of a pass, so many blocks each; the next begins when the last is dealt."""
        update, first = self.update(beats), 0
        for n, most in enumerate(blocks):
            start = len(self.cycles)
            told = update | {"block": most - 1}
            dealt = min(most * self.beats, beats - first)
            for i in range(dealt):
                self.note(start + i, first + i, i % self.beats, told)
                places = [(gate * most + i // self.beats) % 4 for gate in range(4)]
                self.gates[start + i + 1] = places
            for i in range(dealt):
                pulse = {"slot_done": int(i == 0), "first_slot": int(n == 0 and i == 0)}
                self.cycles.append(pulse | {"update": told if i == 0 else self.update(1)})
            first += most * self.beats


@pytest.mark.parametrize("pes", [16, 32])
def test_blocks_of_units(play: Any, pes: int) -> None:
    """Beats of each block, and which of four PEs has each of its gates."""
    design = Design(pes, 4, 2, 6, 24, 32, 8, 64, 64, 4, 8, 8, by_gate=True)
    scenario = Collected(design, "units", seed=4)
    latency = ElementwiseLane.latency(design)
    scenario.block = Sequencer(design, 2, design.units_per_slot, latency, collects=True)
    for blocks in ([4, 4], [1, 4], [2], [3, 4, 4], [1], [2, 4]):
        beats = sum(blocks) * scenario.beats - int(scenario.rng.integers(scenario.beats))
        scenario.run_rounds(beats, blocks)
    seen = play(scenario.block, scenario.cycles, ["deal", "places"], latency)
    found = {t: list(places) for t, (deal, places) in enumerate(seen) if deal}
    assert found == scenario.gates
    scenario.check(play)


@pytest.mark.parametrize("design", WIDE, ids=lambda d: f"{d.projectors}-to-{d.lanes}")
@pytest.mark.parametrize("taker", TAKERS)
def test_lanes_fewer_and_more_than_banks(play: Any, design: Design, taker: str) -> None:
    scenario = Scenario(design, taker, seed=2)
    for beats in (1, scenario.beats, 2 * scenario.beats - 1, 8, 3):
        scenario.run_pass(min(beats, 32 * design.lanes // scenario.lanes), gaps=0.2)
    assert len({place["turn"] for place in scenario.places.values()}) == max(
        1, design.lanes // scenario.lanes
    )
    scenario.check(play)


def test_beats_beyond_the_pass_are_not_dealt(play: Any) -> None:
    design = Design(16, 2, 1, 1, 4, 8, 4, 16, 16, 1, 8, 8)
    scenario = Scenario(design, "units", seed=2)
    scenario.run_pass(5, gaps=0)  # the second slot deals one unit and has three empty places
    assert (scenario.beats, len(scenario.deals)) == (4, 5)
    scenario.check(play)


@pytest.mark.parametrize("taker", TAKERS)
def test_a_group_after_home_reads_just_after_the_write(play: Any, taker: str) -> None:
    scenario = Scenario(WIDE[0], taker, seed=3)
    scenario.run_pass(1, gaps=0)
    seen = play(scenario.block, scenario.cycles, WATCH, scenario.latency + 3)
    (home,) = (t for t, out in enumerate(seen) if out[6])
    (written,) = (t + 1 for t, out in enumerate(seen) if out[5].valid)  # Core registers it
    first_read = home + 1 + Ram.latency
    assert first_read == written + 1  # a PE's group sees writes of earlier cycles


def test_nothing_before_the_first_slot(play: Any, design: Design) -> None:
    update = {"beats": design.cells, "base": 1, "shift": [3, 0, 63, 4]}
    for taker in takers(design):
        block = Scenario(design, taker, seed=1).block
        for deal, *_, writeback, home in play(block, [{"update": update}] * 40, WATCH):
            assert (deal, writeback.valid, home) == (0, 0, 0)
