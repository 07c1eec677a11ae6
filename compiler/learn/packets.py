"""Load packets as they are read, and words of gradients, which they may bring without indices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from csb_format.fixed import IntArray
from csb_format.words import join_fields

from ..array.design import Design
from ..lower.load import COUNT_BITS, WORD, Space, space_widths

__all__ = ["Loaded", "marked_words", "packets_of"]


class Loaded(NamedTuple):
    """A load packet: memory words, and the shift of gradients."""

    space: Space
    target: int
    place: int
    words: list[int]
    shift: int
    size: int


def packets_of(design: Design, words: Sequence[int]) -> Iterator[Loaded]:
    """Load packets that follow each other; ``size`` is theirs in words of 32 bits."""
    at, widths = 0, space_widths(design)
    while at < len(words):
        space, target = Space(words[at] >> 28), words[at] >> 16 & 0xFFF
        count, shift = words[at + 1], 0
        if space is Space.GRADIENTS:
            count, shift = count & ((1 << COUNT_BITS) - 1), count >> COUNT_BITS
        chunks = -(-widths[space] // WORD)
        size = 2 + count * chunks
        given = np.array(words[at + 2 : at + size], object).reshape(-1, chunks)
        found = (given << (WORD * np.arange(chunks)).astype(object)).sum(axis=1).tolist()
        yield Loaded(space, target, words[at] & 0xFFFF, found, shift, size)
        at += size


def marked_words(values: IntArray, shifts: IntArray, design: Design) -> np.ndarray:
    """Words of gradients (..., N) of a PE: their shifts (...) lie in the places of indices."""
    marks = shifts[..., None] >> (np.arange(design.lanes) * design.index_bits)
    marks = marks & ((1 << design.index_bits) - 1)
    fields = np.stack([values, marks], axis=-1)
    widths = [design.value_bits, design.index_bits] * design.lanes
    return join_fields(fields.reshape(*values.shape[:-1], -1), widths)
