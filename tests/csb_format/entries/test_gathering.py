"""Rounding and packing in one pass is packing of all of it rounded; errors are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from csb_format import Csb, Geometry, UnbalancedError
from csb_format.entries import gathering
from csb_format.fixed import Fixed

Array = npt.NDArray[Any]
Shape = tuple[int, int, int, int]
SHAPES = [(8, 12, 4, 2), (8, 13, 4, 3), (4, 11, 8, 1), (8, 9, 3, 0), (12, 10, 4, 3)]
FOUR = tuple(Fixed(8, frac) for frac in (5, 6, 7, 9))


def case(
    shape: tuple[int, int, int, int], dtype: type = np.float32
) -> tuple[Array, Geometry, Array]:
    """Reals, some beyond the formats and some of them halves, zero outside a balanced mask."""
    g, rng = Geometry(*shape, 8), np.random.default_rng(0)
    mask = np.zeros((g.rows, g.padded_columns), np.bool_)
    for bank, size in enumerate(g.bank_columns):
        for row in range(g.rows):
            mask[row, bank * g.bank_width + rng.permutation(size)[: g.nonzeros]] = True
    mask = mask[:, : g.columns]
    real = np.round(rng.normal(size=mask.shape) * 64) / 64 + rng.choice([0, 2.0**-8], mask.shape)
    return (real * mask).astype(dtype), g, mask


def rounded(real: Array, formats: tuple[Fixed, ...]) -> Array:
    parts = zip(formats, np.split(real, len(formats)), strict=True)
    return np.concatenate([fixed.quantise(part) for fixed, part in parts])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("formats", [(Fixed(8, 6),), FOUR])
@pytest.mark.parametrize("shape", SHAPES)
def test_one_pass_is_packing_of_all_of_it_rounded(
    shape: Shape, formats: tuple[Fixed, ...], dtype: type,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    real, g, mask = case(shape, dtype)
    integers = rounded(real, formats)
    packed = Csb.pack(integers, g, mask)
    monkeypatch.setattr(gathering, "_BLOCK", 30)
    with monkeypatch.context() as patched:
        patched.setattr(Csb, "pack", None)  # what it falls back to
        made = Csb.quantise(real, formats[0] if len(formats) == 1 else formats, g, mask)
    assert made.equals(packed)
    assert not made.values.flags.writeable
    assert not made.indices.flags.writeable
    assert np.array_equal(made.to_dense(), integers)
    assert np.array_equal(made.to_mask(), mask)
    scales = np.repeat([fixed.lsb for fixed in formats], g.rows // len(formats))
    assert np.array_equal(made.to_real(formats), integers * scales[:, None])


def test_what_rounds_to_nothing_outside_the_mask_does_not_matter() -> None:
    real, g, mask = case(SHAPES[0])
    real[~mask] = 1e-3
    fixed = Fixed(8, 6)
    assert Csb.quantise(real, fixed, g, mask).equals(Csb.pack(fixed.quantise(real), g, mask))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("outside", "value .* in row .* is outside the mask: multiply the matrix by the mask"),
        ("nan", r"value at \(3, \d+\) is nan: remove NaN and infinity"),
        ("inf", r"value at \(3, \d+\) is inf: remove NaN and infinity"),
        ("narrow", "value .*: 4 bits hold -8 to 7; use more value_bits"),
        ("shape", r"dense matrix has shape \(8, 11\): the geometry needs \(8, 12\)"),
    ],
)
def test_faults_are_named_as_packing_names_them(kind: str, message: str) -> None:
    real, g, mask = case(SHAPES[0])
    column = int(np.flatnonzero(mask[3])[0])
    if kind == "outside":
        real[~mask] = 1.0
    if kind in ("nan", "inf"):
        real[3, column] = float(kind)
    if kind == "narrow":
        g = Geometry(*SHAPES[0], 4)
    if kind == "shape":
        real, mask = real[:, 1:], mask[:, 1:]
    with pytest.raises(ValueError, match=message):
        Csb.quantise(real, Fixed(8, 6), g, mask)


@pytest.mark.parametrize("moved", [False, True])
def test_a_bank_that_keeps_another_number_is_named(moved: bool) -> None:
    real, g, mask = case(SHAPES[0])
    mask[2, int(np.flatnonzero(mask[2, :3])[0])] = False
    if moved:  # as many in the row, one of them in another bank
        mask[2, 3 + int(np.flatnonzero(~mask[2, 3:6])[0])] = True
    with pytest.raises(UnbalancedError, match="row 2, bank 0 keeps 1 weights, expected 2"):
        Csb.quantise(real * mask, Fixed(8, 6), g, mask)
