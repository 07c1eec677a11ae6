"""What the steps read, looked at before any work is done."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from csb_format.inputs.sounds import SoundFeatures
from csb_format.model import Model
from pruning.tasks.data.datasets import DataSetError, SequenceData, load_sequences
from pruning.tasks.data.inputs import Inputs, inputs_of, scaled_as

from .progress import say

__all__ = [
    "SOUNDS",
    "check_features",
    "has_labels",
    "known_to",
    "need_labels",
    "read_scaled",
    "read_sequences",
]

SOUNDS = "sound_features"
"""Key of a model's provenance under which `pack` notes how frames were made of sounds."""


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
        if labels_for:
            need_labels(path, labels_for)
    except DataSetError as error:
        if str(path) in error.text:
            raise
        raise DataSetError(f"{path}: {error.text}", error.snippet) from error
    except ValueError as error:
        raise DataSetError(f"{path}: {error}") from error
    return data


def read_scaled(
    path: Path, labels_for: str = "", other: Inputs | None = None, what: object = ""
) -> tuple[SequenceData, Inputs]:
    """As :func:`read_sequences`, frames as the network takes them; and what the file says of them.

    Parameters
    ----------
    path, labels_for
        As there.
    other, what
        As for :func:`pruning.tasks.data.inputs.scaled_as`; what is done is said.
    """
    data, of = read_sequences(path, labels_for), inputs_of(path)
    data, told = scaled_as(data, of, other, path, what)
    for line in told:
        say(line)
    return data, of


def known_to(model: Model) -> Inputs:
    """What a model knows of its inputs."""
    noted = model.provenance.get(SOUNDS)
    sounds = None if noted is None else SoundFeatures.of(noted)
    return Inputs(model.input_scale, None, model.label_names, sounds)


def has_labels(path: Path) -> bool:
    """Whether an ``.npz`` holds labels or targets."""
    with np.load(path, allow_pickle=False) as file:
        return not {"labels", "targets"}.isdisjoint(file.files)


def need_labels(path: Path, what: str) -> None:
    """Refuse a file without labels and targets.

    Raises
    ------
    DataSetError
        Naming it, what needs them, and the mend.
    """
    if not has_labels(path):
        raise DataSetError(
            f"{path}: {what} needs labels: add an array `labels`, int64, a class from 0 for "
            "each sequence, or for each frame; or `targets`, numbers to be predicted"
        )


def check_features(model: Model, data: SequenceData, path: Path) -> None:
    """Refuse data of another width than the model's.

    Raises
    ------
    ValueError
        Naming both.
    """
    width = model.layers[0].input_size
    if data.width != width:
        raise ValueError(
            f"{path} has {data.width} features a frame, the model takes {width}: "
            "give data like that it was trained on"
        )
