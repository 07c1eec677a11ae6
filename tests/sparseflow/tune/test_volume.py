"""The hypervolume and its expected gain, beside what a grid and draws come to."""

from __future__ import annotations

import numpy as np
import pytest

from sparseflow.tune.volume import Volume


def drawn(rng: np.random.Generator, count: int) -> list[list[tuple[float, float]]]:
    return [
        [(float(rng.uniform(1, 8)), float(rng.uniform(0.1, 1))) for _ in range(rng.integers(0, 4))]
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_share_of_points_that_are_dominated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fronts = drawn(rng, 6)
    losses = rng.uniform(0, 0.12, 6)
    times = [us for front in fronts for us, _ in front]
    low, high = np.log2(min(times)), np.log2(max(times)) + 1
    volume = Volume(fronts, 0.1)
    points = rng.uniform((0, low, 0), (0.1, high, 1), (20_000, 3))
    hit = np.zeros(len(points), bool)
    for front, loss in zip(fronts, losses, strict=True):
        for us, share in front:
            corner = np.array([loss, np.log2(us), share])
            hit |= (points >= corner).all(axis=1)
    wanted = hit.mean() * 0.1 * (high - low)
    assert volume.of(range(6), list(losses)) == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("known", [0, 3])
def test_a_gain_is_the_mean_of_what_draws_add(known: int) -> None:
    rng = np.random.default_rng(known)
    fronts = drawn(rng, 5)
    volume = Volume(fronts, 0.1)
    places, losses = list(range(known)), list(rng.uniform(0, 0.1, known))
    before = volume.of(places, losses)
    mean, deviation = rng.uniform(0.02, 0.1, 5), rng.uniform(0.001, 0.03, 5)
    gains = volume.gains(places, losses, mean, deviation)
    for place in range(5):
        drawn_losses = rng.normal(mean[place], deviation[place], 1000)
        added = [volume.of([*places, place], [*losses, float(x)]) - before for x in drawn_losses]
        assert gains[place] == pytest.approx(np.mean(added), rel=0.15, abs=3e-4)


def test_what_is_dominated_adds_nothing() -> None:
    volume = Volume([[(1.0, 0.2)], [(2.0, 0.4)], []], 0.1)
    gains = volume.gains([0], [0.01], np.array([0.01, 0.05, 0.0]), np.full(3, 1e-6))
    assert gains == pytest.approx([0, 0, 0], abs=1e-6)
    assert volume.of([2], [0.0]) == 0
    assert volume.of([], []) == 0
