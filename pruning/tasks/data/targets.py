"""The array ``targets`` of a data file: numbers to be predicted, looked at before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .wrong_data import DataSetError

__all__ = ["NumberArray", "check_outputs", "numbers"]

NumberArray = npt.NDArray[np.float64]
_EACH = "targets must be (sequences, Y) or (all frames, Y), Y the outputs of the head"


def numbers(
    path: Path, targets: npt.NDArray[Any], sequences: int, frames: int
) -> tuple[NumberArray, bool]:
    """Numbers of each sequence or frame, and whether they are of frames.

    Parameters
    ----------
    path : Path
        For errors.
    targets : array
        As the file has it.
    sequences, frames : int
        That there are. Where every sequence has one frame, numbers are of sequences.

    Returns
    -------
    targets : float64 array (sequences, Y) or (frames, Y)
    framewise : bool

    Raises
    ------
    DataSetError
        For anything but finite numbers that float32 holds, a row for each.
    """
    what = f"{path}: targets has shape {targets.shape}"
    if targets.dtype.kind not in "fiu":
        raise DataSetError(f"{path}: targets is an array of {targets.dtype}: give numbers")
    if targets.ndim not in (1, 2) or 0 in targets.shape[1:]:
        raise DataSetError(f"{what}: {_EACH}")
    if len(targets) not in (sequences, frames):
        raise DataSetError(
            f"{what}, but there are {sequences} sequences in {frames} frames: {_EACH}"
        )
    found = targets.reshape(len(targets), -1).astype(np.float64)
    _check_finite(path, found)
    return found, len(targets) != sequences


def _check_finite(path: Path, found: NumberArray) -> None:
    """Refuse what cannot be trained on."""
    bad = ~(np.abs(found) <= np.finfo(np.float32).max)  # NaN too
    if not bad.any():
        return
    row, column = (int(n) for n in np.argwhere(bad)[0])
    value = found[row, column]
    why = "float32 does not hold it, rescale the targets" if np.isfinite(value) else (
        "leave out sequences whose targets are not known"
    )  # fmt: skip
    raise DataSetError(
        f"{path}: targets[{row}, {column}] is {value:g}, {int(bad.sum())} of {found.size} like it: "
        f"{why}"
    )


def check_outputs(width: int, outputs: int, network: object, file: str = "") -> None:
    """Refuse targets of another width than the head's outputs.

    Parameters
    ----------
    width : int
        Numbers of a target.
    outputs : int
        Of the head.
    network : object
        Its name.
    file : str
        Name of the data's file.

    Raises
    ------
    DataSetError
        Naming both.
    """
    if width != outputs:
        where = f"{file}: " if file else ""
        raise DataSetError(
            f"{where}targets of {width} numbers, but the head of {network} has {outputs} outputs: "
            "give a number for each output"
        )
