"""Heads and hidden states that are as hard as they can be for bounds: ties, zeros, extremes."""

from __future__ import annotations

import numpy as np

from ..fixed import Fixed, IntArray
from ..model import DenseLayer
from .planes import MOST_BITS

__all__ = ["adversarial_head", "adversarial_states"]


def adversarial_head(
    rng: np.random.Generator, outputs: int | None = None, inputs: int | None = None
) -> DenseLayer:
    """A small head of any widths whose rows tie, are 0, or are as large as they can be.

    Parameters
    ----------
    rng : np.random.Generator
    outputs, inputs : int, optional
        1 to 70 and 1 to 40 by default.
    """
    rows = outputs or int(rng.integers(1, 71))
    columns = inputs or int(rng.integers(1, 41))
    weight = Fixed(int(rng.integers(4, MOST_BITS + 1)), int(rng.integers(0, 20)))
    given = Fixed(int(rng.integers(6, MOST_BITS + 1)), int(rng.integers(0, 16)))
    return DenseLayer(_weights(rng, rows, columns, weight), weight, given, _biases(rng, rows))


def _weights(rng: np.random.Generator, rows: int, columns: int, fixed: Fixed) -> IntArray:
    large = rng.integers(fixed.min, fixed.max + 1, (rows, columns))
    scaled = large >> rng.integers(0, fixed.width, (rows, 1))  # rows of all widths
    ends = rng.choice([fixed.min, fixed.max, 0, -1], (rows, columns))
    kinds = rng.integers(0, 4, (rows, 1))
    found = np.select([kinds == 0, kinds == 1, kinds == 2], [large, scaled, ends], 0)
    twins = rng.integers(0, rows, rows)  # many rows that are equal
    return np.where(rng.random((rows, 1)) < 0.3, found[twins], found)


def _biases(rng: np.random.Generator, rows: int) -> IntArray:
    largest = 1 << int(rng.integers(0, 47))
    biases = rng.integers(-largest, largest, rows)
    return np.where(rng.random(rows) < rng.random(), biases[0], biases)


def adversarial_states(rng: np.random.Generator, head: DenseLayer, count: int) -> IntArray:
    """Hidden states for a head: random ones of all sizes, its own rows, zeros and extremes.

    Parameters
    ----------
    rng : np.random.Generator
    head : DenseLayer
    count : int

    Returns
    -------
    int64 array (count, H)
    """
    given, shape = head.input, (count, head.input_size)
    random = rng.integers(given.min, given.max + 1, shape)
    random >>= rng.integers(0, given.width, (count, 1))
    ends = rng.choice([given.min, given.max], shape)
    # A state along a row makes its bound as tight as Cauchy and Schwarz allow.
    rows = head.weight[rng.integers(0, head.output_size, count)] * rng.choice([-1, 1], (count, 1))
    along = np.clip(rows, given.min, given.max)
    kinds = rng.integers(0, 5, (count, 1))
    return np.select([kinds == 0, kinds == 1, kinds == 2, kinds == 3], [random, ends, along, 0],
                     random + (random == 0))  # fmt: skip
