"""Heads whose rows have few bits and a shift, in model files, read by Python and by C."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import DenseLayer, Fixed, Model, ModelFileError, load_model, save_model
from csb_format.files import sealed
from csb_format.fixed import round_rows
from csb_format.random_models import random_model
from engine.native.model import NativeModel

RNG = np.random.default_rng


def rounded(bits: int, seed: int = 0) -> Model:
    """A head whose rows are of all sizes, some of them zero."""
    rng = RNG(seed)
    model = random_model(rng, 5, 7, 2, 1, 1, head=23)
    assert model.head is not None
    weight = rng.integers(-(1 << 15), 1 << 15, (23, 7)) >> rng.integers(0, 17, (23, 1))
    head = replace(model.head, weight_format=Fixed(16, 12), weight=round_rows(weight, bits))
    return replace(model, head=replace(head, row_bits=bits), pool="every")


@pytest.mark.parametrize("bits", [4, 5, 8, 11, 16])
def test_round_trip_in_so_many_bits(tmp_path: Path, bits: int) -> None:
    path, model = tmp_path / "m.safetensors", rounded(bits)
    save_model(path, model)
    again = load_model(path)
    assert again.equals(model)
    assert again.head is not None
    assert again.head.row_bits == bits
    header, tensors = sealed.decode(path, "model")
    assert header["format_version"] == 4
    assert tensors["head.rows"].nbytes == 23 * -(-bits * 7 // 8)
    assert tensors["head.shifts"].nbytes == 23
    assert "head.weight" not in tensors
    states = RNG(1).integers(-30000, 30000, (9, 7))
    wanted = model.logits(states)
    np.testing.assert_array_equal(NativeModel(path).logits(states), wanted)
    np.testing.assert_array_equal(NativeModel(model).logits(states), wanted)


def test_of_eight_bits_a_weight_is_a_byte() -> None:
    head = rounded(8).head
    assert head is not None
    assert abs(head.weight >> head.row_shifts[:, None]).max() <= 128
    assert not replace(head, row_bits=0).equals(head)


@pytest.mark.parametrize(
    ("bits", "message"),
    [(3, "row_bits = 3: must be 0, or 4 to the 16"), (17, "row_bits = 17: must be 0, or 4 to"),
     (7, r"row \d+ of the head has more than 7 leading bits: round it")],
)  # fmt: skip
def test_rows_that_are_none(bits: int, message: str) -> None:
    head = rounded(8).head
    assert isinstance(head, DenseLayer)
    with pytest.raises(ValueError, match=message):
        replace(head, row_bits=bits)


@pytest.mark.parametrize(
    ("change", "python", "c"),
    [
        (lambda h, t: h["head"]["rows"].update(bits=3), "rows of 3 bits", "no possible bits"),
        (lambda h, t: h["head"]["rows"].update(bits=17), "rows of 17 bits", "no possible bits"),
        (lambda h, t: h["head"]["rows"].update(bits=9), "of shape", "type and shape"),
        (lambda h, t: h["head"]["rows"].update(more=1), "surplus", "no possible bits"),
        (lambda h, t: h["head"].pop("rows"), "'head.weight' is missing", "'head.weight' is miss"),
        (lambda h, t: t.pop("head.shifts"), "'head.shifts' is missing", "'head.shifts' is missing"),
        (lambda h, t: t["head.shifts"].fill(200), "shifted by 200 bits", "what no head has"),
        (lambda h, t: t["head.rows"][:, -1].fill(255), "bits set behind", "what no head has"),
        (lambda h, t: t.update({"head.more": t["head.shifts"]}), "surplus", "tensors that no"),
        (lambda h, t: h.update(format_version=3), "surplus", "no possible bits"),
    ],
)
def test_files_of_others_are_refused(tmp_path: Path, change: Any, python: str, c: str) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, rounded(5))
    header, tensors = sealed.decode(path, "model")
    header.pop("sha256")
    tensors = {name: tensor.copy() for name, tensor in tensors.items()}
    change(header, tensors)
    path.write_bytes(sealed.encode(header, tensors))
    with pytest.raises(ModelFileError, match=python):
        load_model(path)
    with pytest.raises(ModelFileError, match=c):
        NativeModel(path)
