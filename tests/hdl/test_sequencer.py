"""UnitSequencer: which unit when and where, and the exact cycle in which a pass has ended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from csb_format.design import Design
from hdl.elementwise import ElementwiseLane
from hdl.hierarchy import Ram
from hdl.sequencer import UnitSequencer

WATCH = ["unit", "writeback", "finishing"]


class Scenario:
    """Passes of random length, and what the sequencer must put out in every cycle."""

    def __init__(self, design: Design, seed: int):
        self.design, self.rng = design, np.random.default_rng(seed)
        self.cycles: list[dict[str, Any]] = []
        self.units: dict[int, dict[str, int]] = {}
        self.homes: dict[int, dict[str, int]] = {}
        self.finishing: list[int] = []

    def run_pass(self, units: int, base: int, gaps: float) -> None:
        """All slots of a pass; then as long as it takes until the next pass may start."""
        per_slot = self.design.units_per_slot
        zero, shift = int(self.rng.integers(2)), self.rng.integers(64, size=4).tolist()
        update = {"zero": zero, "units": units, "base": base, "shift": shift}
        slots = -(-units // per_slot)
        for slot in range(slots):
            ends = {"slot_done": 1, "first_slot": slot == 0, "last_slot": slot == slots - 1}
            start = len(self.cycles)
            for i in range(per_slot):
                self.note_unit(start + i, slot * per_slot + i, i, update)
                pulses = {name: int(value and i == 0) for name, value in ends.items()}
                self.cycles.append({"update": update, **pulses})
            while slot < slots - 1 and self.rng.random() < gaps:
                self.cycles.append({"update": update})
        self.finishing.append(len(self.cycles) - 1 + UnitSequencer.finishing_delay)
        # a group issued after `finishing` has its row done no earlier than this
        self.cycles += [{"update": update}] * (UnitSequencer.finishing_delay + 3)

    def note_unit(self, at: int, n: int, select: int, update: dict[str, int]) -> None:
        turns = self.design.lanes // self.design.units
        if n >= update["units"]:
            return
        kept = {name: update[name] for name in ("zero", "shift")}
        self.units[at] = {"select": select, "addr": n, **kept}
        self.homes[at + ElementwiseLane.latency] = {
            "turn": n % turns,
            "addr": update["base"] | n // turns,
            "last": int(n == update["units"] - 1),
        }

    def check(self, play: Any) -> None:
        seen = play(UnitSequencer(self.design), self.cycles, WATCH, ElementwiseLane.latency)
        assert valid_ones([unit for unit, _, _ in seen], self.units) == self.units
        assert valid_ones([home for _, home, _ in seen], self.homes) == self.homes
        assert [t for t, (*_, finishing) in enumerate(seen) if finishing] == self.finishing


def valid_ones(records: list[Any], like: dict[int, dict[str, int]]) -> dict[int, dict[str, int]]:
    names = next(iter(like.values()))
    found = {t: record for t, record in enumerate(records) if record.valid}
    return {t: {name: record[name] for name in names} for t, record in found.items()}


@pytest.mark.parametrize("gaps", [0.0, 0.5])
def test_units_of_several_passes(play: Any, design: Design, gaps: float) -> None:
    scenario = Scenario(design, seed=1)
    turns = design.lanes // design.units
    for _ in range(6):
        most = min(design.cells, turns * design.vector_depth // 2)
        units = int(scenario.rng.integers(1, most + 1))
        scenario.run_pass(units, int(scenario.rng.integers(2)) * design.vector_depth // 2, gaps)
    scenario.check(play)


def test_units_beyond_the_pass_are_not_valid(play: Any) -> None:
    design = Design(16, 2, 1, 1, 4, 8, 4, 16, 16, 1, 8, 8)
    assert design.units_per_slot == 4
    scenario = Scenario(design, seed=2)
    scenario.run_pass(5, 0, gaps=0)  # the second slot deals one unit and three empty places
    assert len(scenario.units) == 5
    scenario.check(play)


def test_a_group_after_finishing_reads_just_after_the_last_write(play: Any, design: Design) -> None:
    scenario = Scenario(design, seed=3)
    units = design.units_per_slot  # the last place of the last slot is a real unit
    scenario.run_pass(units, 0, gaps=0)
    seen = play(UnitSequencer(design), scenario.cycles, WATCH, ElementwiseLane.latency)
    (finishing,) = (t for t, (*_, pulse) in enumerate(seen) if pulse)
    last_home = max(t for t, (_, home, _) in enumerate(seen) if home.valid)
    written = last_home + 1  # Core registers the write; groups see it in later cycles
    first_read = finishing + 1 + Ram.latency
    assert first_read == written + 1


def test_nothing_before_the_first_slot(play: Any, design: Design) -> None:
    update = {"units": design.cells, "base": 1, "shift": [3, 0, 63, 4]}
    for unit, home, finishing in play(UnitSequencer(design), [{"update": update}] * 40, WATCH):
        assert (unit.valid, home.valid, finishing) == (0, 0, 0)
