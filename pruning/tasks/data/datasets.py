"""JapaneseVowels: real speech, small enough for a demo, from an ordinary package."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.arguments import check_magnitude
from csb_format.extras import brought_by
from csb_format.files.arrays import ArrayFileError, array_headers, read_arrays
from csb_format.files.foreign import kind_of_file
from csb_format.files.replace import replace_file

from .targets import NumberArray, numbers
from .wrong_data import (
    IGNORED,
    WANTED,
    DataSetError,
    check_labels,
    other_arrays,
    other_file,
    whole_labels,
)

__all__ = [
    "DataSetError",
    "FloatArray",
    "Normaliser",
    "SequenceData",
    "load_japanese_vowels",
    "load_sequences",
    "save_sequences",
]

FloatArray = npt.NDArray[np.float32]

_PACKAGE = "sktime"
_SHA256 = {
    "train": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "test": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}


@dataclass(frozen=True, eq=False)
class SequenceData:
    """Sequences of one feature width, with labels or with targets.

    Parameters
    ----------
    sequences : tuple of float32 arrays (T, X)
        At least one; T may differ, at least 1; finite.
    labels : int64 array (sequences,) or (frames,)
        Classes from 0; of frames, those of all sequences one after the other, and ``IGNORED``
        where a frame does not count.
    file : str
        Name of the file that it comes from, for errors; empty if it comes from none.
    framewise : bool
        Whether there is a label, or a target, for each frame.
    targets : float64 array (sequences, Y) or (frames, Y), optional
        Numbers to be predicted instead of classes, finite; labels are all 0 then.

    Raises
    ------
    ValueError
        For counts that differ, no sequences, other shapes, NaN or infinity.
    """

    sequences: tuple[FloatArray, ...]
    labels: npt.NDArray[np.int64]
    file: str = ""
    framewise: bool = False
    targets: NumberArray | None = None

    def __post_init__(self) -> None:
        if not self.sequences or self._labelled != len(self.labels):
            what = f"{self.frames} frames" if self.framewise else f"{len(self.sequences)} sequences"
            each = "frame of" if self.framewise else "of"
            raise ValueError(
                f"{what} and {len(self.labels)} labels: give one label for each {each} at least "
                "one sequence"
            )
        if self.targets is not None and (
            self.targets.ndim != 2 or len(self.targets) != len(self.labels)
        ):
            raise ValueError(
                f"targets have shape {self.targets.shape}: give ({len(self.labels)}, Y), as many "
                "as labels"
            )
        for number, sequence in enumerate(self.sequences):
            self._check(number, sequence)

    def _check(self, number: int, sequence: FloatArray) -> None:
        if sequence.ndim != 2 or not len(sequence) or sequence.shape[1] != self.width:
            raise ValueError(
                f"sequence {number} has shape {sequence.shape}: must be (frames, {self.width}) "
                "with at least one frame"
            )
        if not np.isfinite(sequence).all():
            raise ValueError(f"sequence {number} holds NaN or infinity: remove these frames")

    @property
    def _labelled(self) -> int:
        return self.frames if self.framewise else len(self.sequences)

    @property
    def counted(self) -> int:
        """Labels, or targets, that count."""
        return int((self.labels != IGNORED).sum())

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """A class of each sequence, int64 (sequences,): of its frames that which most have."""
        if not self.framewise:
            return self.labels
        return np.array([_most(each[each != IGNORED]) for each in self.by_sequence])

    @property
    def scored(self) -> str:
        """What a score of it is of, in words."""
        if not self.framewise:
            return f"{len(self)} sequences"
        return f"{self.counted:,} frames of {len(self)} sequences"

    @property
    def by_sequence(self) -> list[npt.NDArray[np.int64]]:
        """The labels of each sequence's frames; one label each where there is one a sequence."""
        return self.split(self.labels)

    def split(self, each: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """An array with an entry for each label, cut into sequences."""
        lengths = [len(s) if self.framewise else 1 for s in self.sequences]
        return np.split(each, np.cumsum(lengths)[:-1])

    @property
    def width(self) -> int:
        """Features of a frame."""
        return int(self.sequences[0].shape[-1])

    @property
    def frames(self) -> int:
        """Frames of all sequences together."""
        return sum(len(sequence) for sequence in self.sequences)

    def chosen(self, places: Sequence[int]) -> SequenceData:
        """The sequences at these places, in their order, with what belongs to them."""
        at = list(places)
        parts = self.split(np.arange(len(self.labels)))
        rows = np.concatenate([parts[n] for n in at])
        return replace(
            self,
            sequences=tuple(self.sequences[n] for n in at),
            labels=self.labels[rows],
            targets=None if self.targets is None else self.targets[rows],
        )

    def __len__(self) -> int:
        return len(self.sequences)


def _most(labels: npt.NDArray[np.int64]) -> int:
    return int(np.bincount(labels).argmax()) if len(labels) else IGNORED


@dataclass(frozen=True, eq=False)
class Normaliser:
    """Shift and scale of every channel; what comes out is what the accelerator is fed.

    Parameters
    ----------
    mean, std : float32 array (X,)
        Of the training set; ``std`` is positive.
    """

    mean: FloatArray
    std: FloatArray

    @classmethod
    def fit(cls, data: SequenceData) -> Normaliser:
        """Mean and standard deviation over all frames; a constant channel gets std 1."""
        frames = np.concatenate(data.sequences).astype(np.float64)
        std = frames.std(axis=0)
        std[std == 0] = 1.0
        return cls(frames.mean(axis=0).astype(np.float32), std.astype(np.float32))

    @classmethod
    def identity(cls, width: int) -> Normaliser:
        """The normaliser that changes nothing, for frames that are as they should be."""
        return cls(np.zeros(width, np.float32), np.ones(width, np.float32))

    def apply(self, data: SequenceData) -> SequenceData:
        """Return the data with ``(x - mean) / std`` in every channel, float32."""
        if data.width != len(self.mean):
            raise ValueError(
                f"sequences of {data.width} channels: this normaliser was fitted to "
                f"{len(self.mean)}; fit one to this data"
            )
        scaled = tuple(((s - self.mean) / self.std).astype(np.float32) for s in data.sequences)
        return replace(data, sequences=scaled)


def load_japanese_vowels(split: str) -> SequenceData:
    """Utterances of the vowel /ae/ by nine speakers (Kudo, Toyama, Shimbo 1999).

    Parameters
    ----------
    split : {"train", "test"}
        270 utterances in 4274 frames, or 370 in 5687.

    Returns
    -------
    SequenceData
        float32 (T, 12) LPC cepstra, 7 to 29 frames; labels 0..8 are the speakers.

    Raises
    ------
    DataSetError
        If the package that carries the files is missing, or the content is not the known one.
    """
    if split not in _SHA256:
        raise DataSetError(f"split {split!r}: must be 'train' or 'test'")
    name = f"JapaneseVowels_{split.upper()}.ts"
    content = _read(name)
    digest = hashlib.sha256(content).hexdigest()
    if digest != _SHA256[split]:
        raise DataSetError(
            f"{name} has sha256 {digest}, expected {_SHA256[split]}: "
            f"take the known version, {brought_by('demo')}"
        )
    return parse_ts(content.decode())


def _read(name: str) -> bytes:
    # The file is located without importing the package: that takes seconds and pulls in pandas.
    try:
        root = metadata.distribution(_PACKAGE)
        path = root.locate_file(f"{_PACKAGE}/datasets/data/JapaneseVowels/{name}")
        with open(str(path), "rb") as file:
            return file.read()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise DataSetError(
            f"JapaneseVowels comes with the package {_PACKAGE}, not found here ({error}): "
            f"{brought_by('demo')}"
        ) from error


def parse_ts(text: str) -> SequenceData:
    """Parse a multivariate ``.ts`` file with labels 1, 2, ...

    Parameters
    ----------
    text : str
        A header up to ``@data``, then per line the channels separated by ``:``, values by
        ``,``, and the label last.

    Raises
    ------
    DataSetError
        If there is no ``@data`` line; otherwise as :class:`SequenceData`.
    """
    _, marker, body = text.partition("@data\n")
    if not marker:
        raise DataSetError("no @data line: this is no .ts file, give one in that format")
    lines = [line.split(":") for line in body.splitlines() if line.strip()]
    labels = np.array([int(label) - 1 for *_, label in lines], np.int64)
    return SequenceData(tuple(_frames(channels) for *channels, _ in lines), labels)


def _frames(channels: Sequence[str]) -> FloatArray:
    return np.array([channel.split(",") for channel in channels], np.float32).T.copy()


def save_sequences(path: str | os.PathLike[str], data: SequenceData) -> None:
    """Write sequences as ``.npz``, whole or not at all.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    data : SequenceData
        Stored as ``frames`` float32 (all frames, X), ``lengths`` int64 (sequences,) and
        ``labels`` int64 (sequences,) or (all frames,), or ``targets`` float64, Y more.
    """
    buffer = io.BytesIO()
    lengths = np.array([len(sequence) for sequence in data.sequences], np.int64)
    frames = np.concatenate(data.sequences)
    answers: dict[str, Any] = {"labels": data.labels}
    if data.targets is not None:
        answers = {"targets": data.targets}
    np.savez(buffer, frames=frames, lengths=lengths, **answers)
    replace_file(path, buffer.getvalue())


def load_sequences(path: str | os.PathLike[str]) -> SequenceData:
    """Read sequences from ``.npz``; the file cannot execute anything.

    Parameters
    ----------
    path : path
        With arrays as :func:`save_sequences` writes them; ``labels`` and ``targets`` may be absent
        (labels are all 0 then).

    Raises
    ------
    DataSetError
        If it is no such file; otherwise as :class:`SequenceData`.
    """
    file = Path(path)
    arrays = _arrays(file)
    frames, lengths = arrays["frames"], arrays["lengths"]
    targets, labels = None, arrays.get("labels", np.zeros(lengths.shape, np.int64))
    framewise = bool(labels.size) and labels.shape == frames.shape[:1] != lengths.shape
    labels = whole_labels(file, labels, framewise)
    # Before sums that would overflow.
    if lengths.size and lengths.min() >= 0 and int(lengths.max()) > len(frames):
        raise DataSetError(
            f"{file}: a length of {lengths.max()}, and {len(frames)} frames in all: lengths must "
            "sum to the frames"
        )
    if frames.ndim != 2 or lengths.ndim != 1 or int(lengths.sum()) != len(frames):
        raise DataSetError(
            f"{file}: frames has shape {frames.shape}, lengths sum to {lengths.sum()}: "
            "frames must be (sum of lengths, X)"
        )
    if not len(lengths):
        raise DataSetError(f"{file} holds no sequence: give one at least")
    if "targets" in arrays:
        targets, framewise = numbers(file, arrays["targets"], len(lengths), len(frames))
        labels = np.zeros(len(targets), np.int64)
    elif not framewise:
        check_labels(file, labels, len(lengths))
    if lengths.min() < 1:
        at = int((lengths < 1).argmax())
        raise DataSetError(
            f"{file}: sequence {at} has shape (0, {frames.shape[1]}), its length is {lengths[at]}: "
            "give one frame at least"
        )
    check_magnitude("frames", frames)
    with np.errstate(over="ignore"):  # what is beyond float32 is refused as infinite
        frames = frames.astype(np.float32)
    parts = np.split(frames, np.cumsum(lengths.astype(np.int64))[:-1])
    return SequenceData(tuple(parts), labels, file.name, framewise, targets)


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays that count, of an ``.npz`` whose headers are looked at first."""
    if path.exists() and not (path.is_file() or path.is_dir()):  # opening a pipe would wait
        raise DataSetError(f"{path} is no file: give {WANTED}")
    with open(path, "rb"):  # its own error: no such file, a folder, no right
        pass
    if kind_of_file(path) != "NumPy arrays (.npz)":
        raise other_file(path)
    try:
        other_arrays(path, array_headers(path))
        return read_arrays(path, ("frames", "lengths", "labels", "targets"))
    except MemoryError as error:
        raise DataSetError(f"{path} does not fit the memory: give fewer sequences") from error
    except DataSetError:
        raise
    except ArrayFileError as error:
        raise DataSetError(f"{error}; {WANTED} is wanted") from error
    except Exception as error:  # A damaged file makes the reader fail in any way.
        raise DataSetError(f"{path} is a damaged .npz file: write it again; {WANTED}") from error
