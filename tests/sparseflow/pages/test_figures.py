"""Figures that need no simulation."""

import numpy as np
import pytest

from csb_format.random_models import random_network
from sparseflow.pages.figures import asked


def test_of_one_budget_a_matrix_keeps_what_another_gives() -> None:
    model = random_network(np.random.default_rng(0), 16, 16, 4, (3, 2, 1))
    kept, half = np.array([3, 2]), 2  # weights a bank, and half of four
    assert asked(model, 0.5) == pytest.approx(np.minimum(kept, half).sum() / kept.sum())
    model = random_network(np.random.default_rng(0), 16, 16, 2, (5, 3, 1))
    assert asked(model, 0.5) == pytest.approx((4 + 3) / 8)
    assert asked(model, 0.5, "global") == 1


def test_the_one_weight_that_each_bank_has_is_nobodys_gift() -> None:
    # Eight banks of two: one was more than is asked there, and the other matrix gave none for it.
    model = random_network(np.random.default_rng(0), 16, 64, 8, (1, 1, 1))
    assert asked(model, 0.9, "global") == pytest.approx((16 * 0.1 + 64 * 0.1) / 16)
    model = random_network(np.random.default_rng(0), 16, 80, 8, (1, 2, 1))
    assert asked(model, 0.8, "global") == pytest.approx((16 * 0.2 + 80 * 0.2) / (8 + 16))
