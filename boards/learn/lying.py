"""Gradients that lie in an array: W^T d has read them, sums at kept places read them again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from compiler.learn.layout import LearningLayout
from csb_format import IntArray

__all__ = ["Chunk", "Lying"]


@dataclass(frozen=True)
class Chunk:
    """Where gradients of N sequences of a step belong among those of a batch.

    Parameters
    ----------
    first : int
        Chunk of the step's first sequences.
    answers : int
        Of the batch: all its steps, in whole N sequences.
    left : int
        Shift of the step's products: its exponent less the least of all steps.
    """

    first: int
    answers: int
    left: int


@dataclass
class Lying:
    """What was sent, with its shift, by chunk; of matrices with the same rows."""

    slots: int = 0
    digits: int = 0
    formats: tuple[int, ...] = ()
    chunks: dict[int, tuple[IntArray, int]] = field(default_factory=dict)

    def of(self, layout: LearningLayout) -> Lying:
        """The same, empty if other rows lie here."""
        # rows that follow each other are told apart by their formats
        formats = tuple(layout.fracs.tolist()) if layout.in_turn else ()
        now = layout.slots, len(layout.aligns), formats
        if (self.slots, self.digits, self.formats) != now:
            self.slots, self.digits, self.formats = now
            self.chunks.clear()
        return self

    def has(self, chunk: int, gradients: IntArray, left: int) -> bool:
        """Whether these gradients (N, O) lie there."""
        there, shift = self.chunks.get(chunk, (None, 0))
        return there is not None and shift == left and np.array_equal(there, gradients)

    def note(self, chunk: int, gradients: IntArray, left: int) -> None:
        """They do now."""
        self.chunks[chunk] = gradients, left

    def use_front(self, slots: int) -> None:
        """Words of dice are written, which may reach what lies behind fewer of them."""
        if slots > self.slots:
            self.chunks.clear()
