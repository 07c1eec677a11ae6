"""What the steps read and where they write, looked at before any work is done."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np

from pruning.tasks.data.datasets import DataSetError, SequenceData, load_sequences

__all__ = ["check_file", "check_folder", "check_generated", "has_labels", "read_sequences"]

GENERATED = (".v", ".vlt", ".mem", ".coe", ".mif", ".hex")


def read_sequences(path: Path, labels_for: str = "") -> SequenceData:
    """Read an ``.npz`` of sequences; errors name the file.

    Parameters
    ----------
    path : Path
        See :func:`pruning.tasks.data.datasets.load_sequences`.
    labels_for : str
        What needs the labels; without it, a file without labels is fine.

    Raises
    ------
    DataSetError
        If it holds no such data, or no labels that are needed.
    """
    try:
        data = load_sequences(path)
        if labels_for and not has_labels(path):
            raise DataSetError(
                f"{labels_for} needs labels: add an array `labels`, int64, a class from 0 for "
                "each sequence"
            )
    except (ValueError, zlib.error) as error:
        text = str(error)
        raise DataSetError(text if str(path) in text else f"{path}: {text}") from error
    if data.labels.ndim != 1 or data.labels.min() < 0:
        raise DataSetError(
            f"{path}: labels of shape {data.labels.shape}, lowest {data.labels.min()}: give one "
            "class, counted from 0, for each sequence"
        )
    return data


def has_labels(path: Path) -> bool:
    """Whether an ``.npz`` holds labels."""
    with np.load(path, allow_pickle=False) as file:
        return "labels" in file.files


def check_file(path: Path) -> None:
    """Raise an OSError where a file could not be written; nothing is made."""
    if path.is_dir():
        raise IsADirectoryError(21, "is a folder: name a file in it", str(path))
    check_folder(path.parent)


def check_folder(path: Path) -> None:
    """Raise an OSError where a folder could not be made or written; nothing is made."""
    existing = path
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise NotADirectoryError(20, "is a file, not a folder: give another place", str(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(13, "no right to write there: give another place", str(existing))


def check_generated(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but generated hardware.

    Raises
    ------
    ValueError
        Naming the first entry that is not ours.
    """
    check_folder(folder)
    entries = sorted(folder.iterdir()) if folder.exists() else []
    foreign = [e.name for e in entries if e.is_dir() or e.suffix not in GENERATED]
    if foreign:
        raise ValueError(
            f"{folder} would be replaced as a whole but holds {foreign[0]}: give a new or an "
            "empty folder"
        )
