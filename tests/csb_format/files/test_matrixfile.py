from pathlib import Path

import numpy as np
import pytest

from csb_format import (
    Csb,
    Fixed,
    Geometry,
    ModelFileError,
    PackedMatrix,
    load_matrices,
    load_model,
    save_matrices,
)


def packed(seed: int, rows: int = 6, columns: int = 9) -> PackedMatrix:
    geometry = Geometry(rows, columns, 3, 1, 8)
    dense = np.zeros((rows, columns), np.int64)
    dense[:, ::3] = np.random.default_rng(seed).integers(1, 127, (rows, 3))
    return PackedMatrix(Csb.pack(dense, geometry), Fixed(8, 7))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "matrices.safetensors"


def test_round_trip_and_same_bytes(path: Path) -> None:
    matrices = {"b": packed(1), "a": packed(2)}
    save_matrices(path, matrices)
    first = path.read_bytes()
    found = load_matrices(path)
    assert list(found) == ["a", "b"]
    assert all(found[name].equals(matrices[name]) for name in matrices)
    save_matrices(path, found)
    assert path.read_bytes() == first


def test_every_flipped_bit_and_every_truncation_is_seen(path: Path) -> None:
    save_matrices(path, {"a": packed(3)})
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(ModelFileError, match=r"matrices\.safetensors: "):
            load_matrices(path)
        path.write_bytes(data[:at])
        with pytest.raises(ModelFileError, match=r"matrices\.safetensors: "):
            load_matrices(path)


def test_a_file_of_matrices_is_no_model(path: Path) -> None:
    save_matrices(path, {"a": packed(4)})
    with pytest.raises(ModelFileError, match="it holds 'matrices', not 'model'"):
        load_model(path)


def test_refusals(path: Path) -> None:
    with pytest.raises(ValueError, match="no matrices: give at least one"):
        save_matrices(path, {})
    assert not path.exists()
    with pytest.raises(ValueError, match=r"values of 8 bits in format s16\.3: pack them with"):
        PackedMatrix(packed(5).matrix, Fixed(16, 3))
    with pytest.raises(FileNotFoundError):
        load_matrices(path)
