"""A piece of a batch: sequences side by side, aligned at their ends; and what its passes leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from csb_format.fixed import IntArray

__all__ = ["Gradient", "Piece", "Signal"]

# Numbers of all units, steps and lanes: integer array (features, T, L).
Signal = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Piece:
    """Sequences of a batch that are worked on together.

    They end at the same step; those that are shorter begin later, from a zero state.

    Parameters
    ----------
    lengths : tuple of int
        Frames of each, the longest first.
    lanes : int
        L, places for sequences, at least as many; those beyond are empty.
    """

    lengths: tuple[int, ...]
    lanes: int

    @property
    def steps(self) -> int:
        """T, frames of the longest."""
        return self.lengths[0]

    @cached_property
    def live(self) -> IntArray:
        """Lanes from 0 on that have begun at each step, int64 (T,)."""
        begins = self.steps - np.array(self.lengths)
        return np.array([(begins <= t).sum() for t in range(self.steps)], np.int64)

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Whether a lane has a frame at a step, bool (T, L)."""
        found: npt.NDArray[np.bool_] = np.arange(self.lanes) < self.live[:, None]
        return found

    @cached_property
    def _turned(self) -> IntArray:
        """Where the frame of a step and lane lies after time is turned round, (T, L)."""
        begins = np.full(self.lanes, self.steps)
        begins[: len(self.lengths)] = self.steps - np.array(self.lengths)
        at = np.arange(self.steps)[:, None]
        return np.where(self.valid, begins + self.steps - 1 - at, at)

    def turned(self, signal: Signal) -> Signal:
        """Every sequence from its last frame to its first: (F, T, L)."""
        return np.take_along_axis(signal, self._turned[None], axis=1)

    def place(self, sequences: Sequence[IntArray], dtype: type[np.integer]) -> Signal:
        """Sequences (T_i, F) as a signal (F, T, L), zeros where there is no frame."""
        found = np.zeros((sequences[0].shape[1], self.steps, self.lanes), dtype)
        for lane, sequence in enumerate(sequences):
            found[:, self.steps - len(sequence) :, lane] = sequence.T
        return found


@dataclass
class Gradient:
    """Exact sums over a batch of what a tensor of weights or biases should move by.

    Parameters
    ----------
    sums : int64 array
        In the shape of the tensor: of a matrix (rows, nonzeros, banks), as its values lie.
    exponent : int
        A sum s stands for ``s * 2**exponent``.
    """

    sums: IntArray
    exponent: int

    def add(self, other: Gradient) -> None:
        """Add another piece of the same batch, at the finer of both exponents: exact."""
        low = min(self.exponent, other.exponent)
        moved = other.sums << (other.exponent - low)
        self.sums = (self.sums << (self.exponent - low)) + moved
        self.exponent = low
