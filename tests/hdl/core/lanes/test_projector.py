"""Projector against its model: every shift, clips, linear layers, and when results appear."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design
from compiler.array.latency import projector_exact
from hdl.core.hierarchy import Ram
from hdl.core.lanes.projector import Projector

SHIFTED = replace(
    Design(8, 2, 1, 6, 24, 32, 4, 8, 16, 4, 8, 8, projectors=4, linear=5, indexed=20),
    row_bits=4,
    row_shift=9,
)
DESIGNS = [
    Design(4, 1, 1, 5, 10, 16, 2, 7, 9, 4, 4, 6, projectors=1),
    Design(8, 2, 1, 6, 24, 32, 4, 8, 16, 4, 8, 8, projectors=4, linear=5),
    Design(16, 4, 2, 4, 12, 24, 3, 6, 12, 3, 16, 16, projectors=16, linear=1),
    Design(16, 8, 4, 7, 14, 16, 2, 3, 7, 2, 18, 18, projectors=2),
    SHIFTED,
]
WATCH = ["value", "exact", "clipped"]


@pytest.fixture(
    params=DESIGNS, ids=lambda d: f"Q{d.projectors}-a{d.act_bits}-l{d.linear}-s{d.row_shift}"
)
def design(request: pytest.FixtureRequest) -> Design:
    chosen: Design = request.param
    return chosen


def draw(rng: np.random.Generator, design: Design, shift: int) -> list[int]:
    """Sums of all magnitudes about what fits after the shift, some at the ends."""
    bits = design.acc_bits
    scale = min(bits - 1, shift + design.act_bits - 1 + int(rng.integers(-3, 2)))
    size = design.results_per_slot
    drawn = [int(v) for v in rng.integers(-(1 << scale), 1 << scale, size)]
    ends = [-(1 << bits - 1), (1 << bits - 1) - 1]
    return [int(rng.choice(ends)) if rng.random() < 0.05 else value for value in drawn]


def play_all(play: Any, design: Design, shifts: list[int], seed: int) -> None:
    rng, block = np.random.default_rng(seed), Projector(design)
    cycles: list[dict[str, Any]] = []
    biases = [int(v) for v in rng.integers(-(1 << design.acc_bits - 2), 1 << 8, len(shifts))]
    wanted: list[tuple[int, int, int]] = []
    shifted: list[int] = []
    for shift, bias in zip(shifts, biases, strict=True):
        sums, select = draw(rng, design, shift), int(rng.integers(design.results_per_slot))
        linear = int(design.linear > 0 and rng.random() < 0.5)
        places = int(rng.integers(design.row_shift + 1)) * linear
        sums[select] = sums[select] >> linear + places  # shifted and with a bias it still fits
        cycles.append({"sums": sums, "select": select, "shift": shift, "linear": linear})
        value = int(block.model(np.array(sums[select]), shift))
        whole = (sums[select] + (1 << shift >> 1)) >> shift
        exact = (sums[select] << places) + bias if linear else value
        wanted.append((value, exact, int(whole != value)))
        shifted.append(places)
    late, moved = ([0] * Ram.latency + given for given in (biases, shifted))
    cycles += [{} for _ in range(Ram.latency)]
    for cycle, bias, places in zip(cycles, late, moved, strict=True):
        cycle |= {"bias": bias} | ({"places": places} if design.row_shift else {})
    seen = play(block, cycles, WATCH, projector_exact(design))
    for t, (value, exact, clipped) in enumerate(wanted):
        now, later = seen[t + Projector.latency(design)], seen[t + projector_exact(design)]
        assert (now[0], now[2], later[1]) == (value, clipped, exact), t


def test_every_shift(play: Any, design: Design) -> None:
    play_all(play, design, [*range(64)] * 3, seed=1)


def test_usual_shifts_clip_some_results_and_not_others(play: Any, design: Design) -> None:
    rng = np.random.default_rng(2)
    play_all(play, design, [int(n) for n in rng.integers(3, 8, 300)], seed=3)
    sums = [draw(rng, design, 5)[0] for _ in range(300)]
    rounded = np.array([(s + 16) >> 5 for s in sums], np.float64)
    assert 0.1 < (np.abs(rounded) > 1 << design.act_bits - 1).mean() < 0.9


def test_results_appear_after_their_latency(play: Any) -> None:
    design = replace(DESIGNS[1], linear=2)
    quiet = {"sums": [0, 0], "linear": 1}
    cycles = [quiet] * 5 + [{"sums": [0, 8], "select": 1, "linear": 1}] + [quiet] * 5
    seen = play(Projector(design), cycles, WATCH)
    latency = Projector.latency(design)
    assert [t for t, (value, *_) in enumerate(seen) if value] == [5 + latency]
    assert [t for t, (_, exact, _) in enumerate(seen) if exact] == [5 + projector_exact(design)]


def test_model_rounds_halves_up_and_saturates() -> None:
    block = Projector(DESIGNS[1])
    sums = np.array([6, 5, -6, -7, 1 << 30, -(1 << 30)])
    assert block.model(sums, 2).tolist() == [2, 1, -1, -2, 127, -128]
