"""Arrays of an .npz: what is asked for alone, in the memory that the file allows."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from csb_format.files.arrays import ArrayFileError, array_headers, read_arrays

from .test_claims import in_limits

GIGABYTE = 1 << 30


def header(shape: tuple[int, ...], dtype: str = "<f4", version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text


def zipped(path: Path, method: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def refused(path: Path, match: str) -> None:
    def checked() -> None:
        with pytest.raises(ArrayFileError, match=match):
            read_arrays(path, ("a",))

    in_limits(checked)


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gigabyte of zeros in a megabyte, beside an array that is used."""
    path = tmp_path_factory.mktemp("bomb") / "a.npz"
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", buffer.getvalue())
        with file.open("b.npy", "w") as member:
            member.write(header((GIGABYTE // 4,)))
            for _ in range(GIGABYTE >> 24):
                member.write(bytes(1 << 24))
    return path


def test_arrays_that_nobody_reads_cost_nothing(bomb: Path) -> None:
    found: dict[str, np.ndarray] = {}
    in_limits(lambda: found.update(read_arrays(bomb, ("a", "c"))))
    assert {name: array.tolist() for name, array in found.items()} == {"a": [0, 1, 2]}


def test_an_array_that_unpacks_beyond_all_measure_is_refused(bomb: Path) -> None:
    def checked() -> None:
        with pytest.raises(ArrayFileError, match=r"claim \d+ bytes, a file of its size holds"):
            read_arrays(bomb, ("b",))

    in_limits(checked)


@pytest.mark.parametrize("shape", [(2**40, 8), (2**62, 4), (2**40,), (-1, 4), (3, -2), (0, 2**70)])
def test_a_header_that_claims_more_than_its_bytes_is_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    refused(zipped(tmp_path / "a.npz", a=header(shape) + bytes(64)), "claims shape|cannot be read")


def test_claims_of_the_third_version_are_looked_at_as_well(tmp_path: Path) -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }\n" % (1 << 36)
    whole = b"\x93NUMPY\x03\x00" + len(text).to_bytes(4, "little") + text + bytes(64)
    refused(zipped(tmp_path / "a.npz", a=whole), "claims shape")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda p: p.write_bytes(header((2**40,)) + bytes(9)), "no .npz file"),
        (lambda p: p.write_bytes(b""), "no .npz file"),
        (lambda p: zipped(p, a=b"text"), "is no array"),
        (lambda p: zipped(p, a=header((1,), "|O") + b"\x80\x04N."), "no pickle is read"),
        (lambda p: zipped(p, a=header((1,), version=b"\x09\x00") + bytes(4)), "cannot be read"),
        (lambda p: zipped(p, a=header((4,)) + bytes(7)), "claims shape|cannot be read"),
        (
            lambda p: zipped(p, zipfile.ZIP_STORED, **{f"x{n}": b"" for n in range(1001)}),
            "1001 arrays",
        ),
    ],
    ids=range(7),
)
def test_what_is_no_array_is_named(
    tmp_path: Path, make: Callable[[Path], object], match: str
) -> None:
    make(tmp_path / "a.npz")
    refused(tmp_path / "a.npz", match)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(100))
    data = bytearray(path.read_bytes())
    data[400] ^= 1
    path.write_bytes(data)
    refused(path, "damaged")


def test_one_hot_frames_are_read_packed_or_not(tmp_path: Path) -> None:
    frames = np.eye(65, dtype=np.float32)[np.random.default_rng(0).integers(65, size=100_000)]
    np.savez_compressed(tmp_path / "a.npz", a=frames)
    assert np.array_equal(read_arrays(tmp_path / "a.npz", ("a",))["a"], frames)


@pytest.mark.parametrize("shape", ["(3L,)", "(3, ["])
def test_a_header_of_python_2_brings_no_words_of_numpy(tmp_path: Path, shape: str) -> None:
    """Numpy reads it anew, with advice on the screen or an error of its own."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(12)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("a.npy", data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if shape == "(3L,)":
            assert read_arrays(tmp_path / "x.npz", ["a"])["a"].tolist() == [0, 0, 0]
        else:
            with pytest.raises(ArrayFileError, match=r"a\.npy is no array"):
                read_arrays(tmp_path / "x.npz", ["a"])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_stands_twice_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as file:
        for _ in range(2):
            file.write(tmp_path / "a.npy", "a.npy")
    with pytest.raises(ArrayFileError, match="it holds a twice: write each array once"):
        array_headers(tmp_path / "d.npz")
