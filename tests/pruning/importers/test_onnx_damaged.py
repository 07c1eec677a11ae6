"""ONNX files that are damaged inside: each found by the fuzzer, each refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from bench.harm.onnx_files import onnx_seeds
from pruning.importers import import_model
from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return onnx_seeds(tmp_path_factory.mktemp("seeds"))


def _node(model: Any, kind: str) -> Any:
    return next(node for node in model.graph.node if node.op_type == kind)


def _bias(model: Any) -> Any:
    name = _node(model, "Gemm").input[2]
    return next(each for each in model.graph.initializer if each.name == name)


def _newest(model: Any) -> None:
    model.opset_import[0].version = 1 << 40


def _left_out(model: Any) -> None:
    _node(model, "Sub").input[1] = ""


def _short_bias(model: Any) -> None:
    found = _bias(model)
    found.CopyFrom(numpy_helper.from_array(np.zeros(2, np.float32), found.name))


def _four_bits(model: Any) -> None:
    found = _bias(model)
    found.CopyFrom(onnx.helper.make_tensor(found.name, TensorProto.INT4, [3], [1, 2, 3]))


def _whole_numbers(model: Any) -> None:
    constant = next(n for n in model.graph.node if n.output[0] == _node(model, "Sub").input[1])
    constant.attribute[0].t.CopyFrom(numpy_helper.from_array(np.array(1, np.uint8)))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_newest, "is of ONNX opset 1099511627776, the package onnx here knows"),
        (_left_out, "node /Sub .* leaves out an input that Sub needs"),
        (_short_bias, "node /head/Gemm .* a bias of shape"),
        (_four_bits, "node /head/Gemm .* a bias of int4"),
        (_whole_numbers, "node /Sub .* a constant of uint8"),
    ],
)
def test_a_damaged_graph(
    seeds: list[bytes], tmp_path: Path, damage: Callable[[Any], None], words: str
) -> None:
    with pytest.raises((CheckpointError, UnsupportedLayerError), match=words):
        import_model(_damaged(seeds[0], tmp_path, damage))


def test_a_bias_of_other_rows_in_a_matrix_alone(seeds: list[bytes], tmp_path: Path) -> None:
    path = _damaged(seeds[0], tmp_path, _short_bias)
    with pytest.raises(UnsupportedLayerError, match=r"its bias has shape \(2,\), not \(3,\)"):
        import_model(path, matrices=True)


def test_the_seeds_are_read(seeds: list[bytes], tmp_path: Path) -> None:
    for content in seeds:
        (tmp_path / "m").write_bytes(content)
        found = import_model(tmp_path / "m")
        assert found.reading is not None
        assert found.reading.checked
        assert all(torch.isfinite(tensor).all() for tensor in found.state_dict.values())


def _damaged(content: bytes, folder: Path, damage: Callable[[Any], None]) -> Path:
    model = onnx.ModelProto()
    model.ParseFromString(content)
    damage(model)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"
