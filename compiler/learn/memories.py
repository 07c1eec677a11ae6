"""What lies in the memories of an array that trains, and how it is read as a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csb_format.fixed import IntArray, round_shift, saturate
from csb_format.words import join_fields, split_fields

from ..array.design import Design
from ..array.widths import MASTER_BITS
from ..lower.image import Image
from ..lower.learning.masters import low_bits, master_of
from ..lower.load import Space, packet
from .layout import LearningLayout
from .packets import marked_words, packets_of

DENSE = 2  # dimensions of a matrix of all weights

__all__ = ["Memories", "entries_of", "masters_in", "restored", "tensor_of"]


@dataclass
class Memories:
    """What an update reads, and what it changes.

    Parameters
    ----------
    matrix : object array (words, M)
        Words of the matrix memories of all PEs, gradients behind them.
    masters : int64 array (M, train)
        Low bits of masters.
    vector : int64 array (places, N)
        Of the vector banks.
    """

    matrix: np.ndarray
    masters: IntArray
    vector: IntArray

    @classmethod
    def of(cls, image: Image) -> Memories:
        """As an image leaves them."""
        design = image.design
        matrix = np.zeros((design.matrix_depth, design.pes), object)
        matrix[: len(image.matrix_words)] = image.matrix_words
        masters = np.array([image.memories[f"master_{pe:03d}"] for pe in range(design.pes)])
        vector = np.zeros((design.vector_depth, design.lanes), np.int64)
        return cls(matrix, masters, vector)

    def write(self, design: Design, words: Sequence[int]) -> None:
        """Write what load packets of gradients and the tape say."""
        for one in packets_of(design, words):
            part = slice(one.place, one.place + len(one.words))
            if one.space is Space.VECTOR:
                bits = [design.act_bits] * design.lanes
                self.vector[part] = split_fields(one.words, bits)
            elif one.space is Space.GRADIENTS:
                values = split_fields(one.words, [design.value_bits] * design.lanes)
                marked = marked_words(values, np.full(len(values), one.shift), design)
                self.matrix[part, one.target] = marked
            else:
                self.matrix[part, one.target] = one.words


def entries_of(words: np.ndarray, design: Design) -> IntArray:
    """Values, signed, and indices of words of the matrix memories: int64 (..., N, 2)."""
    widths = [design.value_bits, design.index_bits] * design.lanes
    found = split_fields(list(words.ravel()), widths).reshape(*words.shape, design.lanes, 2)
    found[..., 1] &= (1 << design.index_bits) - 1
    return found


def masters_in(layout: LearningLayout, memories: Memories) -> IntArray:
    """Masters of the matrix, as :func:`tensor_of` has them."""
    at, given = layout.given.instruction.matrix, layout.given
    weights = entries_of(memories.matrix[at : at + given.words], layout.design)[..., 0]
    places = given.words * layout.design.lanes
    low = memories.masters[:, layout.masters : layout.masters + places].T.reshape(
        given.words, layout.design.lanes, -1
    )
    return tensor_of(layout, master_of(weights.swapaxes(1, 2), low))


def restored(layout: LearningLayout, words: np.ndarray, masters: IntArray) -> list[int]:
    """Load packets after which the matrix has other masters, and their weights.

    Parameters
    ----------
    layout : LearningLayout
    words : object array (words, M)
        Of its pass, whatever the weights are.
    masters : int64 array
        As :func:`tensor_of` has them.
    """
    design, given = layout.design, layout.given
    numbers, entries = _numbers_of(layout, masters), entries_of(words, design)
    bits = design.value_bits
    weights = saturate(round_shift(numbers, MASTER_BITS), bits)
    entries[..., 0] = weights.swapaxes(1, 2)
    widths = [bits, design.index_bits] * design.lanes
    found = join_fields(entries.reshape(*words.shape, -1), widths)
    low = low_bits(numbers).reshape(-1, design.pes)
    packets: list[int] = []
    for pe in range(design.pes):
        at, contents = given.instruction.matrix, found[:, pe].tolist()
        packets += packet(design, Space.MATRIX, pe, at, contents, "matrix")
        packets += packet(design, Space.MASTER, pe, layout.masters, low[:, pe].tolist(), "master")
    return packets


def _numbers_of(layout: LearningLayout, tensor: IntArray) -> IntArray:
    """Inverse of :func:`tensor_of`, 0 where nothing lies."""
    rows, lanes, groups = layout.given.placement.rows, layout.design.lanes, layout.groups
    if tensor.ndim > DENSE:  # bank by bank, as merged banks have them
        tensor = tensor.swapaxes(1, 2).reshape(len(tensor), -1)
    padded = np.zeros((len(tensor) + 1, lanes * groups), np.int64)
    padded[:-1, : tensor.shape[1]] = tensor
    by_place = padded[rows].reshape(*rows.shape, lanes, groups)
    return by_place.transpose(0, 3, 2, 1).reshape(len(rows) * groups, lanes, -1)


def tensor_of(layout: LearningLayout, numbers: IntArray, banks: int = 0) -> IntArray:
    """Numbers (words, N, M) as they lie in memories by row.

    Parameters
    ----------
    layout : LearningLayout
    numbers : int64 array (words, N, M)
    banks : int
        Of the matrix in its file; 0 for a dense one.

    Returns
    -------
    int64 array (rows, columns), or (rows, nonzeros, banks)
    """
    geometry, rows = layout.given.geometry, layout.given.placement.rows
    by_slot = numbers.reshape(len(rows), layout.groups, *numbers.shape[1:])
    found = np.zeros((geometry.rows, layout.design.lanes * layout.groups), np.int64)
    slots, pes = np.nonzero(rows >= 0)
    # of a dense layer group g has place g of each bank
    found[rows[slots, pes]] = by_slot[slots, :, :, pes].swapaxes(1, 2).reshape(len(slots), -1)
    if banks:
        return found.reshape(len(found), banks, -1).swapaxes(1, 2)
    return found[:, : geometry.columns]
