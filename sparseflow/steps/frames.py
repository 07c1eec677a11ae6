"""Sequences as Python gives them, looked at before anything is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from csb_format.arguments import frames_of
from csb_format.fixed import Fixed, IntArray

__all__ = ["integers_of"]


def integers_of(sequences: Sequence[Any], width: int, wanted: Fixed) -> list[IntArray]:
    """Sequences in a model's input format.

    Parameters
    ----------
    sequences : sequence of arrays (T, X)
        Real numbers, which are quantised, or integers, which are taken as they are.
    width : int
        X, that the model takes.
    wanted : Fixed
        Its input format.

    Raises
    ------
    TypeError
        For a path, or what is no array of numbers.
    ValueError
        For another shape, NaN or infinity, no sequence, integers outside the format, or
        integers beside real numbers; the message names the sequence and has the mend.
    """
    arrays = frames_of(sequences, width)
    kinds = ["integers" if array.dtype.kind in "iu" else "real numbers" for array in arrays]
    if other := next((n for n, kind in enumerate(kinds) if kind != kinds[0]), 0):
        raise ValueError(
            f"sequence {other} holds {kinds[other]}, sequence 0 {kinds[0]}: give real numbers, "
            "which are quantised, or integers in the model's input format, in all of them"
        )
    if kinds[0] == "real numbers":
        return [wanted.quantise(array) for array in arrays]
    for number, array in enumerate(arrays):
        if array.min() < wanted.min or array.max() > wanted.max:
            raise ValueError(
                f"sequence {number}: frames reach from {array.min()} to {array.max()}, their "
                f"format from {wanted.min} to {wanted.max}: quantise them to it"
            )
    return [array.astype(np.int64) for array in arrays]
