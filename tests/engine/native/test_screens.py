"""Screens in C: sets, order, logits and what is read are those of the reference, by any kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import DenseLayer, Fixed, ModelFileError, save_model
from csb_format.files import sealed
from csb_format.screening.layer import ScreenedLayer
from engine.native.library import kernels
from engine.native.model import NativeModel
from engine.screened import top
from tests.engine.native.networks import any_screen, beside_head

RNG = np.random.default_rng


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.parametrize("kernel", kernels())
def test_top_is_that_of_the_reference(kernel: str, seed: int) -> None:
    sizes = {} if seed < 20 else {"outputs": 70, "inputs": [100, 128, 200, 300][seed - 20]}
    model, head, states = any_screen(seed, **sizes)
    if seed % 3 == 1:  # any order of rows
        head = head.after(RNG(seed).permutation(head.output_size)[: 1 + head.output_size // 2])
        model = replace(model, head=head)
    native, k = NativeModel(model, kernel), min(1 + seed % 8, head.output_size)
    for margin in (256, 100):
        wanted, found = top(head, states, k, margin), native.top(states, k, margin)
        for name in ("indices", "logits", "first", "second", "exact", "bytes", "margin"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
    assert np.array_equal(native.logits(states), head.logits(states))
    plain = NativeModel(replace(model, head=head.dense), kernel).top(states, k)
    assert np.array_equal(plain.indices, top(head, states, k).indices)
    assert np.array_equal(plain.logits, top(head, states, k).logits)
    assert (plain.exact == head.output_size).all()


@pytest.mark.parametrize("kernel", kernels())
def test_the_widest_head_with_the_largest_numbers(kernel: str) -> None:
    """Sums in 32 bits reach their ends where all numbers are as large as can be."""
    ends = [[32767], [-32768], [-32768], [32767], [1], [-1]]
    weight = np.repeat(np.array(ends), 4096, axis=1)
    model = beside_head(DenseLayer(weight, Fixed(16, 0), Fixed(16, 15), np.arange(6)))
    assert model.head is not None
    head = ScreenedLayer.of(model.head)
    states = np.array([[-32768] * 4096, [32767] * 4096, [255] * 4096, [-1] * 4096])
    native = NativeModel(replace(model, head=head), kernel)
    assert np.array_equal(native.logits(states), head.logits(states))
    found, wanted = native.top(states, 4), top(head, states, 4)
    assert np.array_equal(found.indices, wanted.indices)
    assert np.array_equal(found.logits, wanted.logits)
    assert np.array_equal(found.bytes, wanted.bytes)


def test_a_stream_is_asked_for_its_next_word() -> None:
    model, head, _ = any_screen(3, outputs=50, inputs=20)
    stream = NativeModel(model).start()
    output = stream.step(np.zeros((1, 3), np.int64))
    found = stream.model.top(output, 5)
    assert found.indices.shape == (1, 5)
    assert np.array_equal(found.indices, top(head, output, 5).indices)


def test_arguments_are_checked() -> None:
    model, _, states = any_screen(1, outputs=5, inputs=4)
    native = NativeModel(model)
    with pytest.raises(ValueError, match="k = 6: must be 1 to 5"):
        native.top(states, 6)
    with pytest.raises(ValueError, match="k = 9: must be 1 to 8"):
        native.top(states, 9)
    with pytest.raises(ValueError, match=r"output 70000 does not fit \d+ bits"):
        native.top(states * 0 + 70000, 1)
    headless = NativeModel(replace(model, head=None))
    with pytest.raises(ValueError, match="the model has no head"):
        headless.top(states, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, t: t.update({"head.first": t["head.first"] & 0x0F}), "does not cover its row"),
        (lambda h, t: t.update({"head.order": t["head.order"] * 0}), "an order that is none"),
        (lambda h, t: t.update({"head.blocks": t["head.blocks"] * 0}), "block that does not cover"),
        (
            lambda h, t: t.update({"head.second": t["head.second"] | 0xF0}),
            "cells that no row has",
        ),
        (
            lambda h, t: t.update({"head.planes.0": t["head.planes.0"] ^ 1}),
            "digits that no weight has",
        ),
        (lambda h, t: t.update({"head.blocks": t["head.blocks"][:2]}), "type and shape"),
        (lambda h, t: t.pop("head.planes.1"), "'head.planes.1' is missing"),
        (lambda h, t: h["head"]["screen"].update(bits=18), "no possible numbers"),
        (lambda h, t: h["head"]["screen"].update(far=41), "no possible numbers"),
        (lambda h, t: h["head"]["screen"].update(other=1), "no possible numbers"),
        (lambda h, t: h.update(format_version=2), "no possible numbers"),
        (lambda h, t: t.update({"head.more": t["head.order"]}), "tensors that no model has"),
    ],
)
def test_files_that_prove_nothing_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "m.safetensors"
    weight = RNG(0).integers(-3000, 3000, (37, 7))
    head = DenseLayer(weight, Fixed(16, 10), Fixed(16, 15), RNG(1).integers(-(1 << 20), 99, 37))
    model = beside_head(head)
    assert model.head is not None
    model = replace(model, head=ScreenedLayer.of(model.head))
    save_model(path, model)
    NativeModel(path)
    header, tensors = sealed.decode(path, "model")
    header.pop("sha256")
    change(header, tensors)
    path.write_bytes(sealed.encode(header, tensors))
    with pytest.raises(ModelFileError, match=message):
        NativeModel(path)
