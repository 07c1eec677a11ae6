"""Contents of model files: what is wrong under a right checksum is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from csb_format import (
    FORMAT_VERSION,
    Csb,
    DenseLayer,
    Fixed,
    Geometry,
    LstmLayer,
    Model,
    ModelFileError,
    load_model,
    save_model,
)

Header = dict[str, Any]
Tensors = dict[str, Any]


def small_model() -> Model:
    """5 inputs in two banks, 2 units in one, a head of 2 classes."""
    weight_ih = Csb.pack(np.tile([3, 0, 0, -4, 0], (8, 1)), Geometry(8, 5, 2, 1, 8))
    weight_hh = Csb.pack(np.tile([0, 5], (8, 1)), Geometry(8, 2, 1, 1, 8))
    formats = (Fixed(16, 12), Fixed(16, 15), Fixed(8, 7), Fixed(8, 6), Fixed(18, 13))
    layer = LstmLayer(weight_ih, weight_hh, np.arange(8) - 3, *formats)
    head = DenseLayer(np.array([[1, -2], [3, 4]]), Fixed(8, 6), formats[1], np.array([5, -6]))
    return Model((layer,), head, {"seed": "1", "note": "na\u00efve \u2260"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.fixture
def small(path: Path) -> bytes:
    save_model(path, small_model())
    return path.read_bytes()


def file_header(data: bytes) -> Header:
    header: Header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def forged(data: bytes, change: Callable[[Header, Tensors], object]) -> bytes:
    """The file with changed contents and a checksum that is right, as the format describes it."""
    header = json.loads(file_header(data)["__metadata__"]["sparseflow"])
    tensors = dict(safetensors.numpy.load(data))
    change(header, tensors)
    return sealed(layout(dumps(header | {"sha256": "0" * 64}), tensors))


def sealed(data: bytes) -> bytes:
    """The file with the checksum that the format describes instead of zeros."""
    digest = hashlib.sha256(data).hexdigest().encode()
    assert data.count(b"0" * 64) == 1
    return data.replace(b"0" * 64, digest)


def dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def layout(header: str, tensors: Tensors) -> bytes:
    """The file as every safetensors release so far lays it out: files must not depend on one."""
    entries: Header = {"__metadata__": {"sparseflow": header}}
    body = b""
    for name, tensor in sorted(tensors.items(), key=lambda t: (-t[1].itemsize, t[0])):
        kind = "U8" if tensor.dtype == np.uint8 else "I64"
        offsets = [len(body), len(body) + tensor.nbytes]
        entries[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": offsets}
        body += tensor.tobytes()
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def test_forging_nothing_changes_nothing(small: bytes) -> None:
    assert forged(small, lambda header, tensors: None) == small


FORGERIES: dict[str, tuple[Callable[[Header, Tensors], object], str]] = {
    "newer": (
        lambda h, t: h.update(format_version=FORMAT_VERSION + 1),
        rf"version {FORMAT_VERSION + 1} is newer than {FORMAT_VERSION}, .*: upgrade Sparseflow",
    ),
    "version 0": (lambda h, t: h.update(format_version=0), r"version 0 never existed"),
    "version true": (
        lambda h, t: h.update(format_version=True),
        r"'format_version' is True, it must be int",
    ),
    "gates": (lambda h, t: h.update(gate_order="ifog"), r"gate order 'ifog': must be 'ifgo'"),
    "no layers": (lambda h, t: h.pop("layers"), r"'layers' is None, it must be list"),
    "zero layers": (lambda h, t: h.update(layers=[]), r"invalid contents: a model of 0 layers"),
    "layer is a number": (lambda h, t: h.update(layers=[3]), r"'weight_ih' is None"),
    "head is a list": (lambda h, t: h.update(head=[1]), r"'head' is \[1\], it must be dict"),
    "provenance": (
        lambda h, t: h.update(provenance={"seed": 3}),
        r"invalid contents: provenance 'seed'",
    ),
    "surplus field": (lambda h, t: h.update(colour="red"), r"surplus contents \(in its header\)"),
    "surplus tensor": (
        lambda h, t: t.update(more=np.zeros(3, np.uint8)),
        r"surplus contents \(more\)",
    ),
    "geometry": (
        lambda h, t: h["layers"][0]["weight_ih"].update(banks=99),
        r"invalid contents: banks 99: must be 1 to 64 for 5 columns",
    ),
    "geometry field": (
        lambda h, t: h["layers"][0]["weight_ih"].pop("rows"),
        r"'rows' is None, it must be int",
    ),
    "format": (
        lambda h, t: h["layers"][0]["formats"]["state"].update(width=99),
        r"invalid contents: fixed-point width 99",
    ),
    "no format": (lambda h, t: h["layers"][0]["formats"].pop("state"), r"'state' is None"),
    "missing tensor": (lambda h, t: t.pop("layers.0.bias"), r"'layers\.0\.bias' is missing"),
    "missing head": (lambda h, t: t.pop("head.weight"), r"'head\.weight' is missing"),
    "shape": (
        lambda h, t: t.update({"layers.0.weight_ih": np.zeros(19, np.uint8)}),
        r"'layers\.0\.weight_ih' is U8 of shape \(19,\), .* needs U8 of shape \(20,\)",
    ),
    "dtype": (
        lambda h, t: t.update({"layers.0.bias": np.zeros(8, np.uint8)}),
        r"'layers\.0\.bias' is U8 of shape \(8,\), .* needs I64 of shape \(8,\)",
    ),
    "huge": (
        lambda h, t: h["layers"][0]["weight_ih"].update(rows=10**15),
        r"claims 1000000000000000 rows of 2 banks of 3 columns: .* at most \d+ places",
    ),
    "bias range": (
        lambda h, t: t.update({"layers.0.bias": np.full(8, 1 << 17)}),
        r"invalid contents: bias holds 131072 at \(0,\)",
    ),
    "head range": (
        lambda h, t: t.update({"head.weight": np.full((2, 2), 200)}),
        r"invalid contents: head weight holds 200",
    ),
    "index range": (
        lambda h, t: t.update({"layers.0.weight_ih": np.full(20, 255, np.uint8)}),
        r"invalid contents: index 3 of entry 0 in row 0, bank 0",
    ),
    "spare bits": (
        lambda h, t: (
            h["layers"][0]["weight_hh"].update(value_bits=9),
            h["layers"][0]["formats"]["weight_hh_format"].update(width=9),
        ),
        r"'layers\.0\.weight_hh' is U8 of shape \(9,\), .* needs U8 of shape \(10,\)",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_wrong_contents_under_a_right_checksum(path: Path, small: bytes, name: str) -> None:
    change, message = FORGERIES[name]
    path.write_bytes(forged(small, change))
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def test_spaces_in_the_header_are_seen(path: Path, small: bytes) -> None:
    size = int.from_bytes(small[:8], "little")
    spaced = small[8 : 8 + size] + b" " * 8
    path.write_bytes((size + 8).to_bytes(8, "little") + spaced + small[8 + size :])
    assert len(safetensors.numpy.load(path.read_bytes())) == 5
    with pytest.raises(ModelFileError, match="checksum does not match"):
        load_model(path)


def test_another_layout_of_the_container_is_read(path: Path, small: bytes) -> None:
    """Releases of the library may order and pad files otherwise."""
    header = file_header(small)["__metadata__"]["sparseflow"]
    zeros = dumps(json.loads(header) | {"sha256": "0" * 64})
    data = layout(zeros, safetensors.numpy.load(small))
    size = int.from_bytes(data[:8], "little")
    wide = data[8 : 8 + size] + b" " * 64
    path.write_bytes(sealed((size + 64).to_bytes(8, "little") + wide + data[8 + size :]))
    assert load_model(path).equals(small_model())


def test_no_checksum(path: Path, small: bytes) -> None:
    header = json.loads(file_header(small)["__metadata__"]["sparseflow"])
    del header["sha256"]
    path.write_bytes(layout(dumps(header), safetensors.numpy.load(small)))
    with pytest.raises(ModelFileError, match="no checksum"):
        load_model(path)


def test_newer_version_is_said_before_its_tensors_are_read(path: Path) -> None:
    header = dumps({"format_version": FORMAT_VERSION + 1})
    safetensors.numpy.save_file({"w": np.zeros(3)}, path, {"sparseflow": header})
    with pytest.raises(ModelFileError, match=r"upgrade Sparseflow"):
        load_model(path)
