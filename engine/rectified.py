"""A ReLU layer without the rows that are proven to be zero: SeerNet's case, made exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from csb_format.arguments import whole
from csb_format.fixed import IntArray
from csb_format.heads.mlp import MlpHead
from csb_format.screening.bounds import BLOCK, FRACTION, query_of
from csb_format.screening.layer import FIRST_BYTES, SECOND_BYTES, ScreenedLayer

from .screened import PROOF, states_of

__all__ = ["Rectified", "rectified"]


@dataclass(frozen=True, eq=False)
class Rectified:
    """Activations behind the ReLU of a head's first layer, and what they cost.

    Parameters
    ----------
    activations : int64 array (T, A)
        As :meth:`~csb_format.heads.mlp.MlpHead.activations`.
    first, second, exact : int64 arrays (T,)
        Rows whose first plane was read, whose second was, and that were computed exactly.
    bytes : int64 array (T,)
        Of the first layer: weights, norms, biases and places that were read.
    margin : int
        256ths of the proven bound that was used. 256: activations are proven to be those of the
        full layer. Less: a guess, which reports must name.
    """

    activations: IntArray
    first: IntArray
    second: IntArray
    exact: IntArray
    bytes: IntArray
    margin: int = PROOF

    @property
    def proven(self) -> bool:
        """Whether the result is that of the full layer by proof."""
        return self.margin >= PROOF

    @property
    def skipped(self) -> IntArray:
        """Rows of each token that were not computed, int64 (T,)."""
        return np.asarray(self.activations.shape[1] - self.exact)


def rectified(head: MlpHead, hidden: npt.ArrayLike, margin: int = PROOF) -> Rectified:
    """Activations of the first layer, of rows that are not proven to be zero.

    A block of rows, and then each of its rows, is left as soon as its bound is below the least sum
    that does not round to zero: bounds are those of the largest logits
    (:mod:`csb_format.screening.bounds`), which cover any row.

    Parameters
    ----------
    head : MlpHead
        Its first layer a :class:`~csb_format.screening.layer.ScreenedLayer`.
    hidden : int array (T, H)
        In the first layer's ``input`` format.
    margin : int
        1..256, see :class:`Rectified`.

    Raises
    ------
    ValueError
        For another first layer, another shape, values outside the format, or a margin out of range.
    """
    if not isinstance(head, MlpHead):
        raise ValueError(
            f"a {type(head).__name__} has no layer behind a ReLU: give MlpHead.of(first, second)"
        )
    layer, margin = head.hidden[0], whole("margin", margin, 1, PROOF)
    if not isinstance(layer, ScreenedLayer):
        raise ValueError("the first layer has no planes: take ScreenedLayer.of(head.hidden[0])")
    given = states_of(hidden, layer.input_size)
    behind = head.rectifiers[0]
    every = behind.of(layer.logits(given))  # what is not proven is taken from here
    kept = [_kept(layer, row, behind.least << FRACTION, margin) for row in given.astype(np.int64)]
    counts = np.array([[n.sum() for n in stages] for stages in kept], np.int64).reshape(-1, 3)
    found = np.zeros_like(every)
    for token, (*_, left) in enumerate(kept):
        outputs = layer.order[left]
        found[token, outputs] = every[token, outputs]
    first, second, exact = counts.T.copy()
    return Rectified(found, first, second, exact, _read(layer, first, second, exact), margin)


Rows = npt.NDArray[np.bool_]


def _kept(layer: ScreenedLayer, hidden: IntArray, least: int, margin: int) -> tuple[Rows, ...]:
    """Stored rows that are still there before each plane, and after both."""
    query = query_of(hidden, margin)
    blocks = np.repeat(layer.blocks.bounds(query.norm) >= least, BLOCK)[: layer.output_size]
    first = blocks & (layer.first_bounds(query) >= least)
    return blocks, first, first & (layer.second_bounds(query) >= least)


def _read(layer: ScreenedLayer, first: IntArray, second: IntArray, exact: IntArray) -> IntArray:
    """Bytes of each token. Unlike a row of the largest logits one goes on where its planes end."""
    planes = layer.row_bytes()
    again = planes[0] + planes[1] - FIRST_BYTES - SECOND_BYTES
    return layer.bytes_read(first, second, exact) - exact * again
