"""Screened heads: the weights they hold, the bounds they prove, the files they are in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import DenseLayer, Fixed, ModelFileError, load_model, save_model
from csb_format.files import container, sealed
from csb_format.random_models import random_model
from csb_format.screening.adversaries import adversarial_head, adversarial_states
from csb_format.screening.bounds import FRACTION, query_of, root_above
from csb_format.screening.layer import ScreenedLayer
from csb_format.screening.planes import Cells, pack_rows, plane_bits, unpack_rows

RNG = np.random.default_rng


def head(seed: int = 0, outputs: int = 40, inputs: int = 24) -> DenseLayer:
    rng = RNG(seed)
    weight = np.round(rng.normal(0, 2000, (outputs, inputs))).astype(np.int64)
    bias = rng.integers(-(1 << 24), 1 << 24, outputs)
    return DenseLayer(np.clip(weight, -32768, 32767), Fixed(16, 14), Fixed(16, 15), bias)


def in_any_order(layer: ScreenedLayer, seed: int) -> ScreenedLayer:
    """With half of its rows before the others where the seed is odd."""
    return layer.after(RNG(seed).permutation(layer.output_size)[::2]) if seed % 2 else layer


@pytest.mark.parametrize("seed", range(40))
def test_bounds_are_never_below_a_logit(seed: int) -> None:
    rng = RNG([1, seed])
    layer = in_any_order(
        ScreenedLayer.of(adversarial_head(rng), int(rng.integers(0, 1 << 20))), seed
    )
    for state in adversarial_states(rng, layer, 40):
        logits = layer.logits(state)[layer.order] << FRACTION
        query = query_of(state)
        blocks = np.repeat(layer.blocks.bounds(query.norm), 16)[: len(logits)]
        assert (layer.first_bounds(query) >= logits).all()
        assert (layer.second_bounds(query) >= logits).all()
        assert (blocks >= logits).all()


@pytest.mark.parametrize("seed", range(20))
def test_planes_hold_the_weights(seed: int) -> None:
    dense = adversarial_head(RNG([2, seed]))
    layer = in_any_order(ScreenedLayer.of(dense), seed)
    formats = (dense.weight_format, dense.input)
    again = ScreenedLayer.read(layer.parts(), layer.shifts, dense.input_size, formats, dense.bias)
    assert again.equals(layer)
    assert again.dense.equals(dense)
    assert np.array_equal(np.sort(layer.order), np.arange(dense.output_size))


def test_rows_come_in_the_order_of_what_they_can_reach() -> None:
    layer = ScreenedLayer.of(head(), typical=50_000)
    norms = np.ceil(np.sqrt((layer.weight.astype(float) ** 2).sum(axis=1)))
    reach = layer.bias + norms * 50_000
    assert (np.diff(reach[layer.order]) <= 0).all()


def test_narrow_rows_are_stored_from_their_leading_bit() -> None:
    dense = head()
    narrow = replace(dense, weight=dense.weight >> np.arange(40)[:, None] % 9)
    layer = ScreenedLayer.of(narrow)
    assert layer.rows.cells.width.min() < layer.rows.cells.width.max() <= layer.bits
    rounded = ScreenedLayer.of(replace(dense, weight=dense.weight >> 8 << 8))
    assert rounded.rows.cells.shift.min() == 8
    assert rounded.bits < 9


@pytest.mark.parametrize(
    ("width", "fold"), [(w, f) for w in (5, 6, 7, 9, 16) for f in range(min(w - 4, 3))]
)
def test_every_number_of_a_row_comes_back_and_lies_in_its_cell(width: int, fold: int) -> None:
    """All numbers of a width, against cells that are counted out one by one."""
    half = 1 << width - 1
    numbers = np.arange(-half, half)[None] << 3
    cells = Cells(np.array([width]), np.array([3]), np.array([fold]))
    planes = cells.planes(numbers)
    assert np.array_equal(cells.weights(planes, 2 * half), numbers)
    first, second = cells.first(numbers)[0], cells.second(numbers)[0]
    assert abs(second).max() < 128
    unit = 2.0 ** cells.unit[0]
    for n, number in enumerate(numbers[0] // 8):
        size = number if number >= 0 else -number - 1
        limit = 1 << width - 2 - fold
        assert abs(first[n]) == (3 if size >= limit else 1)
        assert (first[n] > 0) == (second[n] > 0) == (number >= 0)
        wide = (half if size >= limit and fold else limit) / 8
        assert abs(second[n] * unit - (number + 0.5) * 8) <= 8 * wide / 2


def test_cells_of_most_weights_are_folded() -> None:
    """A row whose weights are small beside its largest has its first threshold among them."""
    dense = head(3, inputs=200)
    weight = dense.weight.copy()
    weight[:, 0] = 16000
    assert (ScreenedLayer.of(replace(dense, weight=weight)).rows.cells.fold > 0).all()


@pytest.mark.parametrize("bits", [2, 3, 8, 12])
def test_rows_of_fields_begin_bytes(bits: int) -> None:
    fields = RNG(0).integers(0, 1 << bits, (5, 13))
    packed = pack_rows(fields, bits)
    assert packed.shape == (5, -(-bits * 13 // 8))
    assert np.array_equal(unpack_rows(packed, bits, 13), fields)
    for row, octets in zip(fields.tolist(), packed, strict=True):  # lowest bit first, no gaps
        assert int.from_bytes(octets.tobytes(), "little") == sum(
            value << bits * n for n, value in enumerate(row)
        )
    packed[0, -1] |= 0x80
    if bits * 13 % 8:
        with pytest.raises(ValueError, match="behind the last weight"):
            unpack_rows(packed, bits, 13)


def test_roots_are_rounded_up() -> None:
    squares = np.array([0, 1, 2, 4, 5, (1 << 30) ** 2 - 1, (1 << 30) ** 2, (1 << 30) ** 2 + 1])
    wanted = [0, 1, 2, 2, 3, 1 << 30, 1 << 30, (1 << 30) + 1]
    assert root_above(squares).tolist() == wanted


@pytest.mark.parametrize(
    ("field", "row", "what"),
    [("norm", 3, "norm"), ("second", 5, "second norm"), ("prior", 2, "prior")],
)
def test_rows_that_prove_nothing_are_refused(field: str, row: int, what: str) -> None:
    layer = ScreenedLayer.of(head())
    values = getattr(layer.rows, field).copy()
    values[row] -= 1
    with pytest.raises(ValueError, match=what):
        replace(layer, rows=replace(layer.rows, **{field: values}))


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("width", -1, "width of a screen is too small"),
        ("shift", 1, "shift of a screen is too large"),
        ("fold", 3, "fold of a screen: give"),
    ],
)
def test_cells_that_no_row_has_are_refused(field: str, change: int, message: str) -> None:
    layer = ScreenedLayer.of(head())
    cells = replace(layer.rows.cells, **{field: getattr(layer.rows.cells, field) + change})
    with pytest.raises(ValueError, match=message):
        replace(layer, rows=replace(layer.rows, cells=cells))


@pytest.mark.parametrize(("field", "change"), [("far", -1), ("most", -1), ("least", 1)])
def test_blocks_that_prove_nothing_are_refused(field: str, change: int) -> None:
    layer = ScreenedLayer.of(head())
    values = getattr(layer.blocks, field).copy()
    values[1] += change
    with pytest.raises(ValueError, match=f"{field} of a screen does not cover"):
        replace(layer, blocks=replace(layer.blocks, **{field: values}))


def test_what_cannot_be_screened_is_refused() -> None:
    wide = DenseLayer(np.ones((2, 3), int), Fixed(18, 17), Fixed(16, 15), np.zeros(2, int))
    with pytest.raises(ValueError, match="weights of 18 bits cannot be screened: take at most 16"):
        ScreenedLayer.of(wide)
    many = DenseLayer(np.ones((1, 4097), int), Fixed(8, 7), Fixed(8, 7), np.zeros(1, int))
    with pytest.raises(ValueError, match="4097 inputs cannot be screened: take at most 4096"):
        ScreenedLayer.of(many)
    layer = ScreenedLayer.of(head())
    with pytest.raises(ValueError, match="give each of the 40 outputs once"):
        replace(layer, order=layer.order % 39)


def test_bytes_that_a_token_reads() -> None:
    layer = ScreenedLayer.of(head())  # 40 rows of 24 weights: 6 and 9 bytes, and the rest
    assert plane_bits(layer.bits) == (2, 3, layer.bits - 5)
    rest = -(-(layer.bits - 5) * 24 // 8)
    assert layer.row_bytes() == (6 + 4, 9 + 4, 15 + rest + 12)
    one = layer.bytes_read(np.array([32]), np.array([3]), np.array([1]))
    assert one.tolist() == [3 * 4 + 32 * 10 + 3 * 13 + 27 + rest]


def screened_model(seed: int = 0, **more: Any) -> Any:
    model = random_model(RNG(seed), 5, 6, 2, 1, 1, head=37, **more)
    assert model.head is not None
    return replace(model, head=ScreenedLayer.of(model.head))


def test_files_hold_screens(tmp_path: Path) -> None:
    path, model = tmp_path / "m.safetensors", screened_model()
    save_model(path, model)
    again = load_model(path)
    assert again.equals(model)
    assert isinstance(again.head, ScreenedLayer)
    header, tensors = sealed.decode(path, "model")
    assert header["format_version"] == 3
    assert set(header["head"]["screen"]) == {"bits", "prior", "far", "norm", "typical"}
    sizes = {name: tensor.shape for name, tensor in tensors.items() if name.startswith("head")}
    assert sizes["head.blocks"] == (3, 4)
    assert sizes["head.first"] == (37, 4)
    assert sizes["head.second"] == (37, 4)
    assert sizes["head.order"] == (37, 4)
    assert sizes["head.planes.0"] == (37, 2)
    assert "head.weight" not in sizes


def test_a_plain_head_is_written_as_ever(tmp_path: Path) -> None:
    model = screened_model()
    save_model(tmp_path / "m", replace(model, head=model.head.dense))
    header, tensors = sealed.decode(tmp_path / "m", "model")
    assert header["format_version"] == 1
    assert "head.weight" in tensors
    assert "screen" not in header["head"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, t: t.update({"head.first": t["head.first"] * 0}), "does not cover"),
        (lambda h, t: t.update({"head.order": t["head.order"] * 0}), "each of the 37 outputs once"),
        (lambda h, t: t.update({"head.blocks": t["head.blocks"][:2]}), "shape"),
        (lambda h, t: t.pop("head.planes.1"), "'head.planes.1' is missing"),
        (lambda h, t: t.update({"head.planes.0": t["head.planes.0"] ^ 1}), "that no weight has"),
        (lambda h, t: t.update({"head.second": t["head.second"] | 240}), "fold|width|rows that"),
        (lambda h, t: h["head"]["screen"].update(bits=18), "18 bits"),
        (lambda h, t: h["head"]["screen"].update(prior=-1), "prior shift -1"),
        (lambda h, t: h["head"]["screen"].update(far=41), "far shift 41"),
        (lambda h, t: h["head"]["screen"].pop("norm"), "'norm' is None"),
        (lambda h, t: h["head"]["screen"].update(other=1), "surplus"),
        (lambda h, t: h.update(format_version=1), "surplus"),
    ],
)
def test_files_of_others_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, screened_model())
    header, tensors = sealed.decode(path, "model")
    header.pop("sha256")
    change(header, tensors)
    path.write_bytes(sealed.encode(header, tensors))
    assert container.read_metadata(path)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)
