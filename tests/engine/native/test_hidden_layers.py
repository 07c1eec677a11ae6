"""Heads of several linear layers in C: logits are those of the integer model, files are checked."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import Fixed, Model, save_model
from csb_format.files import sealed
from csb_format.files.modelfile import ModelFileError
from csb_format.heads.dense import DenseLayer
from csb_format.heads.mlp import MlpHead
from csb_format.pooling import Pool
from csb_format.random_models import random_network
from csb_format.screening.layer import ScreenedLayer
from engine.native.model import NativeModel


def model(pool: Pool = "last", directions: int = 1) -> Model:
    rng = np.random.default_rng(0)
    drawn = random_network(rng, 6, 8, 2, (2, 2, 2), directions=directions, head=5, hidden=(7, 4))
    return replace(drawn, pool=pool)


@pytest.mark.parametrize(
    ("pool", "directions"), [("last", 1), ("every", 2), ("hn", 2), ("mean", 1)]
)
def test_logits_are_those_of_the_model(tmp_path: Path, pool: Pool, directions: int) -> None:
    given = model(pool, directions)
    save_model(tmp_path / "model.sft", given)
    fixed = given.layers[-1].output
    outputs = np.random.default_rng(1).integers(fixed.min, fixed.max + 1, (9, 8 * directions))
    wanted = given.logits(outputs)
    for native in (NativeModel(given), NativeModel(tmp_path / "model.sft")):
        assert native.shape.classes == 5
        np.testing.assert_array_equal(native.logits(outputs), wanted)
        top = native.top(outputs, 3)
        order = np.argsort(-np.atleast_2d(wanted), axis=1, kind="stable")[:, :3]
        np.testing.assert_array_equal(top.indices, order)
        # all weights and biases, 8 bytes each
        assert (top.bytes == 8 * (7 * (8 * directions + 1) + 4 * 8 + 5 * 5)).all()
        with pytest.raises(ValueError, match="does not fit 16 bits"):
            native.logits(outputs + (1 << 16))


@pytest.mark.parametrize("seed", range(20))
def test_rounding_saturation_and_rows_of_few_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [8, *rng.integers(1, 9, rng.integers(1, 4)).tolist(), int(rng.integers(1, 9))]
    taken, layers = model().layers[-1].output, []
    for inputs, outputs in pairwise(sizes):
        bits = int(rng.integers(4, 17))
        weight = rng.integers(-(1 << bits - 1), 1 << bits - 1, (outputs, inputs))
        rows = bits if rng.random() < 0.3 else 0
        if rows:
            bits = 16
            weight <<= rng.integers(0, 17 - rows, (outputs, 1))
        bias = rng.integers(-(1 << 47), 1 << 47, outputs) >> rng.integers(0, 48, outputs)
        layers.append(DenseLayer(weight, Fixed(bits, 9), taken, bias, row_bits=rows))
        # of sums fraction bits are lost: none, some, or so many that little is left
        whole = 9 + taken.frac
        taken = Fixed(int(rng.integers(2, 19)), int(rng.integers(max(-32, whole - 40), whole + 1)))
    given = replace(model(), head=MlpHead.of(*layers), pool="every", label_names=())
    fixed = given.layers[-1].output
    outputs = rng.choice([fixed.min, -1, 0, 1, fixed.max], (40, 8))
    outputs[20:] = rng.integers(fixed.min, fixed.max + 1, (20, 8))
    np.testing.assert_array_equal(NativeModel(given).logits(outputs), given.logits(outputs))


def test_layers_in_planes_run_and_their_file_is_named(tmp_path: Path) -> None:
    given = model()
    assert isinstance(given.head, MlpHead)
    first, *rest = given.head.layers
    screened = replace(given, head=MlpHead.of(ScreenedLayer.of(first), *rest))
    fixed = given.layers[-1].output
    outputs = np.random.default_rng(1).integers(fixed.min, fixed.max + 1, (9, 8))
    np.testing.assert_array_equal(NativeModel(screened).logits(outputs), given.logits(outputs))
    save_model(tmp_path / "model.safetensors", screened)
    with pytest.raises(ModelFileError, match=r"hidden\.0 lies in planes, .* without planes"):
        NativeModel(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("hidden", [], "its head has no possible hidden layers"),
        ("hidden", {}, "its head has no possible hidden layers"),
        ("format_version", 4, "its head has no possible hidden layers"),
        ("hidden.0.hidden", [], "head.hidden.0 has hidden layers of its own"),
        ("hidden.1.outputs", 0, "head has no possible sizes"),
        ("hidden.1.inputs", 6, "head.hidden.1.weight' has not the type and shape"),
        ("hidden.1.formats.input.frac", 60, "layers that do not fit each other"),
        ("formats.input.width", 33, "layers that do not fit each other"),
        ("hidden.0.formats.input.width", 9, "its head does not fit the last layer"),
        ("hidden.0.screen", {"bits": 5}, "head.hidden.0 lies in planes"),
        ("screen", {"bits": 5}, "head lies in planes"),
        ("surplus", 1, "head has no possible sizes or formats"),
    ],
)
def test_headers_that_no_head_has(tmp_path: Path, key: str, value: Any, text: str) -> None:
    path = tmp_path / "model.sft"
    save_model(path, model())
    header, tensors = sealed.decode(path, "model")
    *names, last = key.split(".")
    node: Any = header if key == "format_version" else header["head"]
    for name in names:
        node = node[int(name)] if isinstance(node, list) else node[name]
    node[last] = value
    path.write_bytes(sealed.encode(header, tensors))
    with pytest.raises(ModelFileError, match=text):
        NativeModel(path)


def test_tensors_beyond_those_of_all_layers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.sft"
    save_model(path, model())
    header, tensors = sealed.decode(path, "model")
    path.write_bytes(sealed.encode(header, dict(tensors) | {"head.hidden.2.bias": np.arange(2)}))
    with pytest.raises(ModelFileError, match="has tensors that no model has"):
        NativeModel(path)
