"""The order of a screened head's rows: which are tried first, by what typical states say."""

from __future__ import annotations

import numpy as np

from csb_format.fixed import IntArray
from csb_format.model import DenseLayer
from csb_format.screening.bounds import BLOCK
from csb_format.screening.layer import ScreenedLayer

from .screened import MOST_TOP, top

__all__ = ["ordered", "winners"]

_FRONT = 256  # rows that come first, at most, and at most this share of all
_SHARE = 8
_TRIED, _TOP = 32, 5  # states that decide, and logits that are asked for
_PART = 256  # states whose logits are held at a time


def ordered(dense: DenseLayer, states: IntArray) -> ScreenedLayer:
    """A layer with its screen, in the order that reads less on some states.

    Two are tried: rows by the logit that they can reach, and the same behind the outputs that are
    most often among the largest. The first cuts more blocks, the second finds large logits
    sooner, also where the largest rows are those of outputs that never win. Any order is exact.

    Parameters
    ----------
    dense : DenseLayer
    states : int64 array (T, H)
        Typical ones, T at least 1.

    Raises
    ------
    ValueError
        As :meth:`~csb_format.screening.layer.ScreenedLayer.of`.
    """
    squares = (states.astype(np.float64) ** 2).sum(axis=1)
    usual = ScreenedLayer.of(dense, int(np.sqrt(squares).mean()))
    most = min(_FRONT, dense.output_size // _SHARE) // BLOCK * BLOCK
    early = winners(dense, states)[:most]
    if not len(early):
        return usual
    tried = states[:: -(-len(states) // _TRIED)]
    return min((usual, usual.after(early)), key=lambda head: top(head, tried, _TOP).bytes.sum())


def winners(dense: DenseLayer, states: IntArray) -> IntArray:
    """Outputs that are among the ``MOST_TOP`` largest of some states, the most frequent first.

    Parameters as of :func:`ordered`, of at most 16 bits: sums are exact in float64.
    """
    k = min(MOST_TOP, dense.output_size)
    weight, count = dense.weight.T.astype(np.float64), np.zeros(dense.output_size, np.int64)
    for start in range(0, len(states), _PART):
        logits = states[start : start + _PART].astype(np.float64) @ weight + dense.bias
        count += (logits >= np.partition(logits, -k, axis=1)[:, -k, None]).sum(axis=0)
    order = np.argsort(-count, kind="stable")
    return np.asarray(order[: np.count_nonzero(count)])
