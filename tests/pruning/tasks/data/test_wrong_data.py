"""Files that are no sequences: each is named, and the Python that comes with the error mends it."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import warnings
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format.files.foreign import kind_of_file
from pruning.tasks.data.datasets import DataSetError, load_sequences
from pruning.tasks.data.wrong_data import check_classes, check_kind

X = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
RAGGED = np.array([X[0], X[1, :2]], dtype=object)
RIGHT: dict[str, Any] = {
    "frames": X.reshape(-1, 3),
    "lengths": np.full(4, 6),
    "labels": np.arange(4),
}
WITHOUT = {name: array for name, array in RIGHT.items() if name != "labels"}


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(64))
    return buffer.getvalue()


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return buffer.getvalue()


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


KINDS: dict[str, tuple[bytes, str]] = {
    "csv": (b"1.0,2.0\n3.0,4.0\n", "a table of text (.csv)"),
    "text": (b"hello", "a text file"),
    "json": (b'{"frames": []}', "a JSON"),
    "wav": (wav(), "a WAV sound"),
    "npy": (npy(X), "a single NumPy array (.npy)"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file"),
    "matlab": (b"MATLAB 5.0 MAT-file, " + bytes(100), "a MATLAB file"),
    "pickle": (pickle.dumps(Payload()), "a pickle"),
    "torch": (archive("net/data.pkl", "net/version"), "a file of torch.save"),
    "keras": (archive("config.json", "model.weights.h5", "metadata.json"), "a Keras model"),
    "parquet": (b"PAR1" + bytes(30), "a Parquet table"),
    "empty": (b"", "an empty file"),
    "cut": (npz(**RIGHT)[:200], "a damaged zip archive"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_files_are_named(tmp_path: Path, kind: str) -> None:
    content, name = KINDS[kind]
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    assert kind_of_file(path).startswith(name)
    with pytest.raises(DataSetError) as caught:
        load_sequences(path)
    assert caught.value.text.startswith(f"{path} is {name}")
    assert "give an .npz file with frames" in caught.value.text
    assert len(caught.value.snippet.splitlines()) == 5
    assert not Path("executed").exists()


ARRAYS: dict[str, tuple[bytes, str]] = {
    "pickled": (npz(frames=RAGGED, labels=[0, 1]), "frames is a pickled array of Python objects"),
    "objects": (npz(sequences=RAGGED), "sequences is a pickled array"),
    "structured": (
        npz(**RIGHT | {"frames": np.zeros(24, [("a", "f4"), ("b", "f4")])}),
        "frames is an array of records with fields a, b, it must hold numbers",
    ),
    "text": (npz(**RIGHT | {"frames": np.array([["a"]])}), "frames is an array of <U1"),
    "complex": (npz(**RIGHT | {"frames": RIGHT["frames"] * 1j}), "frames is an array of complex64"),
    "float lengths": (npz(**RIGHT | {"lengths": np.full(4, 6.0)}), "lengths is an array of float"),
    "padded": (npz(X=X, y=np.arange(4)), "X holds padded sequences of equal length"),
    "no lengths": (npz(frames=RIGHT["frames"]), "has no array lengths, but frames float32 (24, 3)"),
    "no frames": (npz(labels=np.arange(4)), "it has no array frames, but labels int64 (4,)"),
    "lengths of 0": (
        npz(**RIGHT | {"lengths": np.array([24, 0, 0, 0])}),
        "its length is 0: give one frame at least",
    ),
    "lengths below 0": (npz(**RIGHT | {"lengths": np.array([30, -6, 0, 0])}), "its length is -6"),
    "lengths that overflow": (
        npz(**RIGHT | {"lengths": np.array([2**63, 2**63, 12, 12], np.uint64)}),
        "a length of 9223372036854775808, and 24 frames in all",
    ),
    "float labels": (npz(**RIGHT | {"labels": np.arange(4.0)}), "labels are float64, such as 0.0"),
    "one-hot": (npz(**RIGHT | {"labels": np.eye(4)}), "labels of shape (4, 4), one-hot or scores"),
    "words": (npz(**RIGHT | {"labels": np.array(list("abcd"))}), "labels are text"),
    "yes and no": (npz(**RIGHT | {"labels": np.ones(4, bool)}), "labels are bool, such as True"),
    "below 0": (npz(**RIGHT | {"labels": np.arange(4) - 1}), "labels lowest -1, 1 of 4 below 0"),
    "two sides": (npz(**RIGHT | {"labels": np.array([-1, 1, 1, -1])}), "labels are -1 and 1"),
    "ignored otherwise": (
        npz(**RIGHT | {"labels": np.arange(24) % 3 - 2}),
        "labels lowest -2: a frame that does not count has -1",
    ),
    "nothing counts": (
        npz(**RIGHT | {"labels": np.full(24, -1)}),
        "labels are all -1: no frame counts",
    ),
    "numbers": (
        npz(**RIGHT | {"targets": np.zeros((4, 2))}),
        "holds labels (4,) and targets (4, 2): give labels, classes counted from 0, or targets",
    ),
    "targets of others": (
        npz(**WITHOUT | {"targets": np.zeros((5, 2))}),
        "targets has shape (5, 2), but there are 4 sequences in 24 frames: targets must be",
    ),
    "targets too deep": (npz(**WITHOUT | {"targets": X}), "targets has shape (4, 6, 3): targets"),
    "targets of nothing": (
        npz(**WITHOUT | {"targets": np.zeros((4, 0))}),
        "targets has shape (4, 0): targets must be (sequences, Y) or (all frames, Y)",
    ),
    "targets are text": (
        npz(**WITHOUT | {"targets": np.array(list("abcd"))}),
        "targets is an array of <U1: give numbers",
    ),
    "targets unknown": (
        npz(**WITHOUT | {"targets": np.array([[1, 2], [3, np.nan], [np.inf, 1], [0, 0]])}),
        "targets[1, 1] is nan, 2 of 8 like it: leave out sequences whose targets are not known",
    ),
    "targets beyond float32": (
        npz(**WITHOUT | {"targets": np.array([1, -1e39, 0, 0])}),
        "targets[1, 0] is -1e+39, 1 of 4 like it: float32 does not hold it",
    ),
    "another number": (
        npz(**RIGHT | {"labels": np.arange(23)}),
        "4 sequences and 23 labels: give one label for each of at least one sequence, or one for ",
    ),
    "huge": (npz(**RIGHT | {"labels": np.full(4, 2**63, np.uint64)}), "labels up to 92233720368"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_other_arrays_are_named(tmp_path: Path, kind: str) -> None:
    content, words = ARRAYS[kind]
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    with pytest.raises(DataSetError) as caught:
        load_sequences(path)
    assert str(path) in caught.value.text
    assert words in caught.value.text


MENDED_LABELS = ("float labels", "one-hot", "words", "below 0", "two sides", "ignored otherwise")
MENDED: dict[str, bytes] = {
    "csv": b"1.0,2.0\n3.0,4.0\n",
    "npy": npy(X),
    "padded": ARRAYS["padded"][0],
    "pickled": npz(frames=RAGGED),
    **{name: ARRAYS[name][0] for name in MENDED_LABELS},
}

LABELS = {"below 0": [0, 1, 2], "two sides": [0, 1, 1, 0], "ignored otherwise": [-1, -1, 0] * 8}


@pytest.mark.parametrize("kind", MENDED)
def test_the_snippet_converts_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(MENDED[kind])
    with pytest.raises(DataSetError) as caught:
        load_sequences(path)
    assert len(caught.value.snippet.splitlines()) <= 5
    subprocess.run([sys.executable, "-c", caught.value.snippet], cwd=tmp_path, check=True)
    made = tmp_path / "data.npz"
    found = load_sequences(made if made.exists() else path)
    assert found.width == {"csv": 2}.get(kind, 3)
    if kind not in ("csv", "npy", "pickled"):
        assert found.labels.tolist() == LABELS.get(kind, [0, 1, 2, 3])


def test_arrays_that_do_not_count_are_not_read(tmp_path: Path) -> None:
    arrays = RIGHT | {"meta": np.array([Payload()], dtype=object)}
    np.savez(tmp_path / "d.npz", **arrays)
    assert len(load_sequences(tmp_path / "d.npz")) == 4
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([1, 2, 3], "labels from 1 to 3, but NET knows 3 classes, 0 to 2: .*subtract 1"),
        ([0, 3], "labels up to 3, but NET knows 3 classes, 0 to 2: give the data"),
    ],
)
def test_labels_beyond_the_classes(labels: list[int], words: str) -> None:
    with pytest.raises(DataSetError, match=words):
        check_classes(np.array(labels), 3, "NET")


def test_a_label_for_each_frame_needs_a_head_at_every_frame(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(npz(**RIGHT | {"labels": np.arange(24)}))
    data = load_sequences(tmp_path / "d.npz")
    check_kind(data.framewise, "every", "NET", data.file)
    with pytest.raises(
        DataSetError, match=r"d.npz: one label for each frame, but .* NET answers o"
    ) as caught:
        check_kind(data.framewise, "mean", "NET", data.file)
    subprocess.run([sys.executable, "-c", caught.value.snippet], cwd=tmp_path, check=True)
    mended = load_sequences(tmp_path / "d.npz")
    assert mended.labels.tolist() == [5, 11, 17, 23]
    check_kind(mended.framewise, "mean", "NET", mended.file)
    with pytest.raises(DataSetError, match=r"one label for each sequence, .* at every frame"):
        check_kind(mended.framewise, "every", "NET")


def test_frames_that_do_not_count_are_no_class() -> None:
    check_classes(np.array([-1, 2, 0, -1]), 3, "NET")
    with pytest.raises(DataSetError, match=r"labels from 1 to 3, .*subtract 1"):
        check_classes(np.array([-1, 3, 1, -1]), 3, "NET")


def test_labels_from_1_are_mended_in_the_users_own_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(npz(**RIGHT | {"labels": np.array([1, 2, 3, 1])}))
    data = load_sequences(path)
    with pytest.raises(DataSetError, match=r"^mine.npz: labels from 1") as caught:
        check_classes(data.labels, 3, "NET", data.file)
    subprocess.run([sys.executable, "-c", caught.value.snippet], cwd=tmp_path, check=True)
    assert load_sequences(path).labels.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: None])
def test_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "d")
    with pytest.raises(OSError, match="d'"):
        load_sequences(tmp_path / "d")


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "d.npz")
    with pytest.raises(DataSetError, match=r"d\.npz is no file"):
        load_sequences(tmp_path / "d.npz")


def test_no_sequence_and_numbers_beyond_float32_are_named(tmp_path: Path) -> None:
    empty: dict[str, Any] = {"frames": np.zeros((0, 3)), "lengths": np.zeros(0, int)}
    np.savez(tmp_path / "d.npz", **empty)
    with pytest.raises(DataSetError, match="holds no sequence"):
        load_sequences(tmp_path / "d.npz")
    huge: dict[str, Any] = {"frames": np.full((2, 3), 1e300), "lengths": np.array([2])}
    np.savez(tmp_path / "d.npz", **huge)
    warnings.simplefilter("error")  # pytest puts it back
    with pytest.raises(
        ValueError, match=r"frames has a value of magnitude 1e\+300, float32 holds .*: rescale"
    ):
        load_sequences(tmp_path / "d.npz")
