"""Shifts, dice, rates and masters of training in integers."""

from __future__ import annotations

import numpy as np
import pytest

from engine.learn.integers import (
    RANDOM,
    Move,
    Rate,
    bounded,
    clipped,
    dithered,
    move,
    place_of,
    random_bits,
    shifted,
)


def test_the_generator_is_splitmix64() -> None:
    # first outputs from state 0, of the authors' C program
    first = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert random_bits(0, 3).tolist() == [word >> (64 - RANDOM) for word in first]


def test_shifts_round_to_the_nearest_and_saturate_to_the_left() -> None:
    value = np.array([-6, -5, -2, 2, 5, 6], np.int64)
    assert shifted(value, 2).tolist() == [-1, -1, 0, 1, 1, 2]
    assert shifted(np.array([40_000]), -1).tolist() == [2 * 32_767]
    assert shifted(np.array([1 << 40]), 0).tolist() == [1 << 30]
    assert (bounded(-99), bounded(99)) == (-14, 62)


@pytest.mark.parametrize("shift", [1, 2, 7, 16])
def test_dice_are_fair(shift: int) -> None:
    value = np.random.default_rng(shift).integers(-(1 << 20), 1 << 20, 200_000)
    error = dithered(value, shift) - value / 2.0**shift
    assert np.abs(error).max() <= 1
    assert abs(error.mean()) < 0.3 / (1 << (shift // 2)) + 0.005


def test_gradients_have_a_symmetric_range() -> None:
    assert clipped(np.array([-128, 128, 127, -127, 5]), 8).tolist() == [-127, 127, 127, -127, 5]


@pytest.mark.parametrize("rate", [1.0, 0.125, 0.1, 3.7e-5])
def test_a_rate_is_the_nearest_of_fifteen_bits(rate: float) -> None:
    found = Rate.of(rate, 32)
    assert 1 << 14 <= found.factor < 1 << 15
    assert found.factor / 2.0**found.down == pytest.approx(rate / 32, rel=2**-15)


@pytest.mark.parametrize("down", [-30, -3, 0, 9, 30])
def test_masters_move_by_the_rate_on_average(down: int) -> None:
    rate, count = Rate.of(0.3, 7), 20_000
    sums = np.full(count, 12_345, np.int64) << max(down, 0)
    masters = np.zeros(count, np.int64)
    move(masters, sums, None, Move(place_of(down, rate), rate.factor, 48, 5))
    wanted = float(sums[0]) * 2.0**-down * 0.3 / 7
    assert -masters.mean() == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("place", [-38, -27, -24, -9, 0, 30])
def test_a_move_is_exact_until_the_master_saturates(place: int) -> None:
    """A head's bias of 16-bit formats has 30 fraction bits: its sums go 27 to the left."""
    random = np.random.default_rng(place + 38)
    sums = random.integers(-(1 << 22), 1 << 22, 500) << max(place, 0)
    by = Move(place, 20_001, 56, 7)
    masters, wanted = np.zeros(500, np.int64), list[int]()
    for one, dice in zip(sums.tolist(), random_bits(7, 500).tolist(), strict=True):
        product = (one >> max(place, 0)) * by.factor << max(-place, 0)
        wanted.append(max(-(1 << 55), min((1 << 55) - 1, -((product + dice) >> 24))))
    move(masters, sums, None, by)
    assert masters.tolist() == wanted


def test_masters_saturate_and_stay_where_nothing_is_kept() -> None:
    masters = np.array([0, 0, 100], np.int64)
    real = np.array([True, False, True])
    move(masters, np.array([1 << 30, 1 << 30, 0]), real, Move(0, 1 << 14, 16, 1))
    assert masters.tolist() == [-(1 << 15), 0, 100]
