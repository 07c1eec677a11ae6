"""The generator of arrays: uniform, pair by pair, and the descent that it rounds."""

from __future__ import annotations

import numpy as np

from compiler.learn.dice import columns
from engine.learn.crossed import column_bits, crossed
from engine.learn.integers import RANDOM, start_of
from engine.learn.learner import Learner, Settings
from tests.engine.learn.networks import batch, network

STEPS = 300


def test_columns_are_what_hardware_makes() -> None:
    for start in (0, 1, 0xFFFFFFFF, 0x12345678):
        assert (column_bits(start, 100) == columns(start, 100)).all()


def test_columns_are_counted_bank_by_bank() -> None:
    start = start_of(3, 1, 2)
    found, plain = crossed(start, (5, 3, 4)), crossed(start, (5, 12))
    for row, entry, bank in ((0, 0, 0), (4, 2, 3), (2, 1, 2)):
        assert found[row, entry, bank] == plain[row, bank * 3 + entry]


def test_dice_are_fair() -> None:
    """Means over steps of each number, and of products of neighbours, are those of chance."""
    shape = (8, 16)
    dice = np.stack([crossed(start_of(7, n, 1), shape) for n in range(STEPS)]) / (1 << RANDOM)
    spread = 1 / np.sqrt(12 * STEPS)
    assert np.abs(dice.mean(axis=0) - 0.5).max() < 5 * spread
    centred = dice - 0.5
    for a, b in ((centred[:, 1:], centred[:, :-1]), (centred[..., 1:], centred[..., :-1])):
        assert np.abs((a * b).mean(axis=0)).max() < 5 / 12 / np.sqrt(STEPS)
    assert len(np.unique(dice)) > 0.99 * dice.size


def test_it_learns_as_the_other_generator_does() -> None:
    model = network()
    frames, asked = batch(model)
    costs = {}
    for generator in ("splitmix", "crossed"):
        learner = Learner(model, Settings("head", rate=0.5, generator=generator))
        costs[generator] = [learner.step(frames, asked).cost for _ in range(40)][-1]
        assert costs[generator] < 0.9 * Learner(model, Settings("head")).step(frames, asked).cost
    assert abs(costs["crossed"] - costs["splitmix"]) < 0.05 * costs["splitmix"]
