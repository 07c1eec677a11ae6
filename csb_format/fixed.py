"""Fixed-point formats, rounding and saturation: the one place where they are written down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

__all__ = ["Fixed", "IntArray", "ends", "integers_of", "round_rows", "round_shift", "saturate"]

IntArray = npt.NDArray[np.int64]

_SEEN = 1 << 17  # numbers at a time that are read only, for their smallest and their largest
_BLOCK = 1 << 14  # numbers at a time: what is between them stays in a core's cache


def round_shift(value: IntArray, shift: int) -> IntArray:
    """Divide by ``2**shift`` rounding halves up, as the hardware does.

    Parameters
    ----------
    value : int64 array
        Any shape; ``|value| + 2**(shift-1)`` must stay below ``2**63``.
    shift : int
        0..62 shifts right and rounds; negative shifts left, exactly.

    Returns
    -------
    int64 array
        ``floor(value / 2**shift + 1/2)``.
    """
    if shift <= 0:
        return np.asarray(value, np.int64) << -shift
    return (np.asarray(value, np.int64) + (1 << (shift - 1))) >> shift


def saturate(value: IntArray, width: int) -> IntArray:
    """Clip to the range of a signed number of ``width`` bits.

    Parameters
    ----------
    value : int64 array
    width : int
        Bits, sign included.

    Returns
    -------
    int64 array
        In ``[-2**(width-1), 2**(width-1) - 1]``.
    """
    return np.clip(value, -(1 << (width - 1)), (1 << (width - 1)) - 1)


def round_rows(value: IntArray, bits: int) -> IntArray:
    """Round each row to its own leading bits: a power-of-two shift a row, halves up.

    Parameters
    ----------
    value : int64 array (R, C)
        Below ``2**40`` in size.
    bits : int
        That stay of each number, sign included, at least 2.

    Returns
    -------
    int64 array (R, C)
        In units of the same last bit; rows that ``bits`` hold stay as they are.
    """
    shift = row_shifts(value, bits)[:, None]
    rounded = (value + ((1 << shift) >> 1)) >> shift
    return np.asarray(saturate(rounded, bits) << shift)


def row_shifts(value: IntArray, bits: int) -> IntArray:
    """Least shifts, int64 (R,), after which the largest number of each row has so many bits.

    Parameters as of :func:`round_rows`.
    """
    largest = np.maximum(value.max(axis=1), ~value.min(axis=1))
    widths = np.frexp(largest.astype(np.float64))[1].astype(np.int64) + 1
    return np.asarray(np.maximum(widths - bits, 0))


@dataclass(frozen=True)
class Fixed:
    """A signed two's complement fixed-point format.

    Parameters
    ----------
    width : int
        Bits, sign included, 2..48.
    frac : int
        Fraction bits; the value of integer ``v`` is ``v / 2**frac``. May exceed
        ``width`` (all weights tiny) or be negative (all huge), -32..64.

    Raises
    ------
    ValueError
        For a width or fraction outside these ranges.
    """

    width: int
    frac: int

    #: Range of ``frac``.
    LEAST: ClassVar[int] = -32
    MOST: ClassVar[int] = 64

    def __post_init__(self) -> None:
        if not 2 <= self.width <= 48:
            raise ValueError(f"fixed-point width {self.width}: must be 2 to 48 bits")
        if not self.LEAST <= self.frac <= self.MOST:
            raise ValueError(
                f"fixed-point fraction {self.frac}: must be {self.LEAST} to {self.MOST} bits"
            )

    @classmethod
    def for_range(cls, width: int, largest: float) -> Fixed:
        """The finest format of ``width`` bits that holds ``+-largest`` without saturation.

        Parameters
        ----------
        width : int
        largest : float
            Largest magnitude to hold, finite and not negative; 0 gives ``frac = width - 1``.
        """
        if not math.isfinite(largest) or largest < 0:
            raise ValueError(f"largest magnitude {largest}: must be finite and not negative")
        if largest == 0:
            return cls(width, width - 1)
        frac = max(cls.LEAST, min(cls.MOST, width - 1 - math.floor(math.log2(largest)) + 1))
        while (
            frac > cls.LEAST
            and math.floor(math.ldexp(largest, frac) + 0.5) > (1 << (width - 1)) - 1
        ):
            frac -= 1
        return cls(width, frac)

    @property
    def min(self) -> int:
        """Smallest integer."""
        return -(1 << (self.width - 1))

    @property
    def max(self) -> int:
        """Largest integer."""
        return (1 << (self.width - 1)) - 1

    @property
    def lsb(self) -> float:
        """Value of the last bit."""
        return math.ldexp(1.0, -self.frac)

    def quantise(self, real: npt.ArrayLike) -> IntArray:
        """Round reals to this format, halves up, saturating.

        Parameters
        ----------
        real : float array
            Any shape, finite.

        Returns
        -------
        int64 array
            Same shape, in ``[min, max]``.

        Raises
        ------
        ValueError
            If a value is NaN or infinite; the message gives its position.
        """
        array = np.asarray(real)
        if not np.isfinite(ends(array)).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise ValueError(
                f"value at {at} is {array[at]}: remove NaN and infinity before quantising"
            )
        integers, flat = np.empty(array.shape, np.int64), np.ravel(array)
        whole = integers.reshape(-1)
        for n in range(0, len(flat), _BLOCK):
            whole[n : n + _BLOCK] = self.rounded(flat[n : n + _BLOCK])
        return integers

    def rounded(self, real: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """What :meth:`quantise` gives, as float64; NaN stays NaN. For what a core's cache holds."""
        scaled = self._scaled(real)
        np.clip(scaled, self.min, self.max, out=scaled)
        return scaled

    def saturations(self, real: npt.ArrayLike) -> int:
        """How many of the reals :meth:`quantise` would clip."""
        array = np.asarray(real)
        low, high = self._scaled(np.array(ends(array)))
        if self.min <= low and high <= self.max:
            return 0
        scaled = self._scaled(array)
        return int(np.count_nonzero((scaled < self.min) | (scaled > self.max)))

    def _scaled(self, real: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """In units of the last bit, rounded, halves up."""
        # A power of two: the product is exact, as that of `ldexp`, which has no vector code.
        scaled: npt.NDArray[np.float64] = np.multiply(
            real, math.ldexp(1.0, self.frac), dtype=np.float64
        )
        scaled += 0.5
        np.floor(scaled, out=scaled)
        return scaled

    def dequantise(self, value: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Real values of integers in this format, exact for widths up to 48."""
        return np.ldexp(np.asarray(value, np.float64), -self.frac)

    def __str__(self) -> str:
        return f"s{self.width}.{self.frac}"


def ends(array: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Smallest and largest number of an array, 0 among them; NaN if one is."""
    if not array.flags.c_contiguous:
        return float(array.min(initial=0)), float(array.max(initial=0))
    flat = array.reshape(-1)
    parts = [flat[n : n + _SEEN] for n in range(0, max(1, len(flat)), _SEEN)]
    pairs = np.array([(part.min(initial=0), part.max(initial=0)) for part in parts])
    return float(pairs[:, 0].min()), float(pairs[:, 1].max())


def integers_of(name: str, array: Any, shape: tuple[int, ...], width: int) -> IntArray:
    """Check an integer array and copy it, read-only, as int64.

    Parameters
    ----------
    name : str
        For errors.
    array : int array
    shape : tuple of int
        That it must have.
    width : int
        Bits of its numbers, with their sign.

    Raises
    ------
    ValueError
        For another shape, a dtype that is not integer, or a number that needs more bits.
    """
    given = np.asarray(array)
    if given.shape != shape:
        raise ValueError(f"{name} has shape {given.shape}: it must be {shape}")
    if given.dtype.kind not in "iu":
        raise ValueError(f"{name} has dtype {given.dtype}: quantise it to integers first")
    half = 1 << (width - 1)
    bad = (given < -half) | (given >= half)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} holds {given[at]} at {at}: {width} bits hold {-half} to {half - 1}; "
            "quantise it to its format"
        )
    copy = given.astype(np.int64)
    copy.flags.writeable = False
    return copy
