"""Products for CPUs give what the matrix gives: integers exactly, floats within rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csb_format import Csb, Geometry
from engine.kernels import product_loops as csb_kernels
from engine.products import FloatProduct, IntegerProduct

PERMUTES = [None, False]


def matrix(geometry: Geometry, seed: int = 0) -> Csb:
    """Random places; values from the whole range, both ends among them."""
    rng, g = np.random.default_rng(seed), geometry
    rank = rng.random((g.rows, g.padded_columns))
    rank[:, g.columns :] = 2.0
    banked = rank.reshape(g.rows, g.banks, g.bank_width)
    order = np.argsort(np.argsort(banked, axis=2), axis=2)
    mask = (order < g.nonzeros).reshape(g.rows, -1)[:, : g.columns]
    half = 1 << (g.value_bits - 1)
    dense = rng.integers(-half, half, mask.shape)
    dense[rng.random(mask.shape) < 0.2] = -half
    return Csb.pack(np.where(mask, dense, 0), g, mask)


@st.composite
def geometries(draw: st.DrawFn, widest: int = 150) -> Geometry:
    columns = draw(st.integers(1, 2 * widest))
    banks = draw(st.integers(-(-columns // widest), columns))
    nonzeros = draw(st.integers(0, -(-columns // banks)))
    bits = draw(st.sampled_from([4, 8, 9, 12, 16, 17, 18]))
    return Geometry(draw(st.integers(1, 70)), columns, banks, nonzeros, bits)


def vector(columns: int, bits: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), columns)
    x[rng.random(columns) < 0.2] = -(1 << (bits - 1))
    return x


@given(geometries(), st.integers(2, 32), st.integers(0, 1000), st.sampled_from(PERMUTES))
@settings(max_examples=150, deadline=None)
def test_integers_are_exact(g: Geometry, bits: int, seed: int, permute: bool | None) -> None:
    csb, x = matrix(g, seed), vector(g.columns, bits, seed)
    got = IntegerProduct(csb, bits, permute)(x)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, csb.matvec(x))
    np.testing.assert_array_equal(got, csb.to_scipy() @ x)


@given(geometries(), st.integers(0, 1000), st.sampled_from(PERMUTES))
@settings(max_examples=100, deadline=None)
def test_floats_are_within_rounding(g: Geometry, seed: int, permute: bool | None) -> None:
    csb, x = matrix(g, seed), np.random.default_rng(seed).standard_normal(g.columns)
    scale = np.exp2(np.arange(g.rows) % 4 - 12.0)
    got = FloatProduct(csb, scale, permute)(x)
    assert got.dtype == np.float32
    weights, x32 = csb.to_dense() * scale[:, None], x.astype(np.float32)
    # float32 rounds every product and every sum by at most 2**-24 of what it holds
    bound = (np.abs(weights) @ np.abs(x32)) * (g.banks * g.nonzeros + 2) * 2.0**-24
    assert (np.abs(got - weights @ x32) <= bound + 1e-30).all()


@pytest.mark.parametrize("columns", [5, 16, 17, 32, 33, 64, 65, 100, 128])
@pytest.mark.parametrize("bits", [8, 16])
def test_every_column_of_a_bank_is_found(columns: int, bits: int) -> None:
    """Banks of 1, 2, 4 and 8 registers: each product of a diagonal is one column."""
    g = Geometry(columns, 3 * columns, 3, 1, bits)
    diagonal = np.tile(np.eye(columns, dtype=int), 3) * np.repeat([1, 2, 3], columns)
    csb, x = Csb.pack(diagonal, g), np.arange(3 * columns)
    want = x.reshape(3, -1).T @ [1, 2, 3]
    np.testing.assert_array_equal(IntegerProduct(csb)(x), want)
    np.testing.assert_array_equal(FloatProduct(csb)(x), want)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums(bits: int, sign: int) -> None:
    """Both halves of a value at their ends, more entries than one int32 sum may hold."""
    g = Geometry(33, 1280, 10, 128, bits)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    for value in (low, high, low + 255 if bits > 8 else -1):
        csb = Csb.pack(np.full((33, 1280), value), g, np.ones((33, 1280), bool))
        x = np.full(1280, -32768 if sign < 0 else 32767)
        assert IntegerProduct(csb)(x).tolist() == [1280 * value * int(x[0])] * 33


def test_where_banks_are_read_in_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csb_kernels, "permutes", lambda: True)
    narrow, wide = matrix(Geometry(4, 256, 2, 3)), matrix(Geometry(4, 258, 2, 3))
    large = matrix(Geometry(4, 256, 2, 3, 18))
    for able, product in [
        (True, FloatProduct(narrow)),
        (True, FloatProduct(large)),
        (False, FloatProduct(wide)),
        (False, FloatProduct(narrow, permute=False)),
        (True, IntegerProduct(narrow)),
        (False, IntegerProduct(wide)),
        (False, IntegerProduct(large)),
        (False, IntegerProduct(narrow, 17)),
    ]:
        assert product.permutes == able
    monkeypatch.setattr(csb_kernels, "permutes", lambda: False)
    assert not FloatProduct(narrow).permutes
    assert not IntegerProduct(narrow).permutes


def test_bytes_of_one_product() -> None:
    """32 rows of 4 entries; rows and pairs are padded in registers."""
    for bits, each in ((16, 2), (8, 1)):
        csb = matrix(Geometry(32, 64, 2, 2, bits))
        by_address = IntegerProduct(csb, permute=False)
        assert by_address.bytes == 32 * 4 * (4 + 2)
        made = IntegerProduct(csb)
        assert not made.permutes or made.bytes == 32 * 4 * (each + 1)
    odd = IntegerProduct(matrix(Geometry(33, 64, 2, 1)))
    assert not odd.permutes or odd.bytes == 64 * 2 * 2 * (2 + 1)
    floats = FloatProduct(csb)
    assert not floats.permutes or floats.bytes == 32 * 4 * (4 + 1)


@pytest.mark.parametrize("permute", PERMUTES)
def test_adding_to_what_is_there(permute: bool | None) -> None:
    csb, x = matrix(Geometry(35, 40, 4, 3)), vector(40, 16, 1)
    made = IntegerProduct(csb, permute=permute)
    y = np.arange(made.padded_rows)
    made.add(x, y)
    np.testing.assert_array_equal(y[:35], csb.matvec(x) + np.arange(35))


@pytest.mark.parametrize("permute", PERMUTES)
def test_any_strides_and_integer_types(permute: bool | None) -> None:
    csb, x = matrix(Geometry(9, 24, 4, 2)), vector(48, 8, 2)
    made = IntegerProduct(csb, permute=permute)
    for given_ in (x[::2], x.astype(np.int8)[::2], list(x[::2])):
        np.testing.assert_array_equal(made(given_), csb.matvec(x[::2]))
    np.testing.assert_allclose(
        FloatProduct(csb, permute=permute)(x[::2]), csb.matvec(x[::2]), rtol=1e-6
    )


def test_no_value_beside_an_infinite_one() -> None:
    """A number outside the bank's places must not reach a sum, padding neither."""
    csb = Csb.pack([[1, 0, 0, 0, 2]], Geometry(1, 5, 2, 1))
    x = np.array([1, np.inf, np.nan, np.inf, 3], np.float32)
    for permute in PERMUTES:
        assert FloatProduct(csb, permute=permute)(x).tolist() == [7.0]


def test_bad_input() -> None:
    csb = matrix(Geometry(4, 12, 2, 2))
    with pytest.raises(ValueError, match=r"vector of shape \(11,\): .* 12 columns; give \(12,\)"):
        FloatProduct(csb)(np.zeros(11))
    made = IntegerProduct(csb, 8)
    with pytest.raises(ValueError, match=r"vector of shape \(2, 12\)"):
        made(np.zeros((2, 12), int))
    with pytest.raises(ValueError, match=r"dtype float64: quantise it"):
        made(np.zeros(12))
    with pytest.raises(ValueError, match=r"holds 128: 8 bits hold -128 to 127; give more bits"):
        made(np.full(12, 128))
    with pytest.raises(ValueError, match=r"holds -129"):
        made(np.full(12, -129))
    with pytest.raises(ValueError, match=r"bits 33: a vector has numbers of 2 to 32 bits"):
        IntegerProduct(csb, 33)
    with pytest.raises(ValueError, match=r"scale of shape \(3,\): give one number or 4"):
        FloatProduct(csb, np.ones(3))
    with pytest.raises(ValueError, match=r"permute True: needs .* of at most 128 columns .* 300"):
        FloatProduct(matrix(Geometry(4, 300, 1, 2)), permute=True)
