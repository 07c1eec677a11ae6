"""The bit-exact model of an update, on what lies in the memories."""

from __future__ import annotations

import numpy as np

from csb_format.fixed import IntArray, round_shift
from csb_format.words import join_fields

from ..array.design import DICE_BITS, Design
from ..array.widths import MASTER_BITS, align_bits
from ..lower.learning.masters import low_bits, master_of
from .commands import Update
from .dice import columns
from .memories import Memories, entries_of

__all__ = ["gradients_of", "moved", "placed", "placed_bits", "updated"]


def placed_bits(design: Design) -> int:
    """Bits of a sum where it is multiplied by the rate.

    What is larger moves any master beyond its range, so that it may saturate: the 48 bits of the
    contract need not be there.
    """
    return max(design.acc_bits, design.value_bits + MASTER_BITS + 12)


def placed(sums: IntArray, place: int, bits: int) -> IntArray:
    """Sums shifted to the right, rounded down, or to the left, saturating to ``bits``."""
    if place >= 0:
        return sums >> min(place, 62)
    top = 1 << (bits - 1)
    limit = top >> -place
    fits = (sums >= -limit) & (sums < limit)
    moved = np.where(fits, sums, 0) << -place
    return np.where(fits, moved, np.where(sums < 0, -top, top - 1))


def moved(masters: IntArray, sums: IntArray, factor: int, dice: IntArray, bits: int) -> IntArray:
    """Masters after a step of descent: exact products, rounded by the dice, saturated."""
    top = 1 << (bits - 1)
    found: IntArray = np.clip(masters - ((sums * factor + dice) >> DICE_BITS), -top, top - 1)
    return found


def updated(update: Update, memories: Memories) -> Memories:
    """Memories after an update; those of gradients and tape stay."""
    at, design = update.layout, update.layout.design
    matrix, masters = memories.matrix.copy(), memories.masters.copy()
    base, behind = at.given.instruction.matrix, at.slots * (1 + at.terms)
    lefts = np.resize(update.lefts or (0,), design.pes)  # gates side by side
    numbers = columns(update.start, at.groups * design.lanes).reshape(design.lanes, at.groups)
    for slot in range(at.slots):
        first = at.gradients + slot
        dice = (matrix[first] & ((1 << DICE_BITS) - 1)).astype(np.int64)
        values, aligns = gradients_of(matrix[first : first + behind : at.slots][1:], design)
        aligns = aligns + lefts
        for group in range(at.groups):
            word = slot * at.groups + group
            entries = entries_of(matrix[base + word], design)
            for lane in range(design.lanes):
                tape = _operands(update, memories.vector, entries[:, lane, 1], lane)
                sums = ((values * tape).sum(axis=-1) << aligns).sum(axis=0)
                place = at.masters + word * design.lanes + lane
                old = master_of(entries[:, lane, 0], masters[:, place])
                down = placed(sums, update.place, placed_bits(design))
                rolled = dice ^ numbers[lane, group]
                new = moved(old, down, update.factor, rolled, design.value_bits + MASTER_BITS)
                entries[:, lane, 0] = _weights(new, design)
                masters[:, place] = low_bits(new)
            matrix[base + word] = _words(entries, design)
    return Memories(matrix, masters, memories.vector)


def _words(entries: IntArray, design: Design) -> np.ndarray:
    widths = [design.value_bits, design.index_bits] * design.lanes
    return join_fields(entries.reshape(len(entries), -1), widths)


def gradients_of(words: np.ndarray, design: Design) -> tuple[IntArray, IntArray]:
    """Digits (terms, M, N) of words (terms, M), and their shifts (terms, M)."""
    entries = entries_of(words, design)
    places = np.arange(design.lanes) * design.index_bits
    marks = np.zeros(words.shape, np.int64)
    for lane, place in enumerate(places):
        if place < align_bits(design):
            marks |= entries[..., lane, 1] << place
    return entries[..., 0], marks & ((1 << align_bits(design)) - 1)


def _operands(update: Update, vector: IntArray, indices: IntArray, lane: int) -> IntArray:
    """Elements (terms, M, N) of the tape that a lane's weights of all PEs meet."""
    at, design = update.layout, update.layout.design
    chunks = np.repeat(np.arange(at.chunks), len(at.aligns))
    places = at.tape + ((chunks * design.lanes + lane) << design.index_bits)
    found: IntArray = vector[places[:, None] | indices]
    return found


def _weights(masters: IntArray, design: Design) -> IntArray:
    top = (1 << (design.value_bits - 1)) - 1
    return np.minimum(round_shift(masters, MASTER_BITS), top)
