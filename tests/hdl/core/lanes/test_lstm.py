"""ElementwiseLane against its model: steps with cell memory, every shift, clips, extremes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design
from csb_format import IntArray, round_shift, saturate
from csb_format.cells.lstm import CellArithmetic, Gates
from hdl.core.lanes.lstm import ElementwiseLane


class Scenario:
    """Cycles for a lane, and the new state of each of their units."""

    def __init__(self, design: Design, seed: int):
        self.design, self.lane = design, ElementwiseLane(design)
        self.rng = np.random.default_rng(seed)
        self.cells = np.zeros(design.state_depth, np.int64)
        self.controls: list[dict[str, Any]] = []
        self.loads: dict[int, dict[str, int]] = {}
        self.biases: list[list[int]] = []
        self.sums: list[list[list[int]]] = []
        self.expected: dict[int, tuple[int, int, int]] = {}

    def draw(self, bits: int, scale: int, size: tuple[int, ...]) -> Any:
        """Numbers of all magnitudes up to ``2**scale``, some at the ends of ``bits`` bits."""
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        reals = self.rng.normal(size=size) * 2.0**scale
        numbers = np.clip(np.round(reals).astype(np.int64), low, high)
        end = self.rng.choice([low, high], size)
        return np.where(self.rng.random(size) < 0.05, end, numbers)

    def cycle(self, valid: bool, addr: int, zero: bool, shift: int, sums: Any = None) -> None:
        """One unit; random sums and biases unless sums are given, then no bias."""
        d, rng = self.design, self.rng
        # no two gates shift alike, so that none can take another's
        shifts = (shift, (shift + 3) % 64, (shift + 6) % 64, (shift + 9) % 64)
        frac = min(d.acc_bits - 1, d.state.frac + shift + int(rng.integers(-1, 4)))
        bias = np.zeros(4, np.int64)
        if sums is None:
            sums = self.draw(d.acc_bits, frac, (d.units_per_slot, *[4] * d.collects, 4))
            bias = self.draw(d.state.width, d.state.frac, (4,))
        reach = int(rng.integers(len(d.reaches))) if d.wider else 0
        select, places = int(rng.integers(d.units_per_slot)), rng.integers(4, size=4)
        if valid:
            old = np.asarray(0 if zero else self.cells[addr], np.int64)
            # where PEs keep the sums of a unit, each gate's is with one of four
            taken = sums[select][places, np.arange(4)] if d.collects else sums[select]
            given = (_four(taken), _four(bias), shifts, old, reach)
            h, c = self.lane.model(*given)
            self.cells[addr] = c
            self.expected[len(self.controls)] = (int(h), int(c), clips(self.lane, *given))
        control: dict[str, Any] = {
            "valid": valid,
            "select": select,
            "cell": addr,
            "zero": zero,
            "shift": shifts,
            **({"reach": reach} if d.wider else {}),
            **({"places": tuple(places.tolist())} if d.collects else {}),
        }
        self.controls.append(
            {name: v if isinstance(v, tuple) else int(v) for name, v in control.items()}
        )
        self.biases.append(bias.tolist())
        self.sums.append(sums.tolist())

    def gap(self) -> None:
        """A cycle whose unit is not valid, and must leave the cells alone."""
        self.cycle(False, int(self.rng.integers(self.design.state_depth)), False, 3)

    def step(self, zero: bool, shift: int) -> None:
        """Every cell once, in random order with gaps; then the pipeline runs empty."""
        for addr in self.rng.permutation(self.design.state_depth):
            while self.rng.random() < 0.25:
                self.gap()
            self.cycle(True, int(addr), zero, shift)
        for _ in range(ElementwiseLane.latency(self.design)):
            self.gap()

    def load(self, addr: int, value: int) -> None:
        """A cell state from outside."""
        self.loads[len(self.controls)] = {"en": 1, "addr": addr, "data": value}
        self.cells[addr] = value
        self.gap()

    def check(self, play: Any) -> None:
        delay = ElementwiseLane.bias_delay
        biases = [[0] * 4] * delay + self.biases[:-delay]
        cycles = [
            {"unit": unit, "bias": bias, "sums": sums}
            for unit, bias, sums in zip(self.controls, biases, self.sums, strict=True)
        ]
        for t, load in self.loads.items():
            cycles[t]["load"] = load
        watch = ["hidden", "cell", "clipped"]
        latency = ElementwiseLane.latency(self.design)
        seen = play(self.lane, cycles, watch, extra=latency)
        found = {t: seen[t + latency] for t in self.expected}
        assert found == self.expected
        quiet = [clip for t, (*_, clip) in enumerate(seen) if t - latency not in found]
        assert not any(quiet)


def clips(
    lane: ElementwiseLane, sums: Gates, bias: Gates, shift: Any, c: IntArray, reach: int
) -> int:
    """Whether a pre-activation, the cell state or the hidden state does not fit."""
    arithmetic = lane.design.arithmetics[reach]
    assert isinstance(arithmetic, CellArithmetic)
    gate, state = arithmetic.gate, arithmetic.state
    exact = [round_shift(s, n) + b for s, b, n in zip(sums, bias, shift, strict=True)]
    pre = [saturate(value, state.width) for value in exact]
    i, f, g, o = arithmetic.gates(_four(pre))
    lift = gate.frac - state.frac
    cell = round_shift((f * c << lift) + i * g, gate.frac + lift)
    kept = saturate(cell, state.width)
    hidden = round_shift(o * arithmetic.piecewise.tanh(kept), gate.frac)
    lost = [a != b for a, b in zip(exact, pre, strict=True)]
    return int(any(lost) or cell != kept or hidden != saturate(hidden, gate.width))


def _four(values: Any) -> Gates:
    i, f, g, o = np.asarray(values, np.int64)
    return i, f, g, o


def test_steps_follow_the_model(play: Any, design: Design) -> None:
    scenario = Scenario(design, seed=1)
    middle = design.value_bits  # about what a program asks for
    for step in range(8):
        scenario.step(zero=step in (0, 5), shift=middle)
    scenario.check(play)


def test_each_gate_comes_from_a_pe_of_its_own(play: Any) -> None:
    design = Design(16, 4, 2, 5, 12, 24, 3, 6, 12, 3, 12, 12, by_gate=True)
    scenario = Scenario(design, seed=3)
    for step in range(4):
        scenario.step(zero=step == 0, shift=design.value_bits)
    scenario.check(play)


@pytest.mark.parametrize("reach", [8, 128])
def test_states_reach_as_far_as_the_design_says(play: Any, design: Design, reach: int) -> None:
    scenario = Scenario(replace(design, act_bits=12, reach=reach), seed=7)
    for step in range(3):
        scenario.step(zero=step == 0, shift=design.value_bits)
    scenario.check(play)


@pytest.mark.quick(4)
@pytest.mark.parametrize("reaches", [(8, 16), (16, 32, 128), (8, 128)])
def test_each_unit_has_the_reach_of_its_layer(
    play: Any, design: Design, reaches: tuple[int, ...]
) -> None:
    """Neighbours on the pipeline have others."""
    bits = max(9, design.act_bits)
    design = replace(design, act_bits=bits, reach=reaches[0], wider=reaches[1:])
    scenario = Scenario(design, seed=9)
    for step in range(2):
        scenario.step(zero=step == 0, shift=design.value_bits)
    scenario.check(play)
    assert sum(clip for *_, clip in scenario.expected.values())


@pytest.mark.quick(6)
@pytest.mark.parametrize("shifts", [range(0, 20), range(20, 41), (47, 55, 63)])
def test_every_shift(play: Any, design: Design, shifts: range) -> None:
    scenario = Scenario(design, seed=2)
    for i, shift in enumerate(shifts):
        scenario.step(zero=i == 0, shift=shift)
    scenario.check(play)


def test_hidden_and_cell_reach_both_ends(play: Any) -> None:
    design = Design(4, 1, 1, 1, 1, 4, 1, 2, 2, 1, 8, 8)
    scenario = Scenario(design, seed=3)
    low, high = -(1 << design.acc_bits - 1), (1 << design.acc_bits - 1) - 1
    for _ in range(40):  # every gate fully open: c moves by almost one a step, to both ends
        for addr, g in enumerate((low, high)):
            scenario.cycle(True, addr, False, 0, np.array([[high, high, g, high]]))
        for _ in range(ElementwiseLane.latency(design)):
            scenario.gap()
    states = np.array([scenario.expected[t] for t in sorted(scenario.expected)])
    gate, state = design.gate, design.state
    assert states[:, 1].max() == state.max
    assert states[:, 1].min() < state.min + 20
    assert states[:, 0].max() >= gate.max - 1
    assert states[:, 0].min() <= -gate.max + 1
    scenario.check(play)


def test_state_appears_after_the_latency(play: Any, design: Design) -> None:
    high = (1 << design.acc_bits - 1) - 1
    busy = {"unit": {"valid": 1, "zero": 1}, "sums": [[high] * 4] * design.units_per_slot}
    quiet = {"unit": {"zero": 1}, "sums": [[0] * 4] * design.units_per_slot}
    cycles = [quiet] * 30 + [busy] + [quiet] * 30
    seen = play(ElementwiseLane(design), cycles, ["hidden", "cell"])
    changed = [t for t, (hidden, cell) in enumerate(seen) if (hidden, cell) != (0, 0)]
    assert changed == [30 + ElementwiseLane.latency(design)]


def test_given_states_take_the_place_of_those_before(play: Any, design: Design) -> None:
    scenario = Scenario(design, seed=4)
    for zero in (False, True, False):
        for addr in scenario.rng.permutation(design.state_depth):
            value = int(scenario.draw(design.state.width, design.state.frac + 2, (1,))[0])
            scenario.load(int(addr), value)
        scenario.step(zero=zero, shift=design.value_bits)
    scenario.check(play)


def test_some_units_are_clipped_and_some_are_not(play: Any, design: Design) -> None:
    scenario = Scenario(design, seed=5)
    for shift in (design.value_bits, 0):
        scenario.step(zero=False, shift=shift)
    assert {clip for *_, clip in scenario.expected.values()} == {0, 1}
    scenario.check(play)
