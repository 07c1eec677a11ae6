"""Files and arrays that are no sequences as they are: what they are, and what makes them so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.files.foreign import MisreadError, kind_of_file
from csb_format.pooling import EVERY

__all__ = [
    "IGNORED",
    "WANTED",
    "DataSetError",
    "check_classes",
    "check_kind",
    "check_labels",
    "other_arrays",
    "other_file",
    "reason_of",
    "whole_labels",
]

#: The label of a frame that does not count.
IGNORED = -1
WANTED = "an .npz file with frames (all frames, X), lengths (sequences,) and labels (sequences,)"
_SAVE = 'np.savez("data.npz", frames=frames, lengths=lengths, labels=labels)'
_FILES = {
    ".csv": """
        import numpy as np
        frames = np.loadtxt({name!r}, np.float32, delimiter=",", ndmin=2)  # a frame a line
        lengths = np.array([len(frames)])  # frames of each sequence, one after the other
        labels = np.array([0])  # class of each sequence, counted from 0
        {save}""",
    "WAV": """
        import numpy as np, scipy.io.wavfile
        rate, sound = scipy.io.wavfile.read({name!r})
        frames = your_features(rate, sound)  # float32 (frames, features), as in training
        lengths, labels = np.array([len(frames)]), np.array([0])
        {save}""",
    ".npy": """
        import numpy as np
        X = np.load({name!r})  # (sequences, frames, features)
        frames, lengths = np.concatenate(X), np.full(len(X), X.shape[1])
        labels = np.zeros(len(X), np.int64)  # class of each sequence, counted from 0
        {save}""",
    "": """
        import numpy as np
        frames = np.concatenate(sequences)  # float, each (frames, features)
        lengths = np.array([len(sequence) for sequence in sequences])
        labels = np.array(classes)  # of each sequence, counted from 0
        {save}""",
}
_PADDED = """
    import numpy as np
    d = np.load({name!r})
    lengths = np.full(len(d[{x!r}]), d[{x!r}].shape[1])  # or the real ones, without padding
    frames = np.concatenate([x[:n] for x, n in zip(d[{x!r}], lengths)])
    np.savez("data.npz", frames=frames, lengths=lengths{labels})"""
_PICKLED = """
    import numpy as np
    d = np.load({name!r}, allow_pickle=True)  # runs code in the file: only where it is yours
    frames = np.concatenate(list(d[{x!r}])).astype(np.float32)  # one sequence after the other
    lengths = np.array([len(sequence) for sequence in d[{x!r}]])
    np.savez("data.npz", frames=frames, lengths=lengths)  # and labels"""
_RELABEL = """
    import numpy as np
    d = dict(np.load({name!r}))
    d["labels"] = {change}
    np.savez({name!r}, **d)"""

_WITHOUT = """
    import numpy as np
    d = dict(np.load({name!r}))
    kept = d["labels"] >= 0  # sequences that have a class
    frames, lengths = d["frames"][np.repeat(kept, d["lengths"])], d["lengths"][kept]
    np.savez({name!r}, frames=frames, lengths=lengths, labels=d["labels"][kept])"""
_LAST_FRAME = """
    import numpy as np
    d = dict(np.load({name!r}))
    d["{array}"] = d["{array}"][np.cumsum(d["lengths"]) - 1]  # that of each last frame
    np.savez({name!r}, **d)"""


class DataSetError(MisreadError):
    """A data set is missing or is not the one it should be."""


def reason_of(error: Exception) -> str:
    """Why a file cannot be read: the system's words, or that it is damaged; no library's."""
    return getattr(error, "strerror", None) or "damaged, or of another kind"


def other_file(path: Path, reason: str = "") -> DataSetError:
    """The error for a file that is no ``.npz``."""
    kind = kind_of_file(path)
    text = next((s for mark, s in _FILES.items() if mark and mark in kind), _FILES[""])
    what = f"{path} is {kind}" if kind else f"{path} is no .npz file"
    detail = f" ({reason})" if reason else ""
    return DataSetError(
        f"{what} and holds no sequences{detail}: give {WANTED}",
        _dedented(text).format(name=path.name, save=_SAVE),
    )


def _dedented(text: str) -> str:
    return re.sub(r"\n +", "\n", text)


def other_arrays(path: Path, dtypes: Mapping[str, tuple[Any, tuple[int, ...]]]) -> None:
    """Refuse an ``.npz`` whose arrays are others; their headers tell, nothing else is read.

    Parameters
    ----------
    path : Path
    dtypes : mapping
        Data type and shape of every array.

    Raises
    ------
    DataSetError
        Saying what is there, what is wanted, and how to make it.
    """
    objects = [name for name, (dtype, _) in dtypes.items() if dtype.hasobject]
    wanted = [name for name in objects if name in ("frames", "lengths", "labels", "targets")]
    if wanted or (objects and "frames" not in dtypes):
        name = (wanted or objects)[0]
        raise DataSetError(
            f"{path} holds no sequences ({name} is a pickled array of Python objects, which is not "
            f"read as it could run code): give {WANTED}",
            _dedented(_PICKLED).format(name=path.name, x=name),
        )
    if {"labels", "targets"} <= set(dtypes):
        raise DataSetError(
            f"{path} holds labels {dtypes['labels'][1]} and targets {dtypes['targets'][1]}: give "
            "labels, classes counted from 0, or targets, numbers to be predicted, not both"
        )
    missing = [name for name in ("frames", "lengths") if name not in dtypes]
    if missing:
        raise _missing(path, missing[0], dtypes)
    for name, kinds, want in (("frames", "fiu", "numbers"), ("lengths", "iu", "whole numbers")):
        dtype = dtypes[name][0]
        if dtype.kind not in kinds or dtype.names:
            raise DataSetError(
                f"{path} holds no sequences ({name} is an array of {_named(dtype)}, it must hold "
                f"{want}): give {WANTED}",
                _dedented(_FILES[""]).format(save=_SAVE),
            )


def _named(dtype: npt.DTypeLike) -> str:
    found = np.dtype(dtype)
    return f"records with fields {', '.join(found.names)}" if found.names else str(found)


def _missing(path: Path, name: str, dtypes: Mapping[str, tuple[Any, Any]]) -> DataSetError:
    has = ", ".join(f"{n} {dtype} {shape}" for n, (dtype, shape) in dtypes.items()) or "nothing"
    padded = [n for n, (_, shape) in dtypes.items() if len(shape) == 3]
    text = f"{path} holds no sequences (it has no array {name}, but {has[:200]})"
    if not padded:
        return DataSetError(f"{text}: give {WANTED}", _dedented(_FILES[""]).format(save=_SAVE))
    x, count = padded[0], dtypes[padded[0]][1][0]
    # what has an entry for each sequence is taken for their labels
    y = next((n for n, (_, shape) in dtypes.items() if n != x and shape[:1] == (count,)), None)
    labels = f", labels=d[{y!r}].astype(np.int64)" if y else ""
    return DataSetError(
        f"{text}: {x} holds padded sequences of equal length, give {WANTED}",
        _dedented(_PADDED).format(name=path.name, x=x, labels=labels),
    )


def whole_labels(
    path: Path, labels: npt.NDArray[Any], framewise: bool = False
) -> npt.NDArray[np.int64]:
    """Labels as int64.

    Parameters
    ----------
    path : Path
    labels : array
    framewise : bool
        Whether there is one for each frame; those that do not count are ``IGNORED``.

    Raises
    ------
    DataSetError
        For anything else than whole numbers, one for each sequence or frame, from 0.
    """
    kind, shape = _named(labels.dtype), labels.shape
    change = 'd["labels"].astype(np.int64)'
    if labels.ndim == 2 and min(shape) > 1:
        what, change = f"of shape {shape}, one-hot or scores", 'd["labels"].argmax(1)'
    elif labels.ndim != 1:
        what, change = f"of shape {shape}", 'd["labels"].reshape(-1).astype(np.int64)'
    elif labels.dtype.kind in "SU" and not labels.dtype.names:
        what, change = "are text", 'np.unique(d["labels"], return_inverse=True)[1]'
    elif labels.dtype.kind not in "iu":
        what = f"are {kind}" + (f", such as {labels[0]}" if len(labels) else "")
    elif framewise and (labels == IGNORED).all():
        raise DataSetError(f"{path}: labels are all {IGNORED}: no frame counts, give some a class")
    elif len(labels) and labels.min() < (IGNORED if framewise else 0):
        raise _ignored_otherwise(path, labels) if framewise else _negative(path, labels)
    elif len(labels) and labels.max() > np.iinfo(np.int64).max:
        what = f"up to {labels.max()}"
    else:
        return labels.astype(np.int64)
    raise DataSetError(
        f"{path}: labels {what}: give one class, a whole number counted from 0, for each sequence",
        _dedented(_RELABEL).format(name=path.name, change=change),
    )


def _negative(path: Path, labels: npt.NDArray[Any]) -> DataSetError:
    """No class is negative: it marks what has none, or one of two sides."""
    found = np.unique(labels)
    if found.tolist() == [-1, 1]:
        return DataSetError(
            f"{path}: labels are -1 and 1: classes are counted from 0",
            _dedented(_RELABEL).format(name=path.name, change='(d["labels"] > 0).astype(np.int64)'),
        )
    count, lowest = int((labels < 0).sum()), found[0]
    return DataSetError(
        f"{path}: labels lowest {lowest}, {count} of {len(labels)} below 0, as ignore_index marks "
        "sequences without a class: leave those out",
        _dedented(_WITHOUT).format(name=path.name),
    )


def _ignored_otherwise(path: Path, labels: npt.NDArray[Any]) -> DataSetError:
    """Frames that do not count, but by another number, as torch's ignore_index is -100."""
    lowest = int(labels.min())
    return DataSetError(
        f"{path}: labels lowest {lowest}: a frame that does not count has {IGNORED}",
        _dedented(_RELABEL).format(name=path.name, change='np.maximum(d["labels"], -1)'),
    )


def check_labels(path: Path, labels: npt.NDArray[np.int64], sequences: int) -> None:
    """Refuse another number of labels than of sequences.

    Raises
    ------
    DataSetError
        Naming both.
    """
    if len(labels) != sequences:
        raise DataSetError(
            f"{path}: {sequences} sequences and {len(labels)} labels: give one label for each of "
            "at least one sequence, or one for each frame"
        )


def check_kind(
    framewise: bool, pool: str, network: object, file: str = "", what: str = "label"
) -> None:
    """Refuse labels of frames for a head that answers once a sequence, and the other way round.

    Parameters
    ----------
    framewise : bool
        Whether there is a label for each frame.
    pool : str
        How the head is fed.
    network : object
        Its name.
    file : str
        Name of the data's file.
    what : {"label", "target"}

    Raises
    ------
    DataSetError
        With the mend.
    """
    if framewise == (pool == EVERY):
        return
    where = f"{file}: " if file else ""
    if framewise:
        raise DataSetError(
            f"{where}one {what} for each frame, but the head of {network} answers once a sequence "
            f"(--pool {pool}): give one {what} for each sequence, or --pool every if it answers at "
            "every frame",
            _dedented(_LAST_FRAME).format(name=file or "data.npz", array=f"{what}s"),
        )
    none = f", {IGNORED} where none counts" if what == "label" else ""
    raise DataSetError(
        f"{where}one {what} for each sequence, but the head of {network} answers at every frame "
        f"(--pool {pool}): give one {what} for each frame{none}"
    )


def check_classes(
    labels: npt.NDArray[np.int64], classes: int, network: object, file: str = ""
) -> None:
    """Refuse labels beyond the classes of a network.

    Parameters
    ----------
    labels : int64 array
    classes : int
    network : object
        Its name.
    file : str
        Name of the data's file.

    Raises
    ------
    DataSetError
        Saying so if they seem to be counted from 1.
    """
    counted = labels[labels != IGNORED]
    low, high = int(counted.min()), int(counted.max())
    if high < classes:
        return
    knows = f"{network} knows {classes} classes, 0 to {classes - 1}"
    where = f"{file}: " if file else ""
    if low == 1 and high == classes:
        raise DataSetError(
            f"{where}labels from 1 to {high}, but {knows}: labels are counted from 0, subtract 1",
            _dedented(_RELABEL).format(name=file or "data.npz", change='d["labels"] - 1'),
        )
    raise DataSetError(
        f"{where}labels up to {high}, but {knows}: give the data that it was trained on"
    )
