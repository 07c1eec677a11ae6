"""Geometry: derived numbers, refusals, nearest sparsity and merging."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csb_format import Geometry


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    columns = draw(st.integers(1, 40))
    banks = draw(st.integers(1, columns))
    parts = draw(st.lists(st.integers(0, -(-columns // banks)), min_size=1, max_size=4))
    rows = len(parts) * draw(st.integers(1, 9 // len(parts)))
    return Geometry.of_parts(rows, columns, banks, parts, draw(st.integers(4, 18)))


def test_entry_of_the_paper_takes_22_bits() -> None:
    g = Geometry(rows=1024, columns=1024, banks=16, nonzeros=8)
    assert (g.bank_width, g.index_bits, g.bits_per_nonzero) == (64, 6, 22)
    assert g.packed_bits == g.real_nonzeros * 22 == 1024 * 16 * 8 * 22
    assert g.sparsity == 0.875


def test_pure_padding_banks() -> None:
    g = Geometry(rows=3, columns=12, banks=8, nonzeros=2)
    assert (g.bank_width, g.padded_columns, g.padding_columns) == (2, 16, 4)
    assert g.bank_columns == (2, 2, 2, 2, 2, 2, 0, 0)
    assert (g.slots, g.real_nonzeros, g.sparsity) == (48, 36, 0.0)


def test_partly_padded_bank() -> None:
    g = Geometry(rows=2, columns=10, banks=4, nonzeros=2)
    assert g.bank_columns == (3, 3, 3, 1)
    assert (g.real_nonzeros, g.slots) == (14, 16)
    assert g.sparsity == pytest.approx(0.3)


@given(geometries())
def test_columns_find_their_bank(g: Geometry) -> None:
    banks = np.bincount(np.arange(g.columns) // g.bank_width, minlength=g.banks)
    assert g.bank_columns == tuple(banks)
    assert g.padded_columns - g.columns == g.padding_columns >= 0
    assert 2**g.index_bits >= g.bank_width > (2 ** (g.index_bits - 1) if g.index_bits else 0)


@given(geometries())
def test_equal_geometries_are_equal_and_hash_alike(g: Geometry) -> None:
    explicit = Geometry(**dataclasses.asdict(g))
    assert g == explicit
    assert hash(g) == hash(explicit)


def test_numpy_integers_become_plain() -> None:
    g = Geometry(np.int64(2), np.uint8(6), np.int32(3), np.int16(1))  # type: ignore[arg-type]
    assert all(type(value) is int for value in dataclasses.astuple(g)[:-1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": 0}, r"rows 0: must be at least 1"),
        ({"columns": -2}, r"columns -2: must be at least 1"),
        ({"banks": 0}, r"banks 0: must be 1 to 64 for 10 columns; use 1 for a single bank"),
        ({"banks": 65}, r"banks 65: must be 1 to 64 for 10 columns; choose fewer banks"),
        ({"banks": 71, "columns": 70}, r"banks 71: must be 1 to 70 for 70 columns"),
        ({"nonzeros": 6}, r"nonzeros 6: a bank is 5 columns wide, so keep 0 to 5.*fewer banks"),
        ({"nonzeros": -1}, r"nonzeros -1: .*keep 0 to 5"),
        ({"value_bits": 3}, r"value_bits 3: must be 4 to 18"),
        ({"value_bits": 19}, r"value_bits 19: must be 4 to 18"),
        ({"bank_width": 4}, r"bank_width 4: 2 banks hold 8 of 10 columns; use at least 5"),
        ({"bank_width": -1}, r"bank_width -1: .*use at least 5"),
        ({"bank_width": 65537}, r"bank_width 65537: .*at most 65536"),
        ({"columns": 131074}, r"bank_width 65537: .*use at least 3 banks"),
        ({"rows": 2.5}, r"rows 2\.5: must be a whole number"),
        ({"nonzeros": "3"}, r"nonzeros '3': must be a whole number"),
    ],
)
def test_refusals_name_value_and_mend(fields: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"rows": 4, "columns": 10, "banks": 2, "nonzeros": 3}
    with pytest.raises(ValueError, match=message):
        Geometry(**(good | fields))


@given(geometries(), st.floats(0, 1), st.integers(0, 1))
def test_nearest_is_no_further_than_any_other(g: Geometry, sparsity: float, minimum: int) -> None:
    best = Geometry.nearest(g.rows, g.columns, g.banks, sparsity, g.value_bits, minimum)
    others = [
        dataclasses.replace(best, nonzeros=k, parts=()).sparsity
        for k in range(minimum, g.bank_width + 1)
    ]
    distance = min(abs(other - sparsity) for other in others)
    assert math.isclose(abs(best.sparsity - sparsity), distance, abs_tol=1e-12)
    assert best.nonzeros >= minimum


@pytest.mark.parametrize(
    ("sparsity", "nonzeros"), [(0.875, 8), (0.9, 6), (0.0, 64), (1.0, 1), (0.5, 32)]
)
def test_nearest_in_banks_of_64(sparsity: float, nonzeros: int) -> None:
    assert Geometry.nearest(4, 256, 4, sparsity).nonzeros == nonzeros


def test_nearest_keeps_more_on_a_tie() -> None:
    # 0.9 of 10 columns in one bank of 10 is k = 1 exactly; 0.85 lies between 1 and 2.
    assert Geometry.nearest(1, 10, 1, 0.9).nonzeros == 1
    assert Geometry.nearest(1, 10, 1, 0.85).nonzeros == 2
    # As a binary number 0.45 is a little more; the tie is that of the decimal.
    assert Geometry.nearest(1, 10, 1, 0.45).nonzeros == 6


def test_nearest_minimum_may_be_zero() -> None:
    assert Geometry.nearest(1, 64, 1, 1.0, minimum=0).nonzeros == 0


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, 87.5, math.nan])
def test_nearest_refuses_a_percentage(sparsity: float) -> None:
    with pytest.raises(ValueError, match=rf"sparsity {sparsity}: must be 0 to 1.*0\.875, not 87"):
        Geometry.nearest(4, 8, 2, sparsity)


@pytest.mark.parametrize("minimum", [-1, 5])
def test_nearest_refuses_a_minimum_that_no_bank_has(minimum: int) -> None:
    with pytest.raises(ValueError, match=rf"minimum {minimum}: a bank is 4 columns wide"):
        Geometry.nearest(4, 8, 2, 0.5, minimum=minimum)


@given(geometries(), st.integers(1, 40))
def test_merging_keeps_padded_width_and_slots(g: Geometry, factor: int) -> None:
    if g.banks % factor:
        with pytest.raises(ValueError, match=rf"merge factor {factor}: must divide the {g.banks}"):
            g.merged(factor)
        return
    merged = g.merged(factor)
    assert (merged.rows, merged.columns, merged.slots) == (g.rows, g.columns, g.slots)
    assert merged.padded_columns == g.padded_columns
    assert merged.bank_width == factor * g.bank_width


def test_parts_keep_a_k_each() -> None:
    g = Geometry.of_parts(8, 16, 2, (3, 1, 0, 4))
    assert (g.nonzeros, g.parts) == (4, (3, 1, 0, 4))
    assert [(part.rows, part.nonzeros, part.parts) for part in g.split] == [
        (2, 3, ()), (2, 1, ()), (2, 0, ()), (2, 4, ()),
    ]  # fmt: skip
    assert (g.slots, g.sparsity) == (2 * 2 * 8, 0.75)
    assert g.merged(2).parts == (6, 2, 0, 8)


def test_parts_that_are_equal_are_one_k() -> None:
    assert Geometry.of_parts(8, 16, 2, (3, 3)) == Geometry(8, 16, 2, 3)


@pytest.mark.parametrize("parts", [(3, 1, 4), (3, 1), (5, 4), (4, -1), (4, 1.5)])
def test_parts_that_cannot_be(parts: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"parts .*(each equal part of the 8 rows|whole number)"):
        Geometry(8, 16, 2, 4, parts=parts)


def test_merge_keeps_pure_padding() -> None:
    merged = Geometry(3, 12, 8, 2).merged(2)
    assert (merged.banks, merged.bank_width, merged.nonzeros) == (4, 4, 4)


def test_merge_lists_the_factors() -> None:
    with pytest.raises(ValueError, match=r"merge factor 4: .*6 banks; use one of 1, 2, 3, 6"):
        Geometry(1, 12, 6, 1).merged(4)
