"""Sequences as Python gives them, looked at before anything is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["checked_frames"]

_WANTED = "give a list of arrays (frames, {width}), one for each sequence"


def checked_frames(sequences: Sequence[Any], width: int) -> list[npt.NDArray[Any]]:
    """Sequences as arrays.

    Parameters
    ----------
    sequences : sequence of arrays (T, X)
    width : int
        X, that the model takes.

    Raises
    ------
    TypeError
        For a path, or what is no array of numbers.
    ValueError
        For another shape, NaN or infinity, or no sequence; the message has the mend.
    """
    wanted = _WANTED.format(width=width)
    if isinstance(sequences, str | bytes | Path):
        raise TypeError(
            f"sequences are the path {sequences!r}: {wanted}, such as "
            "pruning.tasks.data.datasets.load_sequences(path).sequences"
        )
    if not len(sequences):
        raise ValueError(f"no sequences: {wanted}")
    return [_checked(number, given, width, wanted) for number, given in enumerate(sequences)]


def _checked(number: int, given: Any, width: int, wanted: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(
            f"sequence {number} is a {type(given).__name__} that is no array: {wanted}; of a torch "
            "tensor its .detach().cpu().numpy()"
        ) from error
    if array.dtype.kind not in "fiu":
        raise TypeError(f"sequence {number} holds {array.dtype}, no numbers: {wanted}")
    if array.ndim != 2 or not len(array) or array.shape[1] != width:
        one = "; one sequence alone stands in brackets, [frames]" if array.ndim == 1 else ""
        raise ValueError(f"sequence {number} has shape {array.shape}: {wanted}{one}")
    if not np.isfinite(array).all():
        raise ValueError(f"sequence {number} holds NaN or infinity: remove these frames")
    return array
