"""The C reader of model files: what it refuses, and that it says so."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import FORMAT_VERSION
from csb_format.files import sealed
from csb_format.files.container import canonical_json
from csb_format.files.container import encode as contain
from csb_format.files.modelfile import ModelFileError, model_bytes, save_model
from csb_format.inputs.scale import InputScale
from csb_format.random_models import random_network
from engine.native.library import NativeError
from engine.native.model import NativeModel

MODEL = random_network(np.random.default_rng(1), 5, 4, 2, (1, 1, 1), projection=3, head=2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, MODEL)
    return path


def parts(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    header, tensors = sealed.decode(path, "model")
    return copy.deepcopy(header), dict(tensors)


def write(path: Path, header: dict[str, Any], tensors: dict[str, Any]) -> None:
    """A file whose checksum is right, whatever is in it."""
    path.write_bytes(sealed.encode(header, tensors))


def test_a_file_is_the_model(path: Path) -> None:
    native = NativeModel(path)
    assert native.model.equals(MODEL)
    assert (native.shape.inputs, native.shape.outputs, native.shape.classes) == (5, 3, 2)
    assert native.shape.weights == sum(m.matrix.real_nonzeros for m in MODEL.layers[0].matrices)


@pytest.mark.parametrize("step", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_any_changed_byte_is_refused(path: Path, step: int) -> None:
    data = path.read_bytes()
    for at in range(0, len(data), step):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError):
            NativeModel(path)


@pytest.mark.parametrize("count", [0, 7, 8, 9, 300, -1])
def test_a_truncated_file_is_refused(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:count])
    with pytest.raises(ModelFileError, match=r"model.safetensors: .*(truncated|damaged)"):
        NativeModel(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="there is no such file"):
        NativeModel(tmp_path / "none")
    with pytest.raises(OSError, match="is no file"):
        NativeModel(tmp_path)


def change(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Set what a path of keys leads to."""

    def change(header: dict[str, Any]) -> None:
        *way, last = (int(k) if k.isdigit() else k for k in key.split("."))
        node: Any = header
        for each in way:
            node = node[each]
        if value is None:
            del node[last]
        else:
            node[last] = value

    return change


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        (
            "format_version",
            FORMAT_VERSION + 1,
            f"format version {FORMAT_VERSION + 1} is newer than",
        ),
        ("format_version", 0, "no format_version"),
        ("kind", "matrices", "holds no model"),
        ("gate_order", "iofg", "gate order is not that of its cell"),
        ("directions", 2, "names something that no model has"),
        ("directions", 3, "names something that no model has"),
        ("pool", "first", "names something that no model has"),
        ("surplus", 1, "names something that no model has"),
        ("layers", [], "names something that no model has"),
        ("layers.0.formats.hidden.frac", 8, "gates of 16 bits and states of 18, 8 and 13"),
        ("layers.0.formats.input.width", 49, "layers.0 has no possible formats"),
        ("layers.0.formats.input.width", 8.5, "layers.0 has no possible formats"),
        ("layers.0.formats.more", 8, "layers.0 has no possible formats"),
        ("layers.0.formats.input.frac", -20, "binary points of its products lie more than 7"),
        ("layers.0.weight_ih.rows", 15, "weight_ih' has not the type and shape"),
        ("layers.0.weight_ih.rows", 1 << 30, "claims more places"),
        ("layers.0.weight_ih.bank_width", 2, "no possible geometry"),
        ("layers.0.weight_ih.value_bits", 19, "no possible geometry"),
        ("layers.0.weight_ih.columns", None, "no possible geometry"),
        ("layers.0.projection.weight_hr.banks", 0, "no possible geometry"),
        ("layers.0.projection.formats.output.width", 9, "its head does not fit the last layer"),
        ("head.inputs", 4, "head.weight' has not the type and shape"),
        ("head.outputs", True, "head has no possible sizes"),
    ],
)
def test_headers_that_no_model_has(path: Path, key: str, value: Any, text: str) -> None:
    header, tensors = parts(path)
    change(key, value)(header)
    write(path, header, tensors)
    with pytest.raises((ModelFileError, NativeError), match=text):
        NativeModel(path)


def test_cells_are_known_by_name(path: Path) -> None:
    header, tensors = parts(path)
    for more, text in (
        ({"gate_order": "rzn"}, "gate order is not that of its cell"),
        ({"cell": "gru"}, "gate order is not that of its cell"),
        ({"cell": "gru", "gate_order": "rzn"}, "no possible formats|do not fit"),
        ({"cell": "gru0", "gate_order": "rzn"}, "no possible formats|do not fit"),
        ({"cell": "gru0", "gate_order": "ifgo"}, "gate order is not that of its cell"),
        ({"cell": "mgu"}, "cell 'mgu': this library knows lstm, gru and gru0"),
    ):
        write(path, header | more, tensors)
        with pytest.raises((ModelFileError, NativeError), match=text):
            NativeModel(path)


def test_the_reach_of_states_stands_in_the_file(path: Path) -> None:
    wide = random_network(np.random.default_rng(1), 5, 4, 2, (1, 1, 0), layers=2, reach=64)
    save_model(path, wide)
    assert NativeModel(path).shape.cell.fraction == wide.layers[1].state.frac
    header, tensors = parts(path)
    assert header["reach"] == [64, 64]
    for reach in ([64, 16], [64], 64, [64, "64"]):
        write(path, header | {"reach": reach}, tensors)
        with pytest.raises(ModelFileError, match="its reach is not that of its states"):
            NativeModel(path)
    del header["reach"]
    write(path, header, tensors)
    with pytest.raises(ModelFileError, match="its reach is not that of its states"):
        NativeModel(path)


def test_scale_and_names_are_read_over(path: Path) -> None:
    """The caller scales raw features; what is in the file must fit all the same."""
    scale = InputScale(np.zeros(5), np.ones(5))
    save_model(path, replace(MODEL, input_scale=scale, label_names=("yes", "no")))
    assert NativeModel(path).shape.inputs == 5
    header, tensors = parts(path)
    for key, value in (("label_names", ["yes"]), ("input_scale", {"inputs": 4})):
        write(path, header | {key: value}, tensors)
        with pytest.raises(ModelFileError, match=r"label names|input scale"):
            NativeModel(path)


def test_tensors_that_no_model_has(path: Path) -> None:
    header, tensors = parts(path)
    name = "layers.0.weight_ih"
    for changed, text in (
        ({"more": tensors[name]}, "tensors that no model has"),
        ({name: tensors[name][:-1]}, "not the type and shape"),
        ({name: tensors[name] | 255}, "indices|index|padding"),
        ({"layers.0.bias": tensors["layers.0.bias"] + (1 << 40)}, "a number beyond its format"),
    ):
        write(path, header, tensors | changed)
        with pytest.raises(ModelFileError, match=text):
            NativeModel(path)
    del tensors[name]
    write(path, header, tensors)
    with pytest.raises(ModelFileError, match=r"'layers.0.weight_ih' is missing"):
        NativeModel(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a":1', "no JSON"),
        ('{"a":1}}', "goes on behind its end"),
        ('{"a":01}', "malformed number"),
        ('{"a":"\x01"}', "control character"),
        ('{"a":"\\x"}', "wrong escape"),
        ('{"a":1,"a":2}', "a key twice"),
        ("[" * 40, "nested too deeply"),
        ("[1]", "is no object"),
        ("{}", "no format_version"),
        (canonical_json({"sparsity_requested": 0.5}), "pruned checkpoint"),
    ],
)
def test_json_that_is_none(path: Path, text: str, why: str) -> None:
    path.write_bytes(contain({"sparseflow": text}, {"x": np.zeros(1, np.uint8)}))
    with pytest.raises(ModelFileError, match=why):
        NativeModel(path)


def test_other_files_are_named(path: Path) -> None:
    path.write_bytes(contain({"other": "x"}, {"x": np.zeros(1, np.uint8)}))
    with pytest.raises(ModelFileError, match="no 'sparseflow' header"):
        NativeModel(path)
    path.write_bytes((1 << 30).to_bytes(8, "little") + bytes(100))
    with pytest.raises(ModelFileError, match="no safetensors file"):
        NativeModel(path)


def test_a_model_in_memory_is_read_as_its_file(path: Path) -> None:
    assert bytes(model_bytes(MODEL)) == path.read_bytes()
    assert NativeModel(MODEL).shape.weights == NativeModel(path).shape.weights


def test_frames_out_of_range_are_refused() -> None:
    native = NativeModel(MODEL)
    stream, frame = native.start(), np.zeros((1, 5), np.int64)
    before = stream.step(frame)
    for wrong, text in (
        (np.full((1, 5), 1 << 15), "its format holds -32768 to 32767"),
        (np.full((1, 5), 1 << 40), "its format holds"),
        (np.full((1, 5), np.uint64(1 << 63)), "its format holds"),
        (np.zeros((1, 4), int), r"x has shape \(1, 4\): give an array \(1, 5\)"),
        (np.full((1, 5), np.nan), "x holds NaN"),
        (np.zeros((2, 5), int), "x holds 2 frames: this stream has 1"),
    ):
        with pytest.raises(ValueError, match=text):
            stream.step(wrong)
    stream.reset()
    floats = native.input.dequantise(frame)
    np.testing.assert_array_equal(stream.step(floats), before)
    stream.reset()
    np.testing.assert_array_equal(stream.step(frame), before)
    with pytest.raises(ValueError, match="which = 1: must be 0 to 0"):
        stream.reset(1)
    with pytest.raises(ValueError, match="batch = 0: must be 1"):
        native.start(0)
    with pytest.raises(ValueError, match="kernel 'mmx': this CPU has"):
        NativeModel(MODEL, "mmx")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda c: c.run(None), "sequences are None, no list: give a list of arrays"),
        (lambda c: c.run("data.npz"), "sequences are the path 'data.npz'"),
        (lambda c: c.run([None]), "sequence 0 holds object, no numbers"),
        (lambda c: c.run([[[1, 2], [3]]]), "sequence 0 is a list that is no array"),
        (lambda c: c.start().step(None), "x holds object, no numbers: give an array"),
        (lambda c: c.start().step(np.zeros((1, 5), complex)), "x holds complex128, no numbers"),
        (lambda c: c.start("two"), "batch = 'two': must be a whole number, 1 to 65536"),
        (lambda c: c.start().reset("all"), "which = 'all': must be a whole number"),
        (lambda c: c.start().time(None, 3), "frames holds object, no numbers"),
        (lambda c: c.start().time(np.zeros((1, 5), int), 1.5), "steps = 1.5: must be a whole"),
        (lambda c: c.logits(None), "outputs are None of object: give"),
        (lambda c: c.logits(np.full((1, 4), 0.7)), "outputs are a ndarray of float64: give"),
        (lambda _: NativeModel(MODEL, threads="all"), "threads = 'all': must be a whole"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_wrong_kinds_are_one_clear_error(call: Callable[[NativeModel], object], text: str) -> None:
    native = NativeModel(MODEL)
    with pytest.raises(TypeError, match=text):
        call(native)


def test_two_directions_run_whole_sequences_only() -> None:
    model = random_network(np.random.default_rng(2), 5, 4, 2, (1, 1, 0), directions=2)
    with pytest.raises(ValueError, match="2 directions: it cannot run step by step"):
        NativeModel(model).start()
    with pytest.raises(ValueError, match="has no head"):
        NativeModel(model).logits(np.zeros((1, 8), int))
