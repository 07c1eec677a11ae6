"""Piecewise: bounds over every argument, symmetry, range, and the table itself."""

from __future__ import annotations

import numpy as np
import pytest

from csb_format import Fixed, IntArray
from csb_format.cells.lstm import CellArithmetic
from csb_format.cells.piecewise import Piecewise

WIDTHS = [6, 8, 12, 16, 18]


def table(act_bits: int) -> Piecewise:
    return CellArithmetic(act_bits).piecewise


def every(piecewise: Piecewise) -> IntArray:
    """All arguments in ``state`` format."""
    return np.arange(piecewise.state.min, piecewise.state.max + 1)


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_tanh_stays_within_its_bound(act_bits: int) -> None:
    p = table(act_bits)
    x = every(p)
    error = np.abs(np.tanh(p.state.dequantise(x)) - p.gate.dequantise(p.tanh(x)))
    assert error.max() <= p.tanh_bound
    assert error.max() >= p.tanh_bound / 4  # the bound says something


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_sigmoid_stays_within_its_bound(act_bits: int) -> None:
    p = table(act_bits)
    x = every(p)
    exact = 1 / (1 + np.exp(-p.state.dequantise(x)))
    error = np.abs(exact - p.gate.dequantise(p.sigmoid(x)))
    assert error.max() <= p.sigmoid_bound
    assert error.max() >= p.sigmoid_bound / 4


def test_bound_of_the_demos_format() -> None:
    """At 16 bits both are good to less than three last places of Fixed(16, 15)."""
    p = table(16)
    assert p.tanh_bound < 3 * p.gate.lsb
    assert p.sigmoid_bound < 2 * p.gate.lsb


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_tanh_is_odd_and_zero_at_zero(act_bits: int) -> None:
    p = table(act_bits)
    x = every(p)[1:]  # the most negative argument has no counterpart
    np.testing.assert_array_equal(p.tanh(-x), -p.tanh(x))
    assert p.tanh(np.array(0)) == 0
    assert p.tanh(every(p)[:1]) == -p.gate.max


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_sigmoid_is_symmetric_about_a_half(act_bits: int) -> None:
    p = table(act_bits)
    x = every(p)[1:]
    one = 1 << p.gate.frac
    pair = p.sigmoid(x) + p.sigmoid(-x)
    assert p.sigmoid(np.array(0)) == one // 2
    # 1 itself is not in the format, and halves are rounded up on both sides
    assert set(pair.tolist()) <= {one - 1, one, one + 1}


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_range(act_bits: int) -> None:
    p = table(act_bits)
    tanh, sigmoid = p.tanh(every(p)), p.sigmoid(every(p))
    assert (tanh.min(), tanh.max()) == (-p.gate.max, p.gate.max)
    assert (sigmoid.min(), sigmoid.max()) == (0, p.gate.max)
    assert tanh.dtype == sigmoid.dtype == np.int64


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_falls_by_no_more_than_a_rounding(act_bits: int) -> None:
    p = table(act_bits)
    for values in (p.tanh(every(p)), p.sigmoid(every(p))):
        assert np.diff(values).min() >= -1


@pytest.mark.parametrize("act_bits", WIDTHS)
def test_segments_divide_the_domain(act_bits: int) -> None:
    p = table(act_bits)
    base, rise = p.table
    assert len(base) == len(rise) == 1 << p.index_bits <= 256
    assert p.index_bits + p.offset_bits == p.magnitude_bits
    assert base[0] == 0
    assert (rise >= 0).all()
    assert (np.diff(base) >= 0).all()
    assert base.max() + rise.max() < 2 << p.table_frac


@pytest.mark.parametrize("segments_log2", [1, 3, 4, 5, 8])
def test_lines_halve_the_error_of_the_chords(segments_log2: int) -> None:
    p = Piecewise(Fixed(30, 24), Fixed(24, 23), segments_log2)  # roundings are negligible
    x = np.arange(0, 1 << 27, 4099)
    error = np.tanh(p.state.dequantise(x)) - p.gate.dequantise(p.tanh(x))
    assert np.abs(error).max() <= p.tanh_bound
    width = 8 / (1 << segments_log2)
    later = error[x > width * (1 << 24)]  # the first line starts at 0
    if segments_log2 > 3:
        chord = width**2 / 8 * (4 / (3 * np.sqrt(3)))
        assert later.max() == pytest.approx(chord / 2, rel=0.1)
    assert later.max() == pytest.approx(-later.min(), rel=0.1)


def test_any_shape() -> None:
    p = table(8)
    x = every(p)[:24].reshape(2, 3, 4)
    assert p.tanh(x).shape == p.sigmoid(x).shape == (2, 3, 4)
    np.testing.assert_array_equal(p.tanh(x).ravel(), p.tanh(x.ravel()))


def test_gate_format_must_span_one() -> None:
    with pytest.raises(ValueError, match=r"gate format s16\.14: its range must be \[-1, 1\)"):
        Piecewise(Fixed(18, 13), Fixed(16, 14))


def test_state_format_needs_fraction_bits() -> None:
    with pytest.raises(ValueError, match=r"state format s8\.2: give it at least 3 fraction bits"):
        Piecewise(Fixed(8, 2), Fixed(8, 7))
