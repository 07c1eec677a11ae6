"""The largest logits of a screened head, exactly, and what it reads for them."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.arguments import whole
from csb_format.fixed import IntArray
from csb_format.screening.bounds import BLOCK, FRACTION, query_of
from csb_format.screening.layer import ScreenedLayer

__all__ = ["MOST_TOP", "PROOF", "Top", "of_all", "states_of", "top"]

#: Logits that can be asked for.
MOST_TOP = 8
#: A margin of 1, in its units: what proves.
PROOF = 256


@dataclass(frozen=True, eq=False)
class Top:
    """The largest logits of some hidden states, and what they cost.

    Parameters
    ----------
    indices : int64 array (T, k)
        Outputs, the largest logit first; of equal logits the lower output first.
    logits : int64 array (T, k)
        As :meth:`~csb_format.model.DenseLayer.logits`.
    first, second, exact : int64 arrays (T,)
        Rows whose first plane was read, whose second was, and that were computed exactly.
    bytes : int64 array (T,)
        Of weights, norms, biases and places that were read.
    margin : int
        256ths of the proven bound that was used. 256: the result is proven to be that of the full
        layer. Less: a guess, which reports must name.
    """

    indices: IntArray
    logits: IntArray
    first: IntArray
    second: IntArray
    exact: IntArray
    bytes: IntArray
    margin: int = PROOF

    @property
    def proven(self) -> bool:
        """Whether the result is that of the full layer by proof."""
        return self.margin >= PROOF


def top(layer: ScreenedLayer, hidden: npt.ArrayLike, k: int, margin: int = PROOF) -> Top:
    """The ``k`` largest logits of every hidden state: the reference, plain and slow.

    Blocks of rows are taken in their stored order. A block, and then each of its rows, is left as
    soon as its bound is below the k-th largest exact logit so far; where it equals that it is not
    left, as its output may be the lower one.

    Parameters
    ----------
    layer : ScreenedLayer
    hidden : int array (T, H)
        In the layer's ``input`` format.
    k : int
        1..8, at most the outputs.
    margin : int
        1..256, see :class:`Top`.

    Raises
    ------
    ValueError
        For another shape, values outside the format, or numbers out of range.
    """
    if not isinstance(layer, ScreenedLayer):
        raise ValueError(
            f"a {type(layer).__name__} has no planes: give ScreenedLayer.of of a dense layer"
        )
    k = whole("k", k, 1, min(MOST_TOP, layer.output_size))
    margin = whole("margin", margin, 1, PROOF)
    given = states_of(hidden, layer.input_size)
    logits = layer.logits(given)
    found = [_one(layer, h, row, k, margin) for h, row in zip(given, logits, strict=True)]
    counts = np.array([counted for _, counted in found], np.int64).reshape(-1, 3)
    pairs = np.array([best for best, _ in found], np.int64).reshape(-1, k, 2)
    first, second, exact = counts.T.copy()
    read = layer.bytes_read(first, second, exact)
    return Top(pairs[..., 1], -pairs[..., 0], first, second, exact, read, margin)


def states_of(hidden: npt.ArrayLike, width: int) -> npt.NDArray[Any]:
    """Hidden states (T, H), or a ``ValueError`` with what was given instead."""
    try:
        given = np.asarray(hidden)
    except ValueError:  # rows of several lengths
        raise ValueError(f"hidden states that are no array: give (T, {width})") from None
    if given.ndim != 2:
        raise ValueError(f"hidden states of shape {given.shape}: give (T, {width})")
    return given


def of_all(logits: IntArray, k: int) -> tuple[IntArray, IntArray]:
    """Outputs and logits of the ``k`` largest where all are there: int64 (..., k) each.

    The largest first, of equal ones that of the lower output.

    Parameters
    ----------
    logits : int64 array (..., O)
    k : int
    """
    order = np.argsort(-logits, axis=-1, kind="stable")[..., :k]
    return order, np.take_along_axis(logits, order, axis=-1)


Pairs = list[tuple[int, int]]


def _one(
    layer: ScreenedLayer, hidden: IntArray, logits: IntArray, k: int, margin: int
) -> tuple[Pairs, tuple[int, int, int]]:
    """Pairs of a negative logit and its output, rising; and how many rows went how far."""
    query = query_of(np.asarray(hidden, np.int64), margin)
    blocks = layer.blocks.bounds(query.norm)
    first = layer.first_bounds(query)
    second = layer.second_bounds(query)
    best: Pairs = []
    counts = [0, 0, 0]
    for block, bound in enumerate(blocks.tolist()):
        if _below(bound, best, k):
            continue
        rows = range(block * BLOCK, min((block + 1) * BLOCK, layer.output_size))
        counts[0] += len(rows)
        for row in rows:
            if _below(first[row], best, k):
                continue
            counts[1] += 1
            if _below(second[row], best, k):
                continue
            counts[2] += 1
            output = int(layer.order[row])
            insort(best, (-int(logits[output]), output))
            del best[k:]
    return best, (counts[0], counts[1], counts[2])


def _below(bound: int, best: Pairs, k: int) -> bool:
    """Whether a bound proves that a row is not among the largest."""
    return len(best) == k and bound < -best[-1][0] << FRACTION
