"""CellArithmetic against real numbers, and at the ends of its formats."""

from __future__ import annotations

import numpy as np
import pytest

from csb_format import Fixed, IntArray
from csb_format.cells.cell import reach_of
from csb_format.cells.lstm import CellArithmetic, Gates

WIDTHS = [6, 8, 12, 16, 18]


def uniform(rng: np.random.Generator, form: Fixed, size: int) -> IntArray:
    drawn: IntArray = rng.integers(form.min, form.max + 1, size)
    return drawn


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_formats(act_bits: int) -> None:
    a = CellArithmetic(act_bits)
    assert a.gate == Fixed(act_bits, act_bits - 1)
    assert a.state == Fixed(act_bits + 2, act_bits - 3)
    assert a.state.max * a.state.lsb == 16 - a.state.lsb
    assert (a.piecewise.state, a.piecewise.gate) == (a.state, a.gate)


@pytest.mark.parametrize("reach", [8, 16, 32, 64, 128])
def test_states_reach_as_far_as_asked(reach: int) -> None:
    a, rng = CellArithmetic(12, reach), np.random.default_rng(reach)
    assert a.state.min * a.state.lsb == -reach
    assert a.state.width == 14
    assert reach_of(a.state) == reach
    # a cell of one step less than its range is kept, and none beyond it
    i, f, g, o = (uniform(rng, a.state, 500) for _ in range(4))
    h, new = a.step((i, f, g, o), uniform(rng, a.state, 500))
    assert np.abs(new).max() <= a.state.max + 1
    assert new.max() * a.state.lsb > reach / 2
    real = np.tanh(a.state.dequantise(new)) * sigmoid(a.state.dequantise(o))
    p = a.piecewise
    assert np.abs(a.gate.dequantise(h) - real).max() <= (
        p.tanh_bound + p.sigmoid_bound + a.gate.lsb / 2
    )


@pytest.mark.parametrize(
    ("act_bits", "reach", "there"),
    [(6, 32, "8, 16"), (16, 24, "128"), (16, 4, "8"), (8, 128, "64")],
)
def test_reaches_that_are_refused(act_bits: int, reach: int, there: str) -> None:
    with pytest.raises(ValueError, match=f"reach {reach} of .* {act_bits} bits .*{there}"):
        CellArithmetic(act_bits, reach)


@pytest.mark.parametrize("act_bits", [0, 5, 19, -16])
def test_widths_that_are_refused(act_bits: int) -> None:
    with pytest.raises(ValueError, match=f"activation width {act_bits}: choose 6 to 18 bits"):
        CellArithmetic(act_bits)


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_step_is_near_the_real_one(act_bits: int) -> None:
    a, rng, n = CellArithmetic(act_bits), np.random.default_rng(act_bits), 20_000
    pre = tuple(uniform(rng, a.state, n) // 4 for _ in range(4))
    c = uniform(rng, a.state, n) // 2  # at most 8: f * c + i * g does not saturate
    h, new = a.step(pre, c)
    i, f, g, o = (a.state.dequantise(p) for p in pre)
    old = a.state.dequantise(c)
    exact = sigmoid(f) * old + sigmoid(i) * np.tanh(g)
    p = a.piecewise
    # f's error meets c up to 8, i's and g's a factor up to 1; then one rounding
    bound = 8 * p.sigmoid_bound + p.sigmoid_bound + p.tanh_bound + a.state.lsb / 2
    error = np.abs(a.state.dequantise(new) - exact)
    assert error.max() <= bound
    hidden = np.abs(a.gate.dequantise(h) - sigmoid(o) * np.tanh(exact))
    assert hidden.max() <= bound + p.sigmoid_bound + p.tanh_bound + a.gate.lsb / 2


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_cell_is_the_rounded_exact_sum(act_bits: int) -> None:
    a, rng, n = CellArithmetic(act_bits), np.random.default_rng(1), 500
    i, f, g, o = (uniform(rng, a.gate, n) for _ in range(4))
    c = uniform(rng, a.state, n)
    found = a.cell((i, f, g, o), c)
    for k in range(n):
        # f * c: gate.frac + state.frac; i * g: 2 gate.frac. Python integers, no rounding.
        total = (int(f[k]) * int(c[k]) << 2) + int(i[k]) * int(g[k])
        bits = a.gate.frac + 2
        rounded = (2 * total + (1 << bits)) // (2 << bits)
        assert found[k] == min(max(rounded, a.state.min), a.state.max)


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_cell_saturates_at_both_ends(act_bits: int) -> None:
    a = CellArithmetic(act_bits)
    c, one = np.array([a.state.max, a.state.min]), np.full(2, a.gate.max)
    for _ in range(40 if act_bits > 8 else 1):
        c = a.cell((one, one, np.array([a.gate.max, -a.gate.max]), one), c)
    assert c[0] <= a.state.max
    assert c[1] >= a.state.min
    lowest = np.full(2, a.gate.min)  # -1, beyond what an activation gives
    ends = a.cell((lowest, lowest, lowest, lowest), np.array([a.state.min, a.state.min]))
    assert ends.tolist() == [a.state.max] * 2


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_hidden_stays_below_one(act_bits: int) -> None:
    a = CellArithmetic(act_bits)
    o = np.array([a.gate.max, a.gate.max, a.gate.min, 0])
    c = np.array([a.state.max, a.state.min, a.state.min, a.state.max])
    h = a.hidden(o, c)
    largest = (a.gate.max**2 + (1 << a.gate.frac - 1)) >> a.gate.frac
    assert h.tolist() == [largest, -largest, a.gate.max, 0]


def test_preactivation_rounds_adds_and_saturates() -> None:
    a = CellArithmetic(8)  # state: 10 bits
    total, bias = np.array([5, 6, -6, -5, 10_000, -10_000]), np.array([0, 1, 0, 0, 0, 5])
    assert a.preactivation(total, bias, 2).tolist() == [1, 3, -1, -1, 511, -512]
    assert a.preactivation(np.array([3]), np.array([4]), 0).tolist() == [7]
    # the bias is added before saturation, not after it
    assert a.preactivation(np.array([600]), np.array([-200]), 0).tolist() == [400]


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_padded_unit_stays_at_zero(act_bits: int) -> None:
    a, zero = CellArithmetic(act_bits), np.zeros(3, np.int64)
    h = c = zero
    for _ in range(5):
        h, c = a.step((zero, zero, zero, zero), c)
    assert (h.tolist(), c.tolist()) == ([0, 0, 0], [0, 0, 0])


def test_gates_are_sigmoid_but_for_g() -> None:
    a = CellArithmetic(12)
    x = np.array([-3000, -100, 0, 777, 4000])
    gates: Gates = a.gates((x, x, x, x))
    for name, gate in zip("ifgo", gates, strict=True):
        expected = a.piecewise.tanh(x) if name == "g" else a.piecewise.sigmoid(x)
        np.testing.assert_array_equal(gate, expected)
