"""Shifts, saturation and random bits of training in integers: docs/learning.md has the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from csb_format.fixed import IntArray

__all__ = [
    "FACTOR_BITS",
    "GAMMA",
    "INNER_BITS",
    "Exponent",
    "Generator",
    "Move",
    "Rate",
    "Real",
    "bit_length",
    "bounded",
    "clipped",
    "dithered",
    "move",
    "place_of",
    "random_bits",
    "shifted",
    "start_of",
]

FACTOR_BITS = 13  # fraction of the cell's derivatives: f (1 - f) c fills 16 bits at a reach of 16
INNER_BITS = 16  # of gradients that no matrix is multiplied by
LEAST_SHIFT, MOST_SHIFT = -14, 62
LARGEST = 1 << 30
RANDOM = 24  # bits below the last bit of a master that an update is rounded from
SUM_BITS = 48  # of a gradient sum where it is multiplied by the rate: products fit 62 bits
_FARTHEST = 60  # bits of a move; masters have 56 at most
_RATE_BITS = 15
GAMMA, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1

Real = npt.NDArray[np.bool_] | None
#: How exponents are found: of earlier batches, or of each tensor's own largest number.
Exponent = Literal["earlier", "own"]
#: Whose dice round an update: a number for each of a tensor, or rows crossed with columns.
Generator = Literal["splitmix", "crossed"]


def clipped(value: IntArray, bits: int) -> IntArray:
    """Saturate to ``+-(2**(bits - 1) - 1)``: of gradients, whose range is symmetric."""
    most = (1 << (bits - 1)) - 1
    return np.clip(value, -most, most)


def shifted(value: IntArray, shift: int) -> IntArray:
    """Round ``value / 2**shift`` to the nearest, halves up.

    Parameters
    ----------
    value : int64 array
        Below ``2**61`` in magnitude.
    shift : int
        Taken as -14 to 62. To the left the value is first saturated to 16 bits.

    Returns
    -------
    int64 array
        Saturated to ``+-2**30``, which is beyond any tensor.
    """
    shift = bounded(shift)
    if shift < 0:
        return clipped(value, INNER_BITS) << -shift
    rounded = (value + (1 << (shift - 1))) >> shift if shift else value
    return np.clip(rounded, -LARGEST, LARGEST)


def dithered(value: IntArray, shift: int) -> IntArray:
    """As :func:`shifted`, rounded up or down by chance: the lower bits that fall are the dice.

    Of ``shift`` bits that fall the upper half, rounded up, is compared with the lower half
    (NITI's pseudo-stochastic rounding): up where it is larger.

    Parameters
    ----------
    value : int64 array
        Below ``2**61`` in magnitude.
    shift : int
        As there; below 2 there are no dice, and it is rounded to the nearest.
    """
    shift = bounded(shift)
    if shift < 2:
        return shifted(value, shift)
    half = shift >> 1
    fallen = value & ((1 << shift) - 1)
    dice = (fallen & ((1 << half) - 1)) << (shift - 2 * half)
    rounded: IntArray = (value >> shift) + ((fallen >> half) > dice)
    return np.clip(rounded, -LARGEST, LARGEST)


def bounded(shift: int) -> int:
    """A shift as it is taken."""
    return max(LEAST_SHIFT, min(MOST_SHIFT, shift))


def bit_length(largest: int) -> int:
    """Bits of a magnitude; 0 of 0."""
    return int(largest).bit_length()


def start_of(seed: int, step: int, stream: int) -> int:
    """State of SplitMix64 before the first number of a tensor.

    Parameters
    ----------
    seed, step, stream : int
        Of the training, the number of its update, and of the tensor.
    """
    return _mixed(_mixed(seed) ^ _mixed(step + (stream << 48)))


def random_bits(start: int, count: int) -> npt.NDArray[np.uint64]:
    """SplitMix64 by its counter: ``RANDOM`` bits for each of the numbers of a tensor.

    The generator's state n steps from a start is ``start + n * gamma``, so its outputs can be had
    in any order (Steele, Lea, Flood, OOPSLA 2014).

    Parameters
    ----------
    start : int
        Of :func:`start_of`.
    count : int
        Numbers of the tensor, in its order.

    Returns
    -------
    uint64 array (count,)
        0 to ``2**24 - 1``.
    """
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GAMMA) + np.uint64(start)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX1)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX2)
        found: npt.NDArray[np.uint64] = (z ^ (z >> np.uint64(31))) >> np.uint64(64 - RANDOM)
    return found


def _mixed(value: int) -> int:
    """One output of SplitMix64 from a state."""
    z = (value + GAMMA) & _MASK
    z = ((z ^ (z >> 30)) * _MIX1) & _MASK
    z = ((z ^ (z >> 27)) * _MIX2) & _MASK
    return z ^ (z >> 31)


@dataclass(frozen=True)
class Rate:
    """A learning rate, divided by the answers of a batch, as the update multiplies by it.

    Parameters
    ----------
    factor : int
        ``2**14`` to ``2**15 - 1``.
    down : int
        The rate is ``factor / 2**down``.
    """

    factor: int
    down: int

    @classmethod
    def of(cls, rate: float, answers: int) -> Rate:
        """The nearest to ``rate / answers``; both above 0."""
        mantissa, exponent = np.frexp(rate / answers)
        factor = round(float(mantissa) * (1 << _RATE_BITS))
        if factor == 1 << _RATE_BITS:
            factor, exponent = factor >> 1, exponent + 1
        return cls(factor, _RATE_BITS - int(exponent))


def place_of(down: int, rate: Rate) -> int:
    """How far sums are shifted to the right before they are multiplied by the rate."""
    return max(-38, min(62, down + rate.down - RANDOM))


@dataclass(frozen=True, eq=False)
class Move:
    """How a tensor's masters move.

    Parameters
    ----------
    place : int
        Of :func:`place_of`.
    factor : int
        Of the rate.
    bits : int
        Width of a master, to which it saturates.
    start : int
        State of the generator before its first number.
    dice : int64 array (N,), optional
        Of another generator.
    """

    place: int
    factor: int
    bits: int
    start: int
    dice: IntArray | None = None


def move(masters: IntArray, sums: IntArray, real: Real, by: Move) -> None:
    """Move masters, in place, by gradient descent; rounded by chance.

    Parameters
    ----------
    masters, sums : int64 arrays (N,)
        Masters, and the gradients' exact sums over the batch.
    real : bool array (N,), or None
        Those that move; None: all.
    by : Move
    """
    most, left = (1 << (SUM_BITS - 1)) - 1, max(-by.place, 0)
    sums = np.clip(sums >> max(by.place, 0), -most, most)
    dice = random_bits(by.start, len(masters)).astype(np.int64) if by.dice is None else by.dice
    # the product shifted to the left and then by RANDOM to the right, in one: nothing overflows
    moves = (sums * by.factor + (dice >> min(left, RANDOM))) >> max(RANDOM - left, 0)
    over = max(left - RANDOM, 0)
    farthest = (1 << _FARTHEST) >> over
    moves = np.clip(moves, -farthest, farthest) << over
    top = 1 << (by.bits - 1)
    moved = np.clip(masters - moves, -top, top - 1)
    masters[:] = moved if real is None else np.where(real, moved, masters)
