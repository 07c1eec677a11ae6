"""GruCell against real numbers and Python integers, and its state that does not stand still."""

from __future__ import annotations

import numpy as np
import pytest

from csb_format import Fixed, IntArray
from csb_format.cells import CELLS, cell_named
from csb_format.cells.gru import GruCell, ResetFirstGruCell

WIDTHS = [6, 8, 16, 18]


def uniform(rng: np.random.Generator, form: Fixed, size: int) -> IntArray:
    drawn: IntArray = rng.integers(form.min, form.max + 1, size)
    return drawn


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def test_cells_are_found_by_name() -> None:
    assert cell_named("gru") is GruCell
    assert (GruCell(16).turns, GruCell(16).apart, CELLS["lstm"](16).turns) == (3, (2,), 1)
    with pytest.raises(ValueError, match="cell 'rnn': choose among 'lstm', 'gru', 'gru0'"):
        cell_named("rnn")


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_step_is_near_the_real_one(act_bits: int) -> None:
    a, rng, n = GruCell(act_bits), np.random.default_rng(act_bits), 20_000
    pre = tuple(uniform(rng, a.state, n) // 4 for _ in range(4))
    kept = uniform(rng, a.kept, n)
    h, new = a.step(pre, kept)
    r, z, nx, nh = (a.state.dequantise(p) for p in pre)
    real = np.tanh(nx + sigmoid(r) * nh)
    exact = (1 - sigmoid(z)) * real + sigmoid(z) * a.kept.dequantise(kept)
    p = a.piecewise
    # r's error meets nh up to 4; z's the difference of two states, at most 2
    bound = 4 * p.sigmoid_bound + a.state.lsb / 2 + p.tanh_bound + 2 * p.sigmoid_bound
    assert np.abs(a.kept.dequantise(new) - exact).max() <= bound + a.kept.lsb / 2
    assert np.abs(a.gate.dequantise(h) - exact).max() <= bound + a.gate.lsb


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_mix_is_the_rounded_exact_sum_and_never_leaves_its_range(act_bits: int) -> None:
    a, rng = GruCell(act_bits), np.random.default_rng(1)
    z = np.concatenate([uniform(rng, Fixed(act_bits, 0), 500) & a.gate.max, [0, a.gate.max] * 4])
    n, kept = uniform(rng, a.gate, 508), uniform(rng, a.kept, 508)
    n[-4:], kept[-4:] = a.gate.min, a.kept.max
    n[-8:-4], kept[-8:-4] = a.gate.max, a.kept.min
    found = a.mix(z, n, kept)
    assert found.min() >= a.kept.min
    assert found.max() <= a.kept.max
    one = 1 << a.gate.frac
    for k in range(len(z)):
        total = int(z[k]) * int(kept[k]) + (one - int(z[k])) * (int(n[k]) << 2)
        assert found[k] == (2 * total + one) // (2 * one)


def test_a_slow_unit_moves_where_its_own_format_would_stand_still() -> None:
    """With z near 1 and n small: a change below half of h's last bit a step adds up."""
    a = GruCell(8)
    z, n, kept = np.array([126]), np.array([12]), np.array([0])
    for _ in range(40):
        kept = a.mix(z, n, kept)
    assert a.hidden(kept)[0] > 0
    # the same with h's bits alone
    h = 0
    for _ in range(40):
        h = (126 * h + 2 * 12 + 64) >> 7
    assert h == 0


def test_a_padded_unit_stays_at_zero() -> None:
    zero = np.zeros(3, np.int64)
    h, kept = GruCell(16).step((zero,) * 4, zero)
    assert not h.any()
    assert not kept.any()


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_reset_is_the_rounded_exact_product_and_never_leaves_the_range_of_h(act_bits: int) -> None:
    a, rng = ResetFirstGruCell(act_bits), np.random.default_rng(2)
    pre, kept = uniform(rng, a.state, 502), uniform(rng, a.kept, 502)
    pre[:2], kept[:2] = a.state.max, (a.kept.min, a.kept.max)
    found, r, last = a.reset(pre, kept), a.piecewise.sigmoid(pre), 1 << (a.gate.frac + 2)
    assert a.gate.min <= found.min() <= found.max() <= a.gate.max
    for k in range(len(pre)):
        assert found[k] == (2 * int(r[k]) * int(kept[k]) + last) // (2 * last)


def test_a_reset_first_unit_mixes_as_the_other_and_needs_no_r_any_more() -> None:
    a, rng = ResetFirstGruCell(12), np.random.default_rng(3)
    r, z, n = (uniform(rng, a.state, 200) for _ in range(3))
    kept = uniform(rng, a.kept, 200)
    h, new = a.step((r, z, n), kept)
    want = GruCell(12).step((r, z, n, 0 * n), kept)
    assert np.array_equal(h, want[0])
    assert np.array_equal(new, want[1])
    assert (a.resets, a.apart, a.turns, GruCell(12).resets) == ((2,), (), 1, ())


def test_a_reset_first_cell_has_a_pass_for_each_gate() -> None:
    a, others = ResetFirstGruCell(12), [GruCell(12), CELLS["lstm"](12)]
    assert a.kinds == ((0,), (1,), (2,))
    assert [a.sums_of(kind) for kind in range(3)] == [(0,), (1,), (2,)]
    assert [a.gives(kind) for kind in range(3)] == ["reset", "", "state"]
    assert [(len(one.kinds), one.sums_of(0), one.gives(0)) for one in others] == [
        (1, (0, 1, 2, 3), "state")
    ] * 2
