"""Adapted data files: sequences, answers, and what a model must know of raw features."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.files.replace import replace_file
from csb_format.inputs.scale import InputScale

from ..inputs import Inputs
from ..wrong_data import DataSetError
from .recordings import Recordings

__all__ = ["Adapted", "adapted", "write_adapted"]

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Adapted:
    """What goes into a data file.

    Parameters
    ----------
    recordings : Recordings
    inputs : Inputs
        Their scale, whether frames are scaled, names.
    """

    recordings: Recordings
    inputs: Inputs

    def arrays(self) -> dict[str, Any]:
        """By their names in the file."""
        given, scale = self.recordings, self.inputs.scale
        frames: npt.NDArray[np.floating] = np.concatenate(given.sequences)
        if scale is not None and self.inputs.scaled:
            frames = scale.apply(frames)
        elif np.abs(frames).max(initial=0.0) > _LARGEST:
            raise DataSetError(
                f"features reach {np.abs(frames).max():.3g}, float32 holds up to {_LARGEST:.3g}: "
                "scale them, --scale standard"
            )
        lengths = np.array([len(sequence) for sequence in given.sequences], np.int64)
        found: dict[str, Any] = {"frames": frames.astype(np.float32), "lengths": lengths}
        if given.answers:
            join = np.array if given.one_each else np.concatenate
            answers = join(given.answers)
            found["labels" if given.classes else "targets"] = answers
        return found | self.inputs.arrays()


def adapted(given: Recordings, scale: InputScale | None, scaled: bool) -> Adapted:
    """What is written of recordings."""
    known = Inputs(scale, scaled if scale else None, given.label_names, given.sounds)
    return Adapted(given, known)


def write_adapted(path: str | os.PathLike[str], what: Adapted) -> None:
    """Write an ``.npz``, whole or not at all.

    Raises
    ------
    ScaleError
        If a frame cannot be scaled; nothing is written then.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **what.arrays())
    replace_file(path, buffer.getvalue())
