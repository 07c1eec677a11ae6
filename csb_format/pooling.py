"""How the outputs of all frames become what a head is fed with."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from .arguments import shown
from .fixed import IntArray

__all__ = ["EVERY", "FED", "LAST", "POOLS", "Pool", "check_pool", "outputs_of", "pooled"]

Pool = Literal["last", "hn", "mean", "every"]
"""``"last"``: the output at the last frame, of both directions. ``"hn"``: the final state of
each direction (``h_n`` in torch), which for the reverse one is that at the first frame.
``"mean"``: the mean of the outputs over all frames. ``"every"``: each frame's output, of which the
head makes an answer a frame."""

#: All of them.
POOLS: tuple[Pool, ...] = get_args(Pool)
LAST: Pool = "last"
EVERY: Pool = "every"
FED: dict[Pool, str] = {
    "last": "its output at the last frame",
    "hn": "the final state of each direction (h_n)",
    "mean": "the mean of its outputs over time",
    "every": "its output at every frame",
}
"""What a head is fed with, in words."""


def check_pool(pool: str) -> Pool:
    """The way itself, or a ValueError for an unknown one."""
    for known in POOLS:
        if pool == known:
            return known
    raise ValueError(f"pool {pool!r}: choose one of {', '.join(POOLS)}")


def pooled(outputs: npt.ArrayLike, pool: str, directions: int) -> IntArray:
    """What the head takes of a sequence.

    Parameters
    ----------
    outputs : int array (T, D * R)
        Of the last level, both directions side by side, frame by frame as they went in.
    pool : {"last", "hn", "mean", "every"}
        See :data:`Pool`.
    directions : int
        D, 1 or 2.

    Returns
    -------
    int64 array (D * R,), or (T, D * R) for every frame
        In the format of the outputs; a mean is rounded once, halves up, as all that is rounded.

    Raises
    ------
    TypeError
        For what is no array of integers.
    ValueError
        For an unknown way, or no frames.
    """
    check_pool(pool)
    found = outputs_of(outputs)
    if pool == "mean":
        # floor(sum / T + 1/2) without a fraction
        mean: IntArray = (2 * found.sum(axis=0) + len(found)) // (2 * len(found))
        return mean
    if pool == "every":
        return found.copy()
    if pool == "last" or directions == 1:
        last: IntArray = found[-1].copy()
        return last
    forward = found.shape[1] // 2
    return np.concatenate([found[-1, :forward], found[0, forward:]])


def outputs_of(outputs: npt.ArrayLike) -> IntArray:
    """Outputs of one sequence, int64 (T, D * R); nothing is rounded or wraps around.

    Raises
    ------
    TypeError
        For what is no array of integers.
    ValueError
        For other axes, or no frames.
    """
    wanted = "give (T, D * R), T at least 1, integers as the model's run gives them"
    try:
        found = np.asarray(outputs)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(f"outputs are {shown(outputs)}, no array: {wanted}") from error
    if found.dtype.kind not in "iu" and found.size:
        raise TypeError(f"outputs are {shown(outputs)} of {found.dtype}: {wanted}")
    if found.ndim != 2 or not len(found):
        raise ValueError(f"outputs have shape {found.shape}: {wanted}")
    return found.astype(np.int64)
