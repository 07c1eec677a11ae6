"""The container: what the safetensors library refuses, and what it would let through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format.files.container import (
    ModelFileError,
    check_named,
    encode,
    read_metadata,
    read_tensors,
)

# No word of the library, whose texts differ from release to release.
UNREADABLE = (
    r"^it is (a truncated or damaged safetensors file|[^()]+, no model file|no safetensors file, "
    r"or a truncated or damaged one): fetch or save it again$"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "container.safetensors"


def with_header(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + body


def test_round_trip(path: Path) -> None:
    tensors = {"b": np.arange(3, dtype=np.uint8), "a": np.array([[-1], [1 << 62]])}
    path.write_bytes(encode({"k": '\u00e9"\\'}, tensors))
    assert read_metadata(path) == {"k": '\u00e9"\\'}
    loaded = read_tensors(path)
    assert list(loaded) == ["a", "b"]
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(loaded[name], tensor, strict=True)


def test_order_of_tensors_changes_nothing() -> None:
    names = [f"t{n}" for n in range(9)]
    tensors = {name: np.zeros(n, np.int64) for n, name in enumerate(names)}
    assert encode({}, tensors) == encode({}, dict(reversed(tensors.items())))


def test_nothing_in_it(path: Path) -> None:
    path.write_bytes(with_header(b"{}"))
    assert read_metadata(path) == {}
    assert read_tensors(path) == {}


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3).T,
        np.arange(6)[::2],
        np.arange(6)[::-1],
        np.arange(6, dtype=np.uint8)[1::2],
        np.arange(6, dtype=">i8"),
    ],
    ids=["transposed", "every second", "backwards", "bytes", "big endian"],
)
def test_values_are_stored_not_memory(path: Path, array: Any) -> None:
    path.write_bytes(encode({}, {"a": array}))
    loaded = read_tensors(path)["a"]
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04 a zip archive, not a model",
        with_header(b"[1] "),
        with_header(b"\xff\xff"),
        with_header(b"[" * 200_000),
        with_header(b'{"a":' * 200_000),
        with_header(b'{"__metadata__":{"a":1}}'),
        b"",
    ],
    ids=["zip", "list", "not UTF-8", "nested lists", "nested objects", "metadata", "empty"],
)
def test_other_files(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    for read in (read_metadata, read_tensors):
        with pytest.raises(ModelFileError, match=UNREADABLE):
            read(path)


def described(entry: Any) -> bytes:
    """A file of one tensor ``a`` of 64 bytes, which is described so."""
    return with_header(json.dumps({"a": entry}).encode(), bytes(64))


def test_rightly_described_tensor(path: Path) -> None:
    path.write_bytes(described({"dtype": "I64", "shape": [8], "data_offsets": [0, 64]}))
    np.testing.assert_array_equal(read_tensors(path)["a"], np.zeros(8))


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]},
        {"dtype": "I64", "shape": [8], "data_offsets": [0, 63]},
        {"dtype": "I64", "shape": [-8], "data_offsets": [0, -64]},
        {"dtype": "I64", "shape": [8.0], "data_offsets": [0, 64]},
        {"dtype": "I64", "shape": [8], "data_offsets": [0, 32, 64]},
        {"dtype": ["I64"], "shape": [8], "data_offsets": [0, 64]},
        {"dtype": "I64", "shape": [8]},
        [],
        None,
    ],
)
def test_wrongly_described_tensor(path: Path, entry: Any) -> None:
    path.write_bytes(described(entry))
    with pytest.raises(ModelFileError, match=UNREADABLE):
        read_tensors(path)


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        ("F32", [16], r"is F32, it must be one of U8, I64, F64: fetch or save"),
        ("U64", [8], r"is U64, it must be one of U8, I64, F64"),
        ("BF16", [32], r"is BF16, it must be one of U8, I64, F64"),
        ("F8_E4M3", [64], r"is F8_E4M3, it must be one of U8, I64, F64"),
        ("I64", [8] + [1] * 99, r"cannot be an array, its shape is beyond NumPy's: fetch"),
    ],
)
def test_tensor_that_only_the_library_knows(
    path: Path, dtype: str, shape: list[int], message: str
) -> None:
    path.write_bytes(described({"dtype": dtype, "shape": shape, "data_offsets": [0, 64]}))
    with pytest.raises(ModelFileError, match=rf"^tensor 'a' {message}"):
        read_tensors(path)


def test_shape_beyond_the_address_space(path: Path) -> None:
    entry = {"dtype": "U8", "shape": [0, 1 << 63], "data_offsets": [0, 0]}
    path.write_bytes(with_header(json.dumps({"a": entry}).encode()))
    with pytest.raises(ModelFileError, match=r"^tensor 'a' cannot be an array"):
        read_tensors(path)


def test_missing_file(path: Path) -> None:
    for read in (read_metadata, read_tensors):
        with pytest.raises(FileNotFoundError):
            read(path)


@pytest.mark.parametrize(
    ("name", "kind"), [("net.onnx", "ONNX"), ("net.PT", "PyTorch"), ("a.b.npz", "NumPy")]
)
def test_no_name_promises_another_format(name: str, kind: str) -> None:
    instead = Path(name).with_suffix(".safetensors")
    with pytest.raises(ModelFileError, match=f"a name of {kind}'s files: name it {instead}"):
        check_named(name)


@pytest.mark.parametrize("name", ["net.safetensors", "net", "net.v2", ".onnx"])
def test_other_names_are_the_users(name: str) -> None:
    check_named(name)
