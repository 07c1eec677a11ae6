"""How a gradient becomes a tensor of few bits, and what is noted of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from csb_format.fixed import IntArray

from .exponents import LEAST, Exponents, Seen
from .integers import INNER_BITS, bit_length, clipped, dithered, shifted

__all__ = ["Part", "Settling"]


class Part(NamedTuple):
    """A summand: ``value * 2**exponent``."""

    value: IntArray
    exponent: int


@dataclass
class Settling:
    """Quantises the tensors of a piece, by exponents of earlier batches or by their own maxima.

    Parameters
    ----------
    exponents : Exponents
    own : bool
        Whether each tensor and step takes the exponent of its own largest number (NITI).
    found : dict
        By name, the exponents that were taken, by steps from the end.
    """

    exponents: Exponents
    own: bool = False
    seen: Seen = field(default_factory=Seen)
    found: dict[str, dict[int, int]] = field(default_factory=dict)

    def begin(self, name: str, steps: int) -> None:
        """Name a tensor before its first step: later ones ask for its exponents."""
        known = {} if self.own else dict(enumerate(self.exponents.of(name, steps).tolist()))
        self.found.setdefault(name, known)

    def exponent(self, name: str, at: int) -> int:
        """Exponent of a tensor that was settled at a step."""
        return self.found[name][at]

    def settle(self, name: str, at: int, parts: Sequence[Part]) -> IntArray:
        """The sum of parts in the tensor's exponent and width; each is rounded to the nearest."""
        return self._settled(name, at, parts, lambda e: _sum(parts, e, shifted))

    def settled(self, name: str, at: int, parts: Sequence[Part]) -> Part:
        """As :meth:`settle`, with its exponent."""
        value = self.settle(name, at, parts)
        return Part(value, self.found[name][at])

    def settle_by_chance(self, name: str, at: int, parts: Sequence[Part]) -> IntArray:
        """As :meth:`settle`, for what a matrix is multiplied by."""
        return self._settled(name, at, parts, lambda e: _sum(parts, e, dithered))

    def settle_steps(self, name: str, parts: Sequence[Part]) -> IntArray:
        """A part for each step (L, X) in one exponent for all, to the nearest: (T, L, X)."""

        def stacked(exponent: int) -> IntArray:
            return np.stack([shifted(p.value, exponent - p.exponent) for p in parts])

        return self._settled(name, 0, parts, stacked)

    def settle_beside(self, name: str, at: int, parts: Sequence[Part]) -> IntArray:
        """Parts side by side along the last axis, in one exponent; each is rounded by chance."""

        def joined(exponent: int) -> IntArray:
            return np.concatenate(
                [dithered(p.value, exponent - p.exponent) for p in parts], axis=-1
            )

        return self._settled(name, at, parts, joined)

    def _settled(
        self, name: str, at: int, parts: Sequence[Part], made: Callable[[int], IntArray]
    ) -> IntArray:
        if at not in self.found[name]:
            self.found[name][at] = self._find(name, parts, made)
        value, bits = made(self.found[name][at]), self.exponents.widths[name]
        most, size = (1 << (bits - 1)) - 1, np.abs(value)
        self.seen.note(name, at, int(size.max(initial=0)), int((size > most).sum()))
        return clipped(value, bits)

    def _find(self, name: str, parts: Sequence[Part], made: Callable[[int], IntArray]) -> int:
        """The exponent at which the largest number fills the width."""
        tops = [p.exponent + bit_length(int(np.abs(p.value).max(initial=0))) for p in parts]
        guess = max(tops) + 1 - (INNER_BITS - 1)  # a bound; then what it is there, in sixteen bits
        largest = int(np.abs(made(guess)).max(initial=0))
        spare = self.exponents.free(name) - (self.exponents.widths[name] - 1)
        return max(LEAST, guess + bit_length(largest) + spare) if largest else LEAST


def _sum(
    parts: Sequence[Part], exponent: int, rounded: Callable[[IntArray, int], IntArray]
) -> IntArray:
    first, *others = (rounded(p.value, exponent - p.exponent) for p in parts)
    return sum(others, first)
