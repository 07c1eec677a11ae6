"""Padded arrays: padding goes, answers stay with their frames, no pickle is read."""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pruning.tasks.data.adapters.padded import Padded, read_padded
from pruning.tasks.data.wrong_data import DataSetError

LENGTHS = [3, 1, 4]
X = np.zeros((3, 4, 2))
for n, length in enumerate(LENGTHS):
    X[n, :length] = np.arange(1, 2 * length + 1).reshape(-1, 2) + 10 * n
BACK = np.stack([np.roll(x, 4 - n, axis=0) for x, n in zip(X, LENGTHS, strict=True)])
NAN = np.where((X == 0).all(-1, keepdims=True), np.nan, X)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"X": X, "y": [0, 1, 2], "n": LENGTHS}, Padded(lengths="n")),
        ({"X": X, "y": [0, 1, 2]}, Padded(pad=0.0)),
        ({"X": BACK, "labels": [0, 1, 2]}, Padded(pad=0.0, front=True)),
        ({"a": NAN, "b": np.array(["u", "v", "w"])}, Padded("a", "b", pad=np.nan)),
        ({"X": X, "y": np.array([0.0, 1.0, 2.0])}, Padded(pad=0.0, targets=False)),
    ],
)
def test_padding_is_left_out(tmp_path: Path, arrays: dict[str, Any], said: Padded) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    found, framewise, told = read_padded(tmp_path / "d.npz", said)
    assert not framewise
    assert [len(s) for s in found.sequences] == LENGTHS
    assert found.sequences[2].tolist() == X[2].tolist()
    assert [a.tolist() for a in found.answers] == [[0] * 3, [1], [2] * 4]
    assert found.label_names == (("u", "v", "w") if "b" in arrays else ())
    assert told[-1] == "4 of 12 frames are padding, left out"


def test_what_looks_like_padding_and_what_is_not_used_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", X=X, y=[0, 1, 2], n=LENGTHS)
    found, _, told = read_padded(tmp_path / "d.npz", Padded())
    assert [len(s) for s in found.sequences] == [4, 4, 4]
    assert told[0].endswith("X is X, y is y; not used: n")
    assert re.match(r"note: 4 frames at the ends of 2 sequences are all 0 .*--pad 0", told[-1])
    np.savez(tmp_path / "d.npz", X=X + 1, y=[0, 1, 2])
    assert read_padded(tmp_path / "d.npz", Padded())[2][-1].startswith("0 of 12 frames")


def test_answers_of_frames_and_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", X)
    for y, said, shape in [
        (np.arange(12).reshape(3, 4) % 3 - 1, None, (3,)),
        (np.ones((3, 4, 5)), None, (3, 5)),
        (np.ones((3, 4)), True, (3, 1)),
        (np.ones((3, 4)), False, (3, 4)),
        (np.ones((3, 4), int), False, (3,)),  # the same at each frame: for one a sequence
    ]:
        np.save(tmp_path / "y.npy", y)
        where = Padded(y=str(tmp_path / "y.npy"), pad=0.0, framewise=said)
        found, framewise, _ = read_padded(tmp_path / "X.npy", where)
        assert found.answers[0].shape == shape
        assert framewise == (said is not False)


WRONG: list[tuple[dict[str, Any], Padded, str]] = [
    ({"X": X, "o": np.array([{}, None])}, Padded(), "o holds Python objects, and no pickle"),
    ({"X": X, "Z": X}, Padded(), "2 arrays may be X"),
    ({"X": X}, Padded("Q"), "no array 'Q'"),
    ({"X": X, "y": np.eye(3)}, Padded(), "is one-hot, a 1 in each row .* say --kind targets"),
    ({"X": X, "y": np.eye(3, dtype=int)}, Padded(), "one-hot classes give y.argmax"),
    ({"X": X, "y": np.ones((3, 4))}, Padded(), "say --per sequence or --per frame"),
    ({"X": X, "n": [3, 1, 9]}, Padded(lengths="n"), "lengths from 1 to 9: give 1 to 4"),
    ({"X": X, "n": [3, 1]}, Padded(lengths="n"), "for each of 3 sequences"),
    ({"X": X, "n": LENGTHS}, Padded(lengths="n", pad=0.0), "--lengths and --pad"),
    ({"X": X * 0}, Padded(pad=0.0), "sequence 0 is padding alone"),
    ({"X": NAN}, Padded(), "sequence 0 holds NaN"),
    ({"X": X, "y": [0.5, 1, 2]}, Padded(targets=False), "no classes: --kind targets"),
    ({"X": X, "y": [0.5, np.inf, 2]}, Padded(), "finite numbers"),
    ({"X": X, "y": [0, -5, 2]}, Padded(), "label -5: classes are counted from 0"),
    ({"X": X, "y": [0, 1]}, Padded(), r"y has shape \(2,\)"),
    ({"X": X, "p": [1, 2, 3], "q": [1, 2, 3]}, Padded(), "which of p, q are the answers"),
]


@pytest.mark.parametrize(("arrays", "said", "message"), WRONG, ids=range(len(WRONG)))
def test_what_does_not_fit(
    tmp_path: Path, arrays: dict[str, Any], said: Padded, message: str
) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataSetError, match=message):
        read_padded(tmp_path / "d.npz", said)


def test_files_that_lie(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    buffer = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 20, 1 << 10, 1 << 4)}
    np.lib.format.write_array_header_1_0(buffer, header)
    for content in (buffer.getvalue() + bytes(64), pickle.dumps(X), b"", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(DataSetError, match="no array of numbers"):
            read_padded(path, Padded())
        path.with_suffix(".npz").write_bytes(content)
        with pytest.raises(DataSetError, match="or a damaged one: write it again"):
            read_padded(path.with_suffix(".npz"), Padded())
