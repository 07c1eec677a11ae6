"""Padded arrays ``X`` (sequences, frames, features) and ``y``; nothing in a file is executed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.files.arrays import ArrayFileError, array_headers, read_arrays
from csb_format.files.claims import check_regular

from ..wrong_data import DataSetError
from .classes import Labels, classes_of
from .recordings import MOST_FEATURES, Recordings, check_values

__all__ = ["Padded", "read_padded"]

_SHOWN = 8  # names on a line


@dataclass(frozen=True)
class Padded:
    """What is what.

    Parameters
    ----------
    x, y, lengths : str
        Names in an ``.npz``, or of ``y`` and ``lengths`` other ``.npy`` files; empty ones are found
        by their shapes, no lengths mean that all frames count.
    pad : float or None
        Frames at the end that are all this value are padding; NaN is a value here.
    front : bool
        Those at the beginning instead.
    targets : bool or None
        Whether ``y`` holds numbers to be predicted; None: floats do.
    framewise : bool or None
        Whether an answer a frame is wanted; None: as the shape of ``y`` tells. False with an answer
        a frame in ``y``: that of all frames of a sequence is its answer.
    labels : Labels
    """

    x: str = ""
    y: str = ""
    lengths: str = ""
    pad: float | None = None
    front: bool = False
    targets: bool | None = None
    framewise: bool | None = None
    labels: Labels = field(default_factory=Labels)


def read_padded(path: Path, said: Padded) -> tuple[Recordings, bool, list[str]]:
    """Sequences without their padding.

    Returns
    -------
    Recordings
    framewise : bool
        Whether there is an answer at every frame.
    told : list of str
        What was taken for what.

    Raises
    ------
    DataSetError
        For shapes that do not fit, arrays of objects, or padding that is all there is.
    """
    x, y, lengths, told = _arrays(path, said)
    if x.ndim != 3 or x.dtype.kind not in "fiu" or not x.size or x.shape[2] > MOST_FEATURES:
        raise DataSetError(
            f"{path}: X is {x.dtype} of shape {x.shape}: give numbers (sequences, frames, "
            f"features), at most {MOST_FEATURES:,} features"
        )
    check_values(x.size)
    kept = _kept(path, x, lengths, said)
    framewise, answers, names = _answers(path, x, y, said, told)
    sequences = [np.asarray(one[a:b], np.float64) for one, (a, b) in zip(x, kept, strict=True)]
    for n, sequence in enumerate(sequences):
        if not np.isfinite(sequence).all():
            raise DataSetError(
                f"{path}: sequence {n} holds NaN or infinity: fill missing values in, or say "
                "--pad nan if they are padding"
            )
    cut: tuple[Any, ...] = ()
    if answers is not None:
        cut = tuple(one[a:b] for one, (a, b) in zip(answers, kept, strict=True))
    called = tuple(f"sequence {n} of {path.name}" for n in range(len(x)))
    sources = tuple(str(n) for n in range(len(x)))
    gone = x.shape[0] * x.shape[1] - sum(b - a for a, b in kept)
    told.append(f"{gone:,} of {x.shape[0] * x.shape[1]:,} frames are padding, left out")
    if lengths is None and said.pad is None:
        told += _like_padding(x)
    return Recordings(tuple(sequences), cut, sources, called, names), framewise, told


def _arrays(path: Path, said: Padded) -> tuple[Any, Any, Any, list[str]]:
    if path.suffix == ".npy":
        rest = [_npy(Path(one)) if one else None for one in (said.y, said.lengths)]
        return _npy(path), rest[0], rest[1], []
    check_regular(path)
    try:
        headers = array_headers(path)
        if objects := [name for name, (dtype, _) in headers.items() if dtype.hasobject]:
            raise DataSetError(
                f"{path}: {objects[0]} holds Python objects, and no pickle is read: write it as an "
                "array of numbers or text"
            )
        x = said.x or _only(path, headers, lambda shape: len(shape) == 3, "X, three axes")
        if x not in headers:
            raise DataSetError(f"{path} has no array {x!r}, but {', '.join(headers)}")
        count = headers[x][1][0]
        y, lengths = said.y, said.lengths
        if not y:
            long = [n for n, (_, shape) in headers.items() if shape[:1] == (count,)]
            fits = [n for n in long if n not in (x, lengths)]
            # by its name alone: one of another length is an error, not left out
            y = next((n for n in ("y", "labels", "targets") if n in headers and n != x), "")
            if not y and fits:
                raise DataSetError(f"{path}: which of {', '.join(fits)} are the answers? say --y")
        wanted = [name for name in (x, y, lengths) if name]
        found = read_arrays(path, wanted)
    except ArrayFileError as error:
        raise DataSetError(f"{path}: {error}") from error
    except DataSetError:
        raise
    except Exception as error:  # A damaged archive makes the reader fail in any way.
        raise DataSetError(f"{path} is no .npz file or a damaged one: write it again") from error
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataSetError(f"{path} has no array {missing[0]!r}, but {', '.join(headers)}")
    answers, sizes = (found[name] if name else None for name in (y, lengths))
    told = [f"{path}: X is {x}, {f'y is {y}' if y else 'no answers'}"]
    if unused := [name for name in headers if name not in wanted]:
        told[0] += f"; not used: {', '.join(unused[:_SHOWN])}{', ...' * (len(unused) > _SHOWN)}"
    return found[x], answers, sizes, told


def _only(path: Path, headers: Mapping[str, Any], fits: Any, what: str) -> str:
    found = [name for name, (_, shape) in headers.items() if fits(shape)]
    if len(found) != 1:
        has = ", ".join(f"{n} {s}" for n, (_, s) in headers.items())[:200] or "nothing"
        raise DataSetError(f"{path}: {len(found)} arrays may be {what} (it has {has}): say --x")
    return found[0]


def _npy(path: Path) -> npt.NDArray[Any]:
    check_regular(path)
    try:
        # mapped: what a header claims takes no memory, and more than the file has is an error
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
        raise DataSetError(
            f"{path} is no array of numbers (.npy), or a damaged one: no pickle is read"
        ) from error


def _kept(path: Path, x: Any, lengths: Any, said: Padded) -> list[tuple[int, int]]:
    """First frame and end of each sequence."""
    count, most = x.shape[:2]
    if lengths is not None and said.pad is not None:
        raise DataSetError("--lengths and --pad: the one or the other says what is padding")
    if lengths is not None:
        if lengths.shape != (count,) or lengths.dtype.kind not in "iu":
            raise DataSetError(
                f"{path}: lengths are {lengths.dtype} of shape {lengths.shape}: give a whole "
                f"number for each of {count} sequences"
            )
        if lengths.min() < 1 or lengths.max() > most:
            raise DataSetError(
                f"{path}: lengths from {lengths.min()} to {lengths.max()}: give 1 to {most}"
            )
        sizes = [int(one) for one in lengths]
    elif said.pad is not None:
        sizes = [_size(path, n, one, said) for n, one in enumerate(x)]
    else:
        sizes = [most] * count
    return [(most - n, most) if said.front else (0, n) for n in sizes]


def _size(path: Path, n: int, one: npt.NDArray[Any], said: Padded) -> int:
    assert said.pad is not None
    same = np.isnan(one) if np.isnan(said.pad) else one == said.pad
    real = np.flatnonzero(~same.all(axis=1))
    if not len(real):
        raise DataSetError(f"{path}: sequence {n} is padding alone: leave it out")
    return int(len(one) - real[0] if said.front else real[-1] + 1)


def _like_padding(x: npt.NDArray[Any]) -> list[str]:
    """What may be padding where nobody has said what is."""
    ends = [len(one) - 1 - np.flatnonzero(one.any(axis=1))[-1:] for one in x]
    zeros = np.array([int(end[0]) if len(end) else 0 for end in ends])
    if not zeros.any():
        return []
    return [
        f"note: {zeros.sum():,} frames at the ends of {np.count_nonzero(zeros):,} sequences are "
        "all 0 and taken as data: --pad 0 leaves them out, or --lengths with an array that has the "
        "frames of each"
    ]


def _answers(
    path: Path, x: Any, y: Any, said: Padded, told: list[str]
) -> tuple[bool, list[npt.NDArray[Any]] | None, tuple[str, ...]]:
    """An answer at every frame of every sequence, and names of classes."""
    if y is None:
        return False, None, ()
    targets = y.dtype.kind == "f" if said.targets is None else said.targets
    framewise = _framewise(path, x, y, said, targets)
    if said.targets is None and _one_hot(y):
        raise DataSetError(
            f"{path}: y of shape {y.shape} is one-hot, a 1 in each row and else 0: of classes give "
            "y.argmax(-1), of numbers say --kind targets"
        )
    names: tuple[str, ...] = ()
    if targets:
        if y.dtype.kind not in "fiu" or not np.isfinite(y).all():
            raise DataSetError(f"{path}: y holds {y.dtype}, NaN or infinity: give finite numbers")
        given = y.astype(np.float64).reshape(*y.shape[: 1 + framewise], -1)
    else:
        given, names = _classes(path, y, said, told)
    if framewise:
        return said.framewise is not False, list(given), names
    return False, [np.broadcast_to(one, (x.shape[1], *one.shape)) for one in given], names


def _one_hot(y: npt.NDArray[Any]) -> bool:
    """Whether floats are classes in disguise."""
    if y.dtype.kind != "f" or y.ndim < 2 or y.shape[-1] < 2:
        return False
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=-1) == 1).all())


def _framewise(path: Path, x: Any, y: Any, said: Padded, targets: bool) -> bool:
    shape, both = y.shape, x.shape[:2]
    sequence = shape[:1] == both[:1] and y.ndim <= 1 + targets
    frame = shape[:2] == both and y.ndim <= 2 + targets
    if said.framewise is None and sequence and frame:
        raise DataSetError(
            f"{path}: y of shape {shape} may be {shape[1]} numbers a sequence or one a frame: say "
            "--per sequence or --per frame"
        )
    if not (frame if (said.framewise is True or not sequence) else sequence):
        hot = "; of one-hot classes give y.argmax(-1)" if not targets and y.ndim > 1 else ""
        raise DataSetError(
            f"{path}: y has shape {shape}, X {x.shape}: give an answer for each of {both[0]} "
            f"sequences, or for each of their {both[1]} frames{hot}"
        )
    return bool(frame and (said.framewise is True or not sequence))


def _classes(
    path: Path, y: npt.NDArray[Any], said: Padded, told: list[str]
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    if y.dtype.kind not in "iuUfb":
        raise DataSetError(f"{path}: y holds {y.dtype}: give classes as whole numbers or names")
    if y.dtype.kind == "f" and not (y == np.floor(y)).all():
        raise DataSetError(f"{path}: y holds numbers that are no classes: --kind targets")
    plain = y if y.dtype.kind == "U" else y.astype(np.int64)
    found, at = np.unique(plain, return_inverse=True)
    classes, names = classes_of([str(one) for one in found], said.labels, told)
    return classes[at].reshape(y.shape), names
