"""A linear layer that is stored for finding its largest logits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..fixed import Fixed, IntArray
from ..heads.mlp import MlpHead
from ..model import DenseLayer
from .bounds import (
    FRACTION,
    Blocks,
    Query,
    Rows,
    blocks_of,
    lift_of,
    norms_of,
    rows_of,
    second_shift,
)
from .planes import LEAST_BITS, MOST_BITS, MOST_FOLD, Bytes, Cells, plane_bits, widths_of

__all__ = ["BIAS_BYTES", "MOST_COLUMNS", "SEVERAL", "FileParts", "ScreenedLayer", "Shifts"]

MOST_COLUMNS = 4096
SEVERAL = (
    "a head of several linear layers is not screened as a whole: leave --screen out, or from "
    "Python make a ScreenedLayer of one of its layers"
)
#: What is stored beside digits: of a block, and of a row with its first plane, with its second, and
#: with the whole row (its bias and its place).
BLOCK_BYTES, FIRST_BYTES, SECOND_BYTES, BIAS_BYTES = 4, 4, 4, 8
EXACT_BYTES = BIAS_BYTES + 4


class FileParts(NamedTuple):
    """A layer as a file holds it; ``docs/screening.md`` has every bit."""

    planes: list[Bytes]
    blocks: Bytes
    first: Bytes
    second: Bytes
    order: Bytes


class Shifts(NamedTuple):
    """Numbers of a screened layer as a whole.

    Parameters
    ----------
    bits : int
        Stored, of a weight.
    prior, far, norm, typical : int
        Shifts and typical norm of :class:`.bounds.Rows` and :class:`.bounds.Blocks`.
    """

    bits: int
    prior: int
    far: int
    norm: int
    typical: int


@dataclass(frozen=True, eq=False)
class ScreenedLayer(DenseLayer):
    """A :class:`~csb_format.model.DenseLayer` with what proves which logits are largest.

    Its logits are those of the layer that it was made of; what is new is how few of its bits show
    which of them are the largest (:mod:`engine.screened`).

    Parameters
    ----------
    weight, weight_format, input, bias
        As :class:`~csb_format.model.DenseLayer`, in the order of the outputs; at most 16 bits.
    order : int64 array (O,)
        The output of each stored row: a permutation. Made read-only.
    rows : Rows
        Scales, norms and priors of the stored rows.
    blocks : Blocks
        Bounds of blocks of them.

    Raises
    ------
    ValueError
        As :class:`~csb_format.model.DenseLayer`; for wider formats, more than 4,096 columns,
        or numbers that prove nothing.
    """

    order: IntArray
    rows: Rows
    blocks: Blocks

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_formats(self)
        order = np.array(self.order, np.int64)
        _check_order(order, self.output_size)
        order.flags.writeable = False
        object.__setattr__(self, "order", order)
        self.rows.check(self.stored, self.bias[order])
        self.blocks.check(norms_of(self.stored), self.bias[order])

    @classmethod
    def of(cls, dense: DenseLayer, typical: int | None = None) -> ScreenedLayer:
        """A layer with its screen.

        Parameters
        ----------
        dense : DenseLayer
        typical : int, optional
            Norm of a hidden state, in units of its last bit, for which rows are ordered: the mean
            on calibration data. Any is exact, a good one reads less. By default that of states
            which are a quarter of their range.

        Raises
        ------
        ValueError
            For formats of more than 16 bits, more than 4,096 columns, or a head of several layers.
        """
        if isinstance(dense, MlpHead):
            raise ValueError(SEVERAL)
        _check_formats(dense)
        if typical is None:
            typical = math.isqrt(dense.input_size) << (dense.input.width - 3)
        norms = norms_of(dense.weight)
        order = np.argsort(-(dense.bias + norms * typical), kind="stable")
        weight, bias = dense.weight[order], dense.bias[order]
        rows = rows_of(weight, *widths_of(weight), bias)
        parts = (dense.weight, dense.weight_format, dense.input, dense.bias)
        return cls(*parts, order, rows, blocks_of(norms[order], bias, typical))

    def after(self, early: IntArray) -> ScreenedLayer:
        """The same layer with some rows before the others, which stay in their order.

        The sooner the largest logits come, the more rows are left at their first bounds.

        Parameters
        ----------
        early : int64 array (E,)
            Outputs, each once, the likeliest to be among the largest first.
        """
        order = np.concatenate([early, self.order[~np.isin(self.order, early)]])
        rows = self.rows.of(np.argsort(self.order)[order])
        blocks = blocks_of(norms_of(self.weight)[order], self.bias[order], self.blocks.typical)
        parts = (self.weight, self.weight_format, self.input, self.bias)
        return ScreenedLayer(*parts, order, rows, blocks)

    @cached_property
    def stored(self) -> IntArray:
        """Weights in the order in which rows are read."""
        return self.weight[self.order]

    @property
    def dense(self) -> DenseLayer:
        """The same layer without its screen."""
        return DenseLayer(self.weight, self.weight_format, self.input, self.bias)

    @property
    def bits(self) -> int:
        """Stored bits of a weight, 5 to 17: those of a weight, and one where rows are folded."""
        return self.rows.cells.bits

    @cached_property
    def digits(self) -> tuple[IntArray, IntArray]:
        """What the first plane says of all stored rows, and both: see :class:`.planes.Cells`."""
        return self.rows.cells.first(self.stored), self.rows.cells.second(self.stored)

    def first_bounds(self, query: Query) -> IntArray:
        """What the logits of all stored rows cannot exceed, after the first plane.

        Returns
        -------
        int64 array (O,)
            With ``FRACTION`` more fraction bits than logits.
        """
        rows, lift = self.rows, lift_of(self.input_size)
        sums = (self.digits[0] @ query.digits) << query.shift
        reach = (rows.norm << lift) * query.reaches[0]
        sums = (rows.scale * sums + reach) << rows.exponent
        return np.asarray(sums + self._prior_bounds)

    def second_bounds(self, query: Query) -> IntArray:
        """The same after the second plane."""
        rows = self.rows
        sums = (self.digits[1] @ query.digits) << (query.shift + rows.cells.unit + FRACTION)
        held = rows.second << second_shift(rows.cells, lift_of(self.input_size))
        return np.asarray(sums + held * query.reaches[1] + self._prior_bounds)

    @cached_property
    def _prior_bounds(self) -> IntArray:
        return self.rows.prior << (self.rows.prior_shift + FRACTION)

    def row_bytes(self) -> tuple[int, int, int]:
        """What is read of a row with its first plane, with its second, and to compute it exactly.

        A row that is computed exactly reads all its planes once more, its bias and its place.
        """
        sizes = [-(-bits * self.input_size // 8) for bits in plane_bits(self.bits)]
        return sizes[0] + FIRST_BYTES, sizes[1] + SECOND_BYTES, sum(sizes) + EXACT_BYTES

    @property
    def bits_stored(self) -> float:
        """Bits that are stored for each weight: planes, norms, biases and places."""
        rows = sum(-(-bits * self.input_size // 8) for bits in plane_bits(self.bits))
        rows += FIRST_BYTES + SECOND_BYTES + EXACT_BYTES
        size = self.output_size * rows + len(self.blocks.far) * BLOCK_BYTES
        return 8 * size / self.weight.size

    def bytes_read(self, first: IntArray, second: IntArray, exact: IntArray) -> IntArray:
        """Bytes of weights, norms, biases and places that tokens read.

        Parameters
        ----------
        first, second, exact : int64 arrays (T,)
            Rows whose first plane was read, whose second was, and that were computed exactly.
        """
        sizes = self.row_bytes()
        rows = first * sizes[0] + second * sizes[1] + exact * sizes[2]
        return rows + len(self.blocks.far) * BLOCK_BYTES

    def parts(self) -> FileParts:
        """What files hold; :meth:`read` takes it."""
        rows, blocks = self.rows, self.blocks
        words = rows.prior & 0xFFF | rows.scale << 12 | rows.norm << 20 | rows.exponent << 28
        cells = rows.cells
        second = rows.second | (cells.width - 1) << 16 | cells.shift << 20 | cells.fold << 24
        whole = blocks.far & 0xFFFF | blocks.most << 16 | blocks.least << 24
        fields = (whole, words, second, self.order)
        return FileParts(cells.planes(self.stored), *map(_octets, fields))

    @classmethod
    def read(
        cls,
        parts: FileParts,
        shifts: Shifts,
        columns: int,
        formats: tuple[Fixed, Fixed],
        bias: IntArray,
    ) -> ScreenedLayer:
        """A layer of what a file holds.

        Raises
        ------
        ValueError
            For what no layer writes.
        """
        whole, words, second, order = (_numbers(part) for part in parts[1:])
        rows = Rows(
            _signed(words & 0xFFF, 12),
            shifts.prior,
            words >> 12 & 0xFF,
            words >> 20 & 0xFF,
            words >> 28,
            Cells((second >> 16 & 15) + 1, second >> 20 & 15, second >> 24),
            second & 0xFFFF,
        )
        _check_cells(rows.cells, shifts.bits)
        far, most, least = _signed(whole & 0xFFFF, 16), whole >> 16 & 0xFF, whole >> 24
        blocks = Blocks(far, shifts.far, most, least, shifts.norm, shifts.typical)
        _check_order(order, len(bias))
        weight = np.empty((len(order), columns), np.int64)
        weight[order] = rows.cells.weights(parts.planes, columns)
        return cls(weight, *formats, bias, order, rows, blocks)

    @property
    def shifts(self) -> Shifts:
        """Numbers of the layer as a whole."""
        rows, blocks = self.rows, self.blocks
        return Shifts(
            self.bits, rows.prior_shift, blocks.far_shift, blocks.norm_shift, blocks.typical
        )

    def equals(self, other: DenseLayer) -> bool:
        """Whether both hold the same integers in the same formats, their screens included."""
        if not isinstance(other, ScreenedLayer) or not super().equals(other):
            return False
        mine, theirs = self.parts(), other.parts()
        arrays = zip((*mine.planes, *mine[1:]), (*theirs.planes, *theirs[1:]), strict=True)
        return self.shifts == other.shifts and all(np.array_equal(a, b) for a, b in arrays)


def _check_formats(layer: DenseLayer) -> None:
    for what, width in (("weights", layer.weight_format.width), ("inputs", layer.input.width)):
        if width > MOST_BITS:
            raise ValueError(
                f"a head with {what} of {width} bits cannot be screened: take at most {MOST_BITS}"
            )
    if layer.input_size > MOST_COLUMNS:
        raise ValueError(
            f"a head with {layer.input_size} inputs cannot be screened: take at most {MOST_COLUMNS}"
        )


def _check_cells(cells: Cells, bits: int) -> None:
    """Before planes are read by them; the rest is checked with the weights."""
    if cells.width.min() < LEAST_BITS:
        raise ValueError(f"width of a screen: give {LEAST_BITS} to {MOST_BITS}")
    if cells.fold.max() > MOST_FOLD or (cells.fold > cells.width - LEAST_BITS).any():
        raise ValueError(f"fold of a screen: give at most {MOST_FOLD}, and what a width has")
    if cells.bits != bits:
        raise ValueError(f"planes of {bits} bits for rows that take {cells.bits}")


def _check_order(order: IntArray, outputs: int) -> None:
    if order.shape != (outputs,) or not np.array_equal(np.sort(order), np.arange(outputs)):
        raise ValueError(f"order of a screen: give each of the {outputs} outputs once")


def _signed(number: IntArray, bits: int) -> IntArray:
    half = 1 << (bits - 1)
    return (number ^ half) - half


def _octets(numbers: IntArray) -> Bytes:
    """Whole numbers as bytes, the lowest first: uint8 (O, 4)."""
    return numbers.astype("<u4").view(np.uint8).reshape(-1, 4)


def _numbers(octets: Bytes) -> IntArray:
    """What :func:`_octets` was given."""
    return octets.astype(np.int64) @ (1 << 8 * np.arange(octets.shape[1]))
