"""Heads of several linear layers: their arithmetic in plain numbers, and their files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import DenseLayer, Fixed, Model, ModelFileError, load_model, save_model
from csb_format.fixed import round_rows
from csb_format.heads.mlp import MlpHead, Rectifier, layers_of
from csb_format.random_models import random_network
from csb_format.screening.layer import ScreenedLayer
from tests.csb_format.files.test_modelfile_contents import forged


def network(*hidden: int, head: int = 5) -> Model:
    rng = np.random.default_rng([1, *hidden])
    return random_network(rng, 6, 8, 2, (2, 2, 2), head=head, hidden=hidden)


def head_of(model: Model) -> MlpHead:
    assert isinstance(model.head, MlpHead)
    return model.head


@pytest.mark.parametrize("hidden", [(7,), (7, 4), (3, 9, 2)])
def test_in_plain_numbers(hidden: tuple[int, ...]) -> None:
    head = head_of(network(*hidden))
    state = np.random.default_rng(2).integers(-(1 << 15), 1 << 15, (20, 8))
    for row, logits in zip(state.tolist(), head.logits(state).tolist(), strict=True):
        vector = row
        for layer, taker in zip(head.layers, (*head.layers[1:], None), strict=True):
            sums = [
                sum(w * x for w, x in zip(weights, vector, strict=True)) + bias
                for weights, bias in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
            ]
            if taker is None:
                assert sums == logits
                break
            shift = layer.weight_format.frac + layer.input.frac - taker.input.frac
            floors = [(max(0, s) + (1 << shift >> 1)) >> shift for s in sums]
            vector = [min(taker.input.max, f) for f in floors]
    assert head.input_size == 8
    assert head.output_size == 5
    assert head.last_bit == 2.0 ** -(head.weight_format.frac + head.layers[-1].input.frac)


def test_what_is_between_is_neither_all_zero_nor_all_saturated() -> None:
    head = head_of(network(40))
    found = head.activations(np.random.default_rng(3).integers(-(1 << 15), 1 << 15, (50, 8)))
    assert found.min() == 0
    assert 0.2 < (found == 0).mean() < 0.8
    assert ((found > 0) & (found < head.input.max)).mean() > 0.1


def test_a_rectifier_without_a_shift() -> None:
    assert Rectifier(0, 8).least == 1
    assert Rectifier(0, 8).of(np.array([-3, 0, 1, 200])).tolist() == [0, 0, 1, 127]


@pytest.mark.parametrize("hidden", [(7,), (7, 4)])
def test_files(tmp_path: Path, hidden: tuple[int, ...]) -> None:
    model = network(*hidden)
    save_model(tmp_path / "model.sft", model)
    found = load_model(tmp_path / "model.sft")
    assert found.equals(model)
    assert found.shape == model.shape
    assert not found.equals(network(*hidden[1:], 3))
    assert not found.equals(network())
    assert not network().equals(found)


def test_layers_of_few_bits_and_in_planes_are_kept(tmp_path: Path) -> None:
    model = network(40, 6)
    first, second, last = head_of(model).layers
    few = replace(second, weight=round_rows(second.weight, 6), row_bits=6)
    whole = replace(last, weight=round_rows(last.weight, 8), row_bits=8)
    both = replace(model, head=MlpHead.of(ScreenedLayer.of(first), few, whole))
    save_model(tmp_path / "model.sft", both)
    found = head_of(load_model(tmp_path / "model.sft"))
    assert head_of(both).equals(found)
    assert isinstance(found.hidden[0], ScreenedLayer)
    assert [layer.row_bits for layer in found.layers] == [0, 6, 8]


def test_a_head_of_one_layer_has_the_version_that_it_had(tmp_path: Path) -> None:
    versions = []
    for n, model in enumerate((network(), network(7))):
        path = tmp_path / f"{n}.sft"
        save_model(path, model)
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["sparseflow"])
        versions.append((header["format_version"], "hidden" in header["head"]))
    assert versions == [(1, False), (5, True)]


CHANGES: list[tuple[Any, str]] = [
    (lambda h, t: h["head"].update(hidden=[]), "hidden layers of a head|surplus"),
    (lambda h, t: h["head"]["hidden"][0].update(outputs=6), "bias' is I64 of shape"),
    (lambda h, t: h["head"].pop("hidden"), "layer before gives|takes"),
    (lambda h, t: h.update(format_version=4), "surplus"),
    (lambda h, t: t.pop("head.hidden.0.weight"), "'head.hidden.0.weight' is missing"),
    (lambda h, t: h["head"]["hidden"].append(h["head"]["hidden"][0]), "missing"),
    (lambda h, t: h["head"]["hidden"][0].update(hidden=[]), "surplus"),
    (lambda h, t: h["head"]["formats"]["input"].update(frac=40), "fraction bits more"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_what_is_refused_of_files(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "model.sft"
    save_model(path, network(7))
    path.write_bytes(forged(path.read_bytes(), change))
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def test_what_is_refused() -> None:
    head = head_of(network(7))
    first, last = head.layers
    with pytest.raises(ValueError, match="takes 6 numbers, the one before gives 7"):
        MlpHead.of(first, replace(last, weight=last.weight[:, 1:]))
    with pytest.raises(ValueError, match="have -13 fraction bits more"):
        MlpHead.of(replace(first, weight_format=Fixed(16, 12)), replace(last, input=Fixed(16, 40)))
    with pytest.raises(ValueError, match="at least one DenseLayer"):
        MlpHead.of(last)
    with pytest.raises(ValueError, match="the last layer is a ScreenedLayer"):
        MlpHead.of(first, ScreenedLayer.of(last))
    with pytest.raises(ValueError, match="head takes 7 elements, the layer before gives 8"):
        replace(network(7), head=last)
    with pytest.raises(ValueError, match=r"hidden state of shape \(7,\): .* 8 elements"):
        head.logits(np.zeros(7, np.int64))


def test_layers_of_a_head() -> None:
    head = head_of(network(7))
    assert [type(layer) for layer in layers_of(head)] == [DenseLayer, DenseLayer]
    assert layers_of(head.last) == (head.last,)
