"""The head's gradient in integers: softmax with cross-entropy, or squared errors of numbers."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from csb_format.fixed import IntArray

__all__ = ["PROBABILITY_BITS", "class_gradient", "cross_entropy", "probabilities"]

PROBABILITY_BITS = 15
_ARGUMENT = 10  # fraction bits of differences of logits, and of powers of two
_LOG2E = 94548  # log2(e) with 16 fraction bits


@cache
def powers() -> IntArray:
    """``2**-(k / 1024)`` with ``PROBABILITY_BITS``, int64 (1024,)."""
    steps = np.arange(1 << _ARGUMENT) / (1 << _ARGUMENT)
    return np.floor(2.0 ** (PROBABILITY_BITS - steps) + 0.5).astype(np.int64)


def probabilities(logits: IntArray, frac: int) -> IntArray:
    """Softmax of exact logits.

    Parameters
    ----------
    logits : int64 array (N, O)
    frac : int
        Their fraction bits.

    Returns
    -------
    int64 array (N, O)
        With ``PROBABILITY_BITS``.
    """
    below = logits.max(axis=-1, keepdims=True) - logits
    down = frac - _ARGUMENT
    most = 1 << (_ARGUMENT + 5)
    below = below >> down if down > 0 else np.minimum(below, most) << -down
    power = (np.minimum(below, most) * _LOG2E) >> 16
    whole = np.minimum(power >> _ARGUMENT, 62)
    parts = powers()[power & ((1 << _ARGUMENT) - 1)] >> whole
    total = parts.sum(axis=-1, keepdims=True)
    found: IntArray = ((parts << (PROBABILITY_BITS + 1)) + total) // (2 * total)
    return found


def class_gradient(logits: IntArray, frac: int, labels: IntArray) -> IntArray:
    """Probabilities less the label's 1, with ``PROBABILITY_BITS``; 0 where a label is below 0."""
    found = probabilities(logits, frac)
    at = np.arange(len(labels))
    found[at, np.maximum(labels, 0)] -= 1 << PROBABILITY_BITS
    return np.where(labels[:, None] < 0, 0, found)


def cross_entropy(logits: IntArray, frac: int, labels: IntArray) -> float:
    """Sum of the natural logarithms that labels are held likely by, negative; for people alone."""
    real: npt.NDArray[np.float64] = np.ldexp(logits.astype(np.float64), -frac)
    real -= real.max(axis=-1, keepdims=True)
    costs = np.log(np.exp(real).sum(axis=-1)) - real[np.arange(len(labels)), np.maximum(labels, 0)]
    return float(costs[labels >= 0].sum())
