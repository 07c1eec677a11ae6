"""Fields joined to words and split again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csb_format.words import join_fields, split_fields

Rows = tuple[list[int], list[list[int]]]


@st.composite
def signed_rows(draw: st.DrawFn) -> Rows:
    widths = draw(st.lists(st.integers(1, 62), min_size=1, max_size=12))
    row = st.tuples(*(st.integers(-(1 << b - 1), (1 << b - 1) - 1) for b in widths))
    return widths, [list(fields) for fields in draw(st.lists(row, min_size=1, max_size=5))]


@given(signed_rows())
def test_split_undoes_join(rows: Rows) -> None:
    widths, fields = rows
    words = join_fields(np.array(fields, np.int64), widths)
    assert all(0 <= word < 1 << sum(widths) for word in words)
    assert split_fields(words.tolist(), widths).tolist() == fields


@given(signed_rows())
def test_first_field_is_lowest(rows: Rows) -> None:
    widths, fields = rows
    for row, word in zip(fields, join_fields(np.array(fields, np.int64), widths), strict=True):
        for value, width in zip(row, widths, strict=True):
            assert word & ((1 << width) - 1) == value % (1 << width)
            word >>= width
        assert word == 0


@given(signed_rows())
def test_join_undoes_split(rows: Rows) -> None:
    widths, fields = rows
    words = join_fields(np.array(fields, np.int64), widths).tolist()
    assert join_fields(split_fields(words, widths), widths).tolist() == words


def test_by_hand() -> None:
    assert join_fields(np.array([[1, -1], [7, 8]]), [4, 4]).tolist() == [0xF1, 0x87]
    assert split_fields([0xF1, 0x87], [4, 4]).tolist() == [[1, -1], [7, -8]]
    assert split_fields([0b10], [1, 1]).tolist() == [[0, -1]]


def test_fields_are_cut_to_their_width() -> None:
    assert join_fields(np.array([0x1FF, -1]), [8, 3]) == 0x7FF


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 0, 3), (4, 1, 2, 3)])
def test_leading_axes_are_kept(shape: tuple[int, ...]) -> None:
    fields = np.random.default_rng(1).integers(-128, 128, shape)
    words = join_fields(fields, 40)
    assert words.shape == shape[:-1]
    assert words.dtype == object
    flat = join_fields(fields.reshape(-1, 3), [40, 40, 40])
    assert words.ravel().tolist() == flat.tolist()


def test_words_wider_than_any_machine_integer() -> None:
    fields = np.arange(-100, 100, dtype=np.int64).reshape(2, 100)
    words = join_fields(fields, 22)
    assert isinstance(words[0], int)
    assert words[1].bit_length() > 2000
    np.testing.assert_array_equal(split_fields(words.tolist(), [22] * 100), fields)
