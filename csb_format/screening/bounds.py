"""What proves that a logit is not among the largest: bounds in integers, rounded up.

A logit is ``bias + W h``. Write ``h = y + z``, ``y`` of 8 bits and a power of two. For any ``V``
that is made of a row's first digits::

    bias + W h  <=  bias + V y + |W - V| |y| + |W| |z|  <=  bias + V y + N (|y| + share |z|)

by Cauchy and Schwarz, for every ``N >= |W - V|`` with ``share N >= |W|``. With no digit at all,
``V`` is 0 and the bound ``bias + |W| |h|``, for all rows of a block at once (:class:`Blocks`).
Bounds are counted in units of ``2**-FRACTION`` of a logit's last bit; only norms and biases are
rounded, and these up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..fixed import IntArray, round_shift
from .planes import LEAST_BITS, MOST_FOLD, Cells, chunks

__all__ = [
    "BLOCK",
    "FRACTION",
    "SHARES",
    "Blocks",
    "Query",
    "Rows",
    "blocks_of",
    "lift_of",
    "norms_of",
    "query_of",
    "root_above",
    "rows_of",
    "second_shift",
]

#: Rows that are left or read together, with one bound before any digit.
BLOCK = 16
#: Fraction bits of a bound, beyond those of a logit.
FRACTION = 8
#: What a norm of a row covers of the whole row, after the first plane and after the second.
SHARES = (4, 16)
_DIGITS = 8  # bits of a hidden state as the first planes take it
_PRIOR_BITS, _FAR_BITS = 12, 16
_BYTE, _WORD = 255, 65535
_MOST_EXPONENT = 15


Bools = npt.NDArray[np.bool_]


def root_above(squares: IntArray) -> IntArray:
    """The smallest whole numbers whose squares are at least these, 0 to ``2**61``."""
    root = np.floor(np.sqrt(np.asarray(squares, np.float64))).astype(np.int64)
    root += root * root < squares
    root += root * root < squares
    return root - ((root > 0) & ((root - 1) ** 2 >= squares))


def lift_of(columns: int) -> int:
    """``2**lift`` is at least the root of the columns: norms are counted in it."""
    return -(-(columns - 1).bit_length() // 2)


def norms_of(weight: IntArray) -> IntArray:
    """Norms of rows, rounded up."""
    found = np.empty(len(weight), np.int64)
    for part in chunks(*weight.shape):
        found[part] = root_above((weight[part] * weight[part]).sum(axis=1))
    return found


@dataclass(frozen=True, eq=False)
class Rows:
    """What is stored of each row beside its digits, in the order in which rows are read.

    Parameters
    ----------
    prior : int64 array (O,)
        Biases in units of ``2**prior_shift``, rounded up, 12 bits.
    prior_shift : int
        0..40.
    scale, norm, exponent : int64 arrays (O,)
        8, 8 and 4 bits, not negative: the first digits of a row, -3 to 3, stand for
        ``scale * 2**(exponent - FRACTION)`` times as much, what they leave has a norm of at most
        ``norm * 2**(exponent + lift - FRACTION)``.
    cells : Cells
        What digits mean.
    second : int64 array (O,)
        16 bits, not negative: both planes leave a norm of at most
        ``second * 2**(second_shift - FRACTION)``.
    """

    prior: IntArray
    prior_shift: int
    scale: IntArray
    norm: IntArray
    exponent: IntArray
    cells: Cells
    second: IntArray

    def of(self, part: IntArray) -> Rows:
        """Those of some rows."""
        numbers = (self.scale[part], self.norm[part], self.exponent[part], self.cells.of(part))
        return Rows(self.prior[part], self.prior_shift, *numbers, self.second[part])

    def check(self, weight: IntArray, bias: IntArray) -> None:
        """Refuse numbers that prove nothing.

        Parameters
        ----------
        weight : int64 array (O, H)
            In the order of the rows, as is ``bias`` (O,).

        Raises
        ------
        ValueError
            For norms or priors that are too small, or a field that is out of range.
        """
        half = 1 << (_PRIOR_BITS - 1)
        count, byte = len(weight), (0, _BYTE)
        _check_ranges(self, count, prior=(-half, half - 1), scale=byte, norm=byte)
        _check_ranges(self, count, exponent=(0, _MOST_EXPONENT), second=(0, _WORD))
        _check_ranges(self.cells, count, width=(LEAST_BITS, 16), shift=(0, 11), fold=(0, MOST_FOLD))
        if (self.cells.fold > self.cells.width - LEAST_BITS).any():
            raise ValueError(f"fold of a screen: give at most the width less {LEAST_BITS}")
        _check_shift("prior shift", self.prior_shift)
        _check_covers("prior", (self.prior << self.prior_shift) >= bias)
        for part in chunks(*weight.shape):
            self._check_norms(part, weight[part])

    def _check_norms(self, part: slice, weight: IntArray) -> None:
        cells, exponent, lift = self.cells.of(part), self.exponent[part], lift_of(weight.shape[1])
        moved = weight >> cells.shift[:, None]
        if (moved << cells.shift[:, None] != weight).any():
            raise ValueError("shift of a screen is too large for a row")
        if (abs(2 * moved + 1).max(axis=1) >> cells.width).any():
            raise ValueError("width of a screen is too small for a row")
        held = self.norm[part] << (exponent + lift)
        _check_covers("norm", held >= _first_norm(weight, cells, self.scale[part] << exponent))
        held = self.second[part] << second_shift(cells, lift)
        _check_covers("second norm", held >= _second_norm(weight, cells))


def second_shift(cells: Cells, lift: int) -> IntArray:
    """What a second norm counts, in units of a bound: powers of two."""
    return np.asarray(np.maximum(cells.width + cells.shift + lift - 11, 0))


@dataclass(frozen=True, eq=False)
class Blocks:
    """A bound for all rows of a block that needs no digit of theirs.

    For a hidden state of norm X, rounded up, no logit of a block is above ``far * 2**far_shift +
    most * 2**norm_shift * (X - typical)``; below ``typical`` it is ``least`` instead of ``most``.

    Parameters
    ----------
    far : int64 array (B,)
        The largest bias plus norm times ``typical``, rounded up, 16 bits.
    far_shift, norm_shift : int
        0..40.
    most, least : int64 arrays (B,)
        The largest norm rounded up, and the smallest rounded down; 8 bits, not negative.
    typical : int
        Rows lie in descending order of the logit that they can reach for this norm, but for
        some that may come before.
    """

    far: IntArray
    far_shift: int
    most: IntArray
    least: IntArray
    norm_shift: int
    typical: int

    def check(self, norms: IntArray, bias: IntArray) -> None:
        """Refuse numbers that prove nothing; arguments as :func:`blocks_of`.

        Raises
        ------
        ValueError
            For a bound that is too small, or a field that is out of range.
        """
        count, half = -(-len(norms) // BLOCK), 1 << (_FAR_BITS - 1)
        bytes_ = (0, _BYTE)
        _check_ranges(self, count, far=(-half, half - 1), most=bytes_, least=bytes_)
        _check_shift("far shift", self.far_shift)
        _check_shift("norm shift", self.norm_shift)
        if not 0 <= self.typical < 1 << 24:
            raise ValueError(f"typical norm {self.typical} of a screen: give 0 to {(1 << 24) - 1}")
        far, most, least = _by_block(norms, bias, self.typical)
        _check_covers("far", (self.far << self.far_shift) >= far)
        _check_covers("most", (self.most << self.norm_shift) >= most)
        _check_covers("least", (self.least << self.norm_shift) <= least)

    def bounds(self, norm: int) -> IntArray:
        """Bounds for a hidden state of this norm: int64 (B,), in units of a bound."""
        beyond = norm - self.typical
        slope = (self.most if beyond > 0 else self.least) << self.norm_shift
        return ((self.far << self.far_shift) + slope * beyond) << FRACTION


def blocks_of(norms: IntArray, bias: IntArray, typical: int) -> Blocks:
    """The tightest bounds of blocks of rows.

    Parameters
    ----------
    norms, bias : int64 arrays (O,)
        In the order in which rows are read.
    typical : int
        See :class:`Blocks`.
    """
    far, most, least = _by_block(norms, bias, typical)
    shift, by = _least_shift(far, _FAR_BITS), 0
    while _up(most, by).max() > _BYTE:
        by += 1
    return Blocks(_up(far, shift), shift, _up(most, by), least >> by, by, typical)


def _by_block(norms: IntArray, bias: IntArray, typical: int) -> tuple[IntArray, IntArray, IntArray]:
    starts = np.arange(0, len(norms), BLOCK)
    far = np.maximum.reduceat(bias + norms * typical, starts)
    return far, np.maximum.reduceat(norms, starts), np.minimum.reduceat(norms, starts)


def rows_of(weight: IntArray, width: IntArray, shift: IntArray, bias: IntArray) -> Rows:
    """The tightest numbers of every row.

    Parameters
    ----------
    weight : int64 array (O, H)
        In the order in which rows are read.
    width, shift, bias : int64 arrays (O,)
        Of each; see :func:`.planes.widths_of`.
    """
    lift = lift_of(weight.shape[1])
    fields = np.zeros((5, len(weight)), np.int64)
    for part in chunks(*weight.shape):
        fields[:, part] = _fields(weight[part], width[part], shift[part], lift)
    scale, norm, exponent, fold, second = fields
    by = _least_shift(bias, _PRIOR_BITS)
    cells = Cells(width, shift, fold)
    return Rows(_up(bias, by), by, scale, norm, exponent, cells, second)


def _fields(weight: IntArray, width: IntArray, shift: IntArray, lift: int) -> IntArray:
    """Scale, norm, exponent, fold and second norm of some rows: with the fold that leaves least."""
    found = np.zeros((5, len(weight)), np.int64)
    least = np.full(len(weight), np.iinfo(np.int64).max)
    for fold in range(MOST_FOLD + 1):
        cells = Cells(width, shift, np.minimum(fold, width - LEAST_BITS))
        scale, norm, exponent = _first_fields(weight, cells, lift)
        second = _up(_second_norm(weight, cells), second_shift(cells, lift))
        better = (norm << exponent < least) & (second <= _WORD)
        least = np.where(better, norm << exponent, least)
        fields = np.stack([scale, norm, exponent, cells.fold, second])
        found = np.where(better, fields, found)
    return found


def _first_fields(weight: IntArray, cells: Cells, lift: int) -> tuple[IntArray, IntArray, IntArray]:
    """Scale, norm and exponent."""
    best = _best_scales(weight, cells)
    exponent = np.zeros(len(weight), np.int64)
    while True:  # exponents go up until norms fit
        scale = np.rint(best / 2.0**exponent).astype(np.int64)
        norm = _up(_first_norm(weight, cells, scale << exponent), exponent + lift)
        over = (scale > _BYTE) | (norm > _BYTE)
        if not over.any():
            return scale, norm, exponent
        exponent += over


def _best_scales(weight: IntArray, cells: Cells) -> npt.NDArray[np.float64]:
    """Factors of the first digits that leave least, with FRACTION more bits."""
    digits = cells.first(weight)
    best = (weight * digits).sum(axis=1) / (digits * digits).sum(axis=1) * 2.0**FRACTION
    return np.asarray(np.maximum(best, 0))  # a row of zeros has digits, and 0 leaves least


def _up(value: IntArray, shift: IntArray | int) -> IntArray:
    """Divided by ``2**shift``, rounded up."""
    return -((-value) >> shift)


def _least_shift(value: IntArray, bits: int) -> int:
    """The least shift after which values, rounded up, have so many bits."""
    shift, half = 0, 1 << (bits - 1)
    while _up(value, shift).max() >= half or _up(value, shift).min() < -half:
        shift += 1
    return shift


def _first_norm(weight: IntArray, cells: Cells, scale: IntArray) -> IntArray:
    """The norm that the first plane must be given, with FRACTION more bits."""
    full = weight << FRACTION
    return _covering(full - scale[:, None] * cells.first(weight), full, SHARES[0])


def _second_norm(weight: IntArray, cells: Cells) -> IntArray:
    full = weight << FRACTION
    left = full - (cells.second(weight) << (cells.unit + FRACTION)[:, None])
    return _covering(left, full, SHARES[1])


def _covering(left: IntArray, full: IntArray, share: int) -> IntArray:
    whole = _up(root_above((full * full).sum(axis=1)), share.bit_length() - 1)
    return np.maximum(root_above((left * left).sum(axis=1)), whole)


def _check_ranges(of: Rows | Blocks | Cells, count: int, **ranges: tuple[int, int]) -> None:
    for name, (least, most) in ranges.items():
        array = getattr(of, name)
        if array.shape != (count,) or array.min() < least or array.max() > most:
            raise ValueError(f"{name} of a screen: give {count} numbers of {least} to {most}")


def _check_shift(name: str, shift: int) -> None:
    if not 0 <= shift <= 40:
        raise ValueError(f"{name} {shift} of a screen: give 0 to 40")


def _check_covers(name: str, covers: Bools) -> None:
    if not covers.all():
        raise ValueError(f"{name} of a screen does not cover its rows, and would prove nothing")


@dataclass(frozen=True, eq=False)
class Query:
    """A hidden state as bounds take it.

    Parameters
    ----------
    digits : int64 array (H,)
        ``y / 2**shift``, -127 to 127.
    shift : int
    norm : int
        ``|h|``, rounded up.
    reaches : tuple of int
        ``|y| + share |z|`` rounded up, after the first plane and after the second.
    """

    digits: IntArray
    shift: int
    norm: int
    reaches: tuple[int, int]


def query_of(hidden: IntArray, margin: int = 256) -> Query:
    """What is asked of all rows for one hidden state.

    Parameters
    ----------
    hidden : int64 array (H,)
        At most 16 bits.
    margin : int
        256ths of what the planes' norms are taken for: 256 proves, less does not.
    """
    shift = max(0, int(abs(hidden).max()).bit_length() - (_DIGITS - 1))
    most = (1 << (_DIGITS - 1)) - 1
    digits = np.clip(round_shift(hidden, shift), -most, most)
    y = digits << shift
    parts = (hidden, y, hidden - y)
    norm, known, rest = (int(root_above((part * part).sum())) for part in parts)
    first, second = (-(-(known + share * rest) * margin // 256) for share in SHARES)
    return Query(digits, shift, norm, (first, second))
