"""Model files: the same bytes for the same model, and no damage that goes unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from csb_format import (
    Csb,
    DenseLayer,
    Fixed,
    Geometry,
    LstmLayer,
    Model,
    ModelFileError,
    Projection,
    load_model,
    save_model,
)

INPUT = Fixed(16, 12)
HIDDEN = Fixed(16, 15)
Header = dict[str, Any]

UNREADABLE = (
    r"model\.safetensors: it is (a truncated or damaged safetensors file|[^()]+, no model file|no "
    r"safetensors file, or a truncated or damaged one): fetch or save it again$"
)


def matrix(rows: int, columns: int, banks: int, nonzeros: int, seed: int, bits: int = 8) -> Csb:
    g = Geometry(rows, columns, banks, nonzeros, bits)
    rng = np.random.default_rng(seed)
    half = 1 << (bits - 1)
    keep = np.zeros((rows, g.banks, g.bank_width), bool)
    keep[..., :nonzeros] = True
    mask = keep.reshape(rows, -1)[:, :columns]
    return Csb.pack(rng.integers(-half, half, (rows, columns)) * mask, g, mask)


def layer(weight_ih: Csb, weight_hh: Csb, given_input: Fixed = INPUT) -> LstmLayer:
    widths = [m.geometry.value_bits for m in (weight_ih, weight_hh)]
    bias = np.arange(weight_hh.geometry.rows) - 3
    of_ih, of_hh, state = Fixed(widths[0], 7), Fixed(widths[1], 6), Fixed(18, 13)
    return LstmLayer(weight_ih, weight_hh, bias, given_input, HIDDEN, of_ih, of_hh, state)


def small_model(provenance: dict[str, str] | None = None) -> Model:
    only = layer(matrix(8, 5, 2, 1, seed=1), matrix(8, 2, 1, 1, seed=2))
    head = DenseLayer(np.array([[1, -2], [3, 4]]), Fixed(8, 6), HIDDEN, np.array([5, -6]))
    return Model((only,), head, {"seed": "1", "note": "na\u00efve \u2260"} | (provenance or {}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.fixture
def small(path: Path) -> bytes:
    save_model(path, small_model())
    return path.read_bytes()


def test_round_trip_with_head_and_provenance(path: Path) -> None:
    save_model(path, small_model())
    assert load_model(path).equals(small_model())


def test_stacked_layers_without_head(path: Path) -> None:
    first = layer(matrix(12, 7, 3, 2, seed=1, bits=4), matrix(12, 3, 2, 1, seed=2, bits=18))
    second = layer(matrix(16, 3, 1, 0, seed=3), matrix(16, 4, 4, 1, seed=4), HIDDEN)
    save_model(path, Model((first, second)))
    loaded = load_model(path)
    assert loaded.equals(Model((first, second)))
    assert loaded.head is None


def projected(inputs: int, given: Fixed, seed: int) -> LstmLayer:
    """3 units, an output of 2, and weights of another format in every gate."""
    ih, hh = matrix(12, inputs, 2, 1, seed), matrix(12, 2, 1, 1, seed + 1)
    projection = Projection(matrix(2, 3, 1, 2, seed + 2, bits=6), Fixed(6, 5), Fixed(16, 13))
    gates = (Fixed(8, 7), Fixed(8, 6), Fixed(8, 9), Fixed(8, -2))
    bias, state = np.arange(12) - seed, Fixed(18, 13)
    return LstmLayer(ih, hh, bias, given, HIDDEN, gates, Fixed(8, 6), state, projection)


def test_stacked_bidirectional_projected_network(path: Path) -> None:
    first = [projected(5, INPUT, seed) for seed in (1, 4)]
    second = [projected(4, Fixed(16, 13), seed) for seed in (7, 10)]
    head = DenseLayer(np.arange(8).reshape(2, 4), Fixed(8, 6), Fixed(16, 13), np.array([5, -6]))
    model = Model((*first, *second), head, {"note": "two ways"}, directions=2)
    save_model(path, model)
    loaded = load_model(path)
    assert loaded.equals(model)
    assert (loaded.directions, len(loaded.levels), loaded.output_size) == (2, 2, 4)
    assert loaded.layers[3].gate_formats("weight_ih")[3] == Fixed(8, -2)
    save_model(path.with_suffix(".again"), loaded)
    assert path.with_suffix(".again").read_bytes() == path.read_bytes()


def test_directions_are_kept(path: Path) -> None:
    """Two layers of equal shapes may be a stack or a pair."""
    two = tuple(layer(matrix(8, 2, 1, 1, n), matrix(8, 2, 1, 1, n + 1), HIDDEN) for n in (1, 3))
    for directions in (1, 2):
        save_model(path, Model(two, directions=directions))
        assert load_model(path).equals(Model(two, directions=directions))
        assert not load_model(path).equals(Model(two, directions=3 - directions))


def file_header(data: bytes) -> Header:
    header: Header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def test_wide_tensors_are_aligned(path: Path) -> None:
    first = layer(matrix(8, 5, 5, 1, seed=1, bits=7), matrix(8, 2, 2, 1, seed=2, bits=5))
    save_model(path, Model((first, layer(first.weight_hh, first.weight_hh, HIDDEN))))
    entries = file_header(path.read_bytes()).values()
    starts = [e["data_offsets"][0] for e in entries if e.get("dtype") == "I64"]
    assert [start % 8 for start in starts] == [0, 0]
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0


def test_merged_matrices_keep_their_bank_width(path: Path) -> None:
    ragged = layer(matrix(48, 10, 4, 2, seed=1).merge_banks(2), matrix(48, 12, 8, 1, seed=2))
    merged = layer(ragged.weight_ih, ragged.weight_hh.merge_banks(4))
    save_model(path, Model((merged,)))
    assert load_model(path).equals(Model((merged,)))


@given(
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(4, 18),
    st.data(),
    st.dictionaries(st.text(), st.text()),
)
@settings(max_examples=30)
def test_round_trip_of_any_geometry(
    tmp_path_factory: pytest.TempPathFactory,
    inputs: int,
    hidden: int,
    bits: int,
    data: st.DataObject,
    provenance: dict[str, str],
) -> None:
    def draw(columns: int) -> Csb:
        banks = data.draw(st.integers(1, columns))
        nonzeros = data.draw(st.integers(0, -(-columns // banks)))
        return matrix(4 * hidden, columns, banks, nonzeros, seed=columns, bits=bits)

    model = Model((layer(draw(inputs), draw(hidden)),), None, provenance)
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    save_model(path, model)
    assert load_model(path).equals(model)


def test_same_model_same_bytes(path: Path, small: bytes) -> None:
    backwards = dict(reversed(small_model().provenance.items()))
    save_model(path, Model(small_model().layers, small_model().head, backwards))
    assert path.read_bytes() == small
    save_model(path, load_model(path))
    assert path.read_bytes() == small


def test_provenance_cannot_be_taken_for_the_checksum(path: Path) -> None:
    model = small_model({"sha256": "0" * 64, "z": '"sha256":"'})
    save_model(path, model)
    assert load_model(path).equals(model)


def test_reading_packs_nothing(path: Path, small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(small)
    monkeypatch.setattr(Csb, "pack_bits", None)
    monkeypatch.setattr(Csb, "__post_init__", None)  # nor copies what was made for it
    assert load_model(path).layers


def test_safetensors_reads_it(path: Path, small: bytes) -> None:
    tensors = safetensors.numpy.load(small)
    model = small_model()
    assert sorted(tensors)[:3] == ["head.bias", "head.weight", "layers.0.bias"]
    assert sorted(tensors)[3:] == ["layers.0.weight_hh", "layers.0.weight_ih"]
    assert model.head is not None
    np.testing.assert_array_equal(tensors["head.weight"], model.head.weight)
    assert tensors["layers.0.weight_ih"].tobytes() == model.layers[0].weight_ih.pack_bits()
    with safetensors.safe_open(path, "numpy") as file:
        assert list(file.metadata()) == ["sparseflow"]
        header = json.loads(file.metadata()["sparseflow"])
    assert header["format_version"] == 1  # the oldest that has what it holds
    assert header["gate_order"] == "ifgo"


def test_matrices_are_stored_at_their_exact_size(small: bytes) -> None:
    # 8 rows x 2 banks x 1 kept x (8 + 2) bits.
    assert safetensors.numpy.load(small)["layers.0.weight_ih"].nbytes == 20


@pytest.mark.quick(1)
@pytest.mark.parametrize("first", range(8))
def test_every_flipped_bit_of_every_byte_is_seen(path: Path, small: bytes, first: int) -> None:
    """One bit of each byte, another in its neighbour; all bits where all are run."""
    for place in range(len(small)):
        damaged = bytearray(small)
        damaged[place] ^= 1 << (first + place) % 8
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=r"model\.safetensors: "):
            load_model(path)


@pytest.mark.quick(1)
@pytest.mark.parametrize("byte", [0x09, 0x20, 0x22, 0x30])
def test_every_overwritten_byte_is_seen(path: Path, small: bytes, byte: int) -> None:
    for place in range(len(small)):
        if small[place] != byte:
            path.write_bytes(small[:place] + bytes([byte]) + small[place + 1 :])
            with pytest.raises(ModelFileError):
                load_model(path)


def test_every_truncation_is_seen(path: Path, small: bytes) -> None:
    for length in range(len(small)):
        path.write_bytes(small[:length])
        with pytest.raises(ModelFileError, match=UNREADABLE):
            load_model(path)


@pytest.mark.parametrize("extra", [b"\0", b"{}", bytes(64)])
def test_appended_bytes_are_seen(path: Path, small: bytes, extra: bytes) -> None:
    path.write_bytes(small + extra)
    with pytest.raises(ModelFileError, match=UNREADABLE):
        load_model(path)


@given(st.binary(max_size=60))
@settings(max_examples=60)
def test_noise_is_refused(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(noise)
    with pytest.raises(ModelFileError):
        load_model(path)


def test_damage_names_file_and_mend(path: Path, small: bytes) -> None:
    path.write_bytes(small[:-1] + bytes([small[-1] ^ 1]))
    with pytest.raises(
        ModelFileError, match=r"model\.safetensors: checksum does not match.*fetch or save it again"
    ):
        load_model(path)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 200_000, '{"a":' * 200_000])
def test_own_header_is_no_object(path: Path, text: str) -> None:
    safetensors.numpy.save_file({}, path, {"sparseflow": text})
    with pytest.raises(ModelFileError, match=r"'sparseflow' header is not a JSON object: fetch"):
        load_model(path)


def test_nested_own_header(path: Path) -> None:
    for depth in range(800, 1100):
        text = '{"format_version":1,"kind":"model","x":' + "[" * depth + "]" * depth + "}"
        safetensors.numpy.save_file({}, path, {"sparseflow": text})
        with pytest.raises(ModelFileError, match=r"not a JSON object|no checksum"):
            load_model(path)


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_safetensors_of_another_program(path: Path, metadata: dict[str, str] | None) -> None:
    safetensors.numpy.save_file({"w": np.zeros(3)}, path, metadata)
    with pytest.raises(ModelFileError, match=r"no 'sparseflow' header .*save_model wrote"):
        load_model(path)


def test_missing_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_model(path)


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        load_model(tmp_path)
