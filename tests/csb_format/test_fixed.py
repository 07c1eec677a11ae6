"""Fixed-point formats: rounding, saturation and errors against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csb_format import Fixed, round_shift, saturate
from csb_format.fixed import round_rows

formats = st.builds(Fixed, st.integers(2, 48), st.integers(-32, 64))


@given(st.integers(-(1 << 60), 1 << 60), st.integers(0, 61))
def test_round_shift_adds_half_and_floors(value: int, shift: int) -> None:
    exact = math.floor(Fraction(value, 1 << shift) + Fraction(1, 2))
    assert int(round_shift(np.array(value), shift)) == exact


@given(st.integers(-(1 << 40), 1 << 40), st.integers(0, 20))
def test_negative_round_shift_is_exact(value: int, left: int) -> None:
    assert int(round_shift(np.array(value), -left)) == value << left


def test_halves_go_up_on_both_sides_of_zero() -> None:
    halves = np.array([-6, -2, 2, 6])
    np.testing.assert_array_equal(round_shift(halves, 2), [-1, 0, 1, 2])


@pytest.mark.parametrize("width", [2, 5, 18, 48])
def test_saturate_clips_at_the_ends_of_the_range(width: int) -> None:
    top = 1 << (width - 1)
    given_values = np.array([-top - 1, -top, 0, top - 1, top])
    np.testing.assert_array_equal(saturate(given_values, width), [-top, -top, 0, top - 1, top - 1])


@given(formats, st.data())
def test_integers_survive_dequantise_and_quantise(fixed: Fixed, data: st.DataObject) -> None:
    value = data.draw(st.integers(fixed.min, fixed.max))
    assert int(fixed.quantise(fixed.dequantise(value))) == value


@given(formats, st.floats(-1e6, 1e6))
def test_quantise_is_the_nearest_integer_or_the_end(fixed: Fixed, real: float) -> None:
    scaled = Fraction(real) * Fraction(2) ** fixed.frac
    got = int(fixed.quantise(real))
    assert fixed.min <= got <= fixed.max
    if fixed.min <= scaled <= fixed.max:
        # Beyond 2**52 float64 cannot carry the added half.
        assert abs(got - scaled) <= Fraction(1, 2) + abs(scaled) / (1 << 52)
    else:
        assert got == (fixed.min if scaled < 0 else fixed.max)


@given(st.integers(2, 32), st.floats(0, 1e9))
def test_for_range_holds_both_signs_and_is_the_finest(width: int, largest: float) -> None:
    fixed = Fixed.for_range(width, largest)
    assert fixed.saturations([largest, -largest]) == 0
    if largest and -32 < fixed.frac < 64:
        finer = Fixed(width, fixed.frac + 1)
        assert finer.saturations([largest]) == 1


def test_for_range_of_zero_is_a_pure_fraction() -> None:
    assert Fixed.for_range(16, 0.0) == Fixed(16, 15)


def test_saturations_counts_only_what_is_clipped() -> None:
    assert Fixed(4, 0).saturations([-9, -8, 0, 7, 7.4, 7.5, 8]) == 3


def test_lsb_range_and_text() -> None:
    fixed = Fixed(18, 13)
    assert (fixed.min, fixed.max, fixed.lsb, str(fixed)) == (-131072, 131071, 2**-13, "s18.13")
    assert Fixed(4, -3).lsb == 8


@pytest.mark.parametrize("width", [1, 49])
def test_width_out_of_range(width: int) -> None:
    with pytest.raises(ValueError, match=rf"width {width}: must be 2 to 48"):
        Fixed(width, 0)


@pytest.mark.parametrize("frac", [-33, 65])
def test_fraction_out_of_range(frac: int) -> None:
    with pytest.raises(ValueError, match=rf"fraction {frac}: must be -32 to 64"):
        Fixed(16, frac)


@pytest.mark.parametrize("largest", [-1.0, math.inf, math.nan])
def test_for_range_of_no_magnitude(largest: float) -> None:
    with pytest.raises(ValueError, match=rf"magnitude {largest}: must be finite"):
        Fixed.for_range(16, largest)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_quantise_names_the_place_of_nan_and_infinity(bad: float) -> None:
    with pytest.raises(ValueError, match=rf"at \(1, 0\) is {bad}: remove NaN"):
        Fixed(16, 8).quantise([[0.0, 1.0], [bad, 0.0]])


@pytest.mark.parametrize("bits", [2, 4, 8, 12])
def test_rows_are_rounded_to_their_leading_bits(bits: int) -> None:
    rows = (
        np.random.default_rng(bits).integers(-32768, 32768, (40, 9)) >> np.arange(40)[:, None] % 15
    )
    found = round_rows(rows, bits)
    for row, before in zip(found, rows, strict=True):
        width = max(int(v if v >= 0 else ~v).bit_length() + 1 for v in before)
        step = 1 << max(width - bits, 0)
        wanted = [math.floor(v / step + 0.5) for v in before]
        most = (1 << bits - 1) - 1
        assert row.tolist() == [step * min(v, most) for v in wanted]
    assert np.array_equal(round_rows(found, bits), found)
    assert np.array_equal(round_rows(rows, 16), rows)
