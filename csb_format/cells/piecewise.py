"""Piecewise-linear sigmoid and tanh on integers, the arithmetic that the hardware performs.

One table of tanh segments on [0, 8) serves both functions: tanh is odd, and
``sigmoid(x) = (1 + tanh(x / 2)) / 2``. Every segment holds the line that divides the
largest error of its chord in two (tanh is concave on the positive axis).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..fixed import Fixed, IntArray, round_shift

__all__ = ["Piecewise"]

DOMAIN_BITS = 3  # tanh(8) = 1 - 2.3e-7: beyond any 16-bit gate's last bit
GUARD_BITS = 2  # kept in the table beyond the gate's fraction
TANH_CURVATURE = 4 / (3 * np.sqrt(3))  # max |tanh''|


@dataclass(frozen=True)
class Piecewise:
    """Sigmoid and tanh from ``state`` to ``gate`` format.

    Parameters
    ----------
    state : Fixed
        Format of the argument; ``state.frac`` of at least 3.
    gate : Fixed
        Format of the result, ``gate.frac = gate.width - 1``.
    segments_log2 : int
        Segments on [0, 8), as a power of two; fewer where the argument has fewer steps.

    Notes
    -----
    tanh(0) is exactly 0, and tanh is exactly odd, so that a padded unit stays at 0.
    """

    state: Fixed
    gate: Fixed
    segments_log2: int = 8

    def __post_init__(self) -> None:
        if self.gate.frac != self.gate.width - 1:
            raise ValueError(f"gate format {self.gate}: its range must be [-1, 1)")
        if self.state.frac < 3:
            raise ValueError(f"state format {self.state}: give it at least 3 fraction bits")

    @property
    def magnitude_bits(self) -> int:
        """Bits of the table's argument ``z``, whose fraction is ``state.frac + 1``."""
        return DOMAIN_BITS + self.state.frac + 1

    @property
    def index_bits(self) -> int:
        """Upper bits of ``z`` that select the segment."""
        return min(self.segments_log2, self.magnitude_bits - 1)

    @property
    def offset_bits(self) -> int:
        """Lower bits of ``z``: the place inside the segment."""
        return self.magnitude_bits - self.index_bits

    @property
    def table_frac(self) -> int:
        """Fraction bits of the table's values."""
        return self.gate.frac + GUARD_BITS

    @cached_property
    def table(self) -> tuple[IntArray, IntArray]:
        """Base and rise of every segment, int64 arrays of ``2**index_bits``, not negative."""
        edges = np.linspace(0, 2.0**DOMAIN_BITS, (1 << self.index_bits) + 1)
        low, high = np.tanh(edges[:-1]), np.tanh(edges[1:])
        scale = 2.0**self.table_frac
        base = np.floor((low + self.chord_error(edges) / 2) * scale + 0.5).astype(np.int64)
        base[0] = 0
        return base, np.floor((high - low) * scale + 0.5).astype(np.int64)

    @staticmethod
    def chord_error(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Largest distance of tanh above the chord of each segment, where tanh' = its slope."""
        low, high = np.tanh(edges[:-1]), np.tanh(edges[1:])
        slope = (high - low) / np.diff(edges)
        touch = np.sqrt(np.maximum(0.0, 1 - slope))
        at = np.arctanh(np.minimum(touch, 1 - 1e-16))
        error: npt.NDArray[np.float64] = touch - (low + slope * (at - edges[:-1]))
        return np.maximum(0.0, error)

    @cached_property
    def tanh_bound(self) -> float:
        """Bound of ``|tanh(x) - result|`` over all arguments in ``state`` format.

        Half a chord's error ``h**2 max|f''| / 8`` (the whole of the first one's, which starts
        at 0), three roundings at table precision (base, rise, product), one of the result;
        near 1 the last value below 1.
        """
        width = 2.0 ** (DOMAIN_BITS - self.index_bits)
        bent = np.tanh(min(width, np.arctanh(1 / np.sqrt(3))))  # where |tanh''| is largest
        chord = width**2 / 8 * max(TANH_CURVATURE / 2, 2 * bent * (1 - bent**2))
        return float(max(chord + 1.5 * 2.0**-self.table_frac + self.gate.lsb / 2, self.gate.lsb))

    @cached_property
    def sigmoid_bound(self) -> float:
        """Bound of ``|sigmoid(x) - result|``: half of tanh's, and the rounding of the result."""
        table = self.tanh_bound - self.gate.lsb / 2
        return float(max(table / 2 + self.gate.lsb / 2, self.gate.lsb))

    def magnitude(self, z: IntArray) -> IntArray:
        """Table value of ``tanh(z)`` for ``z >= 0`` with ``state.frac + 1`` fraction bits."""
        z = np.minimum(z, (1 << self.magnitude_bits) - 1)
        base, rise = self.table
        segment, offset = z >> self.offset_bits, z & ((1 << self.offset_bits) - 1)
        size: IntArray = base[segment] + round_shift(rise[segment] * offset, self.offset_bits)
        return size

    def tanh(self, x: IntArray) -> IntArray:
        """Integers in ``state`` format to integers in ``gate`` format, any shape."""
        x = np.asarray(x, np.int64)
        size = round_shift(self.magnitude(np.abs(x) << 1), GUARD_BITS)
        return np.sign(x) * np.minimum(size, self.gate.max)

    def sigmoid(self, x: IntArray) -> IntArray:
        """Integers in ``state`` format to integers in ``gate`` format, any shape."""
        x = np.asarray(x, np.int64)
        size = self.magnitude(np.abs(x))
        one = 1 << self.table_frac
        return np.minimum(
            round_shift(np.where(x < 0, one - size, one + size), GUARD_BITS + 1), self.gate.max
        )
