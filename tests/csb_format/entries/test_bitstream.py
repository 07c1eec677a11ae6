"""The bit stream: what Python's integers give, for every width, in blocks of any number."""

from __future__ import annotations

import numpy as np
import pytest

from csb_format import Geometry
from csb_format.entries import bitstream
from csb_format.entries.bitstream import join_entries, split_entries

WIDTHS = [(4, 1), (4, 4), (7, 2), (8, 3), (11, 8), (16, 75), (18, 300), (18, 1 << 16)]


@pytest.mark.parametrize("rows", [1, 3, 17])
@pytest.mark.parametrize(("bits", "bank_width"), WIDTHS)
def test_bits_are_those_of_python_integers(
    bits: int, bank_width: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitstream, "_BLOCK", 16)
    g = Geometry(rows, 3 * bank_width, 3, 1, bits)
    rng, half = np.random.default_rng(0), 1 << (bits - 1)
    values = rng.integers(-half, half, (rows, 1, 3)).astype(np.int32)
    indices = rng.integers(0, bank_width, (rows, 1, 3)).astype(np.uint16)
    whole, width = 0, g.bits_per_nonzero
    for n, (value, index) in enumerate(zip(values.flat, indices.flat, strict=True)):
        whole |= (int(value) % (2 * half) | int(index) << bits) << n * width
    data = join_entries(g, values, indices)
    assert data == whole.to_bytes(-(-g.packed_bits // 8), "little")
    found = split_entries(g, memoryview(data))
    assert np.array_equal(found[0], values)
    assert np.array_equal(found[1], indices)
