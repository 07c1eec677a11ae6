"""How a matrix is grouped: the half of a sparsity pattern that says nothing of what to keep.

A view turns a matrix (rows, columns) into (groups, units, size): what is kept is a whole
number of units in every group, and a unit is kept or pruned as one. Padding is explicit,
and no weight is lost on the way there and back. :mod:`pruning.mask.selection` is the other half.

=====================  =================  ==============  =========
pattern                groups             units           size
=====================  =================  ==============  =========
bank-balanced, N:M     banks of all rows  a bank's width  1
row-balanced (BRDS)    rows               columns         1
block                  1                  blocks          h * w
block, row-balanced    rows of blocks     blocks in it    h * w
whole rows             1                  rows            columns
unstructured           1                  all weights     1
=====================  =================  ==============  =========
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from csb_format.arguments import shown
from csb_format.csb import UnbalancedError
from csb_format.geometry import Geometry, most_banks
from csb_format.precision import Precision

from .selection import select_top

__all__ = [
    "Banks",
    "Blocks",
    "Layout",
    "Rows",
    "Unstructured",
    "View",
    "check_pattern",
    "check_score",
    "pattern_mask",
    "row_balanced",
]


@dataclass(frozen=True)
class Layout:
    """Counts of a view of one matrix.

    Parameters
    ----------
    groups, units, size : int
        Shape of the grouped matrix, padding included.
    real : tuple of (int, int)
        ``(units that are not all padding, number of groups that have so many)``.
    added : int
        Of these units of all groups, how many stand for no weight and are always kept.
    """

    groups: int
    units: int
    size: int
    real: tuple[tuple[int, int], ...]
    added: int = 0

    def kept(self, keep: int) -> int:
        """Real units kept in the whole matrix with ``keep`` in every group."""
        return max(0, sum(min(keep, units) * groups for units, groups in self.real) - self.added)

    def sparsity(self, keep: int) -> float:
        """Share of real units that is pruned with ``keep`` in every group."""
        return 1 - self.kept(keep) / self.kept(self.units)

    def nearest(self, sparsity: float, minimum: int = 1) -> int:
        """Units per group whose sparsity is nearest to a wish; ties keep more.

        Parameters
        ----------
        sparsity : float
            0..1.
        minimum : int
            Fewest units per group.
        """
        # The decimal that was written, not its binary neighbour, decides ties.
        wanted = self.kept(self.units) * (1 - Fraction(repr(float(sparsity))))
        low, high = minimum, self.units
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.kept(middle) < wanted else (low, middle)
        fewer = max(minimum, low - 1)
        return fewer if wanted - self.kept(fewer) < abs(self.kept(low) - wanted) else low


class View(Protocol):
    """How a matrix is grouped. Views are frozen: equal views group equally."""

    def layout(self, rows: int, columns: int) -> Layout:
        """Counts for a (rows, columns) matrix; ValueError if it does not fit."""

    def group(self, matrix: Tensor, fill: float) -> Tensor:
        """(rows, columns) to (groups, units, size), padded with ``fill``."""

    def ungroup(self, grouped: Tensor, rows: int, columns: int) -> Tensor:
        """Undo :meth:`group`, padding dropped; contiguous."""


@dataclass(frozen=True)
class Banks:
    """Banks of every row, as BBS (Cao et al., FPGA'19) balances them.

    Parameters
    ----------
    count : int, optional
        Banks in a row, 1 to :func:`csb_format.geometry.most_banks`; their width is
        ``ceil(columns / count)``, and the last may be wholly padding.
    width : int, optional
        Columns of a bank, 1..columns, instead of a count. N:M sparsity is ``width=M``.
        The last bank may be partly padding.
    """

    count: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        if (self.count is None) == (self.width is None):
            raise ValueError(
                f"count = {self.count}, width = {self.width}: give either the count of banks or "
                "their width"
            )
        for name, value in (("count", self.count), ("width", self.width)):
            if isinstance(value, bool) or not isinstance(value, int | None):
                raise TypeError(f"{name} = {shown(value)}: must be a whole number, at least 1")

    def __str__(self) -> str:
        return f"{self.count} banks" if self.width is None else f"banks {self.width} wide"

    def shape(self, columns: int) -> tuple[int, int]:
        """Banks and their width for so many columns."""
        value = self.count if self.width is None else self.width
        assert value is not None
        what = "banks" if self.width is None else "columns in a bank"
        most = most_banks(columns) if self.width is None else columns
        if not 1 <= value <= most:
            raise ValueError(f"{value} {what} for {columns} columns: choose 1 to {most} {what}")
        return (
            (value, -(-columns // value)) if self.width is None else (-(-columns // value), value)
        )

    def geometry(
        self, rows: int, columns: int, keep: int, value_bits: int = Precision.value_bits
    ) -> Geometry:
        """The geometry of a matrix that keeps ``keep`` weights in every bank."""
        banks, width = self.shape(columns)
        return Geometry(rows, columns, banks, min(keep, width), value_bits, width)

    def layout(self, rows: int, columns: int) -> Layout:
        """Groups are banks, units are their columns."""
        banks, width = self.shape(columns)
        sizes = Counter(max(0, min(width, columns - b * width)) for b in range(banks))
        real = tuple((size, n * rows) for size, n in sorted(sizes.items(), reverse=True))
        return Layout(rows * banks, width, 1, real)

    def group(self, matrix: Tensor, fill: float) -> Tensor:
        """(R, C) to (R * banks, width, 1)."""
        banks, width = self.shape(matrix.shape[1])
        padded = banks * width - matrix.shape[1]
        wide = pad(matrix, (0, padded), value=fill) if padded else matrix
        return wide.reshape(-1, width, 1)

    def ungroup(self, grouped: Tensor, rows: int, columns: int) -> Tensor:
        """(R * banks, width, 1) to (R, C)."""
        return grouped.reshape(rows, -1)[:, :columns].contiguous()


def row_balanced() -> Banks:
    """Every row keeps the same number of weights (BRDS, Ghasemzadeh et al. 2021)."""
    return Banks(1)


@dataclass(frozen=True)
class Blocks:
    """Rectangular blocks, kept or pruned as one; blocks at the edges may be cut.

    Parameters
    ----------
    height, width : int
        Of a block, in weights; at most the matrix.
    balanced : bool
        Whether every row of blocks keeps the same number of them; otherwise the best of
        the whole matrix are kept.
    """

    height: int
    width: int
    balanced: bool = False

    def __str__(self) -> str:
        return f"blocks of {self.height} x {self.width}"

    def _grid(self, rows: int, columns: int) -> tuple[int, int]:
        if not (1 <= self.height <= rows and 1 <= self.width <= columns):
            raise ValueError(
                f"blocks of {self.height} x {self.width} for a {rows} x {columns} matrix: "
                f"choose blocks of 1 x 1 to {rows} x {columns}"
            )
        return -(-rows // self.height), -(-columns // self.width)

    def layout(self, rows: int, columns: int) -> Layout:
        """Units are blocks."""
        down, across = self._grid(rows, columns)
        groups, units = (down, across) if self.balanced else (1, down * across)
        return Layout(groups, units, self.height * self.width, ((units, groups),))

    def group(self, matrix: Tensor, fill: float) -> Tensor:
        """(R, C) to (1 or rows of blocks, blocks, height * width)."""
        rows, columns = matrix.shape
        down, across = self._grid(rows, columns)
        missing = (0, across * self.width - columns, 0, down * self.height - rows)
        tiles = pad(matrix, missing, value=fill).reshape(down, self.height, across, self.width)
        groups = down if self.balanced else 1
        return tiles.transpose(1, 2).reshape(groups, -1, self.height * self.width)

    def ungroup(self, grouped: Tensor, rows: int, columns: int) -> Tensor:
        """Undo :meth:`group`."""
        down, across = self._grid(rows, columns)
        tiles = grouped.reshape(down, across, self.height, self.width).transpose(1, 2)
        whole = tiles.reshape(down * self.height, across * self.width)
        return whole[:rows, :columns].contiguous()


@dataclass(frozen=True)
class Rows:
    """Whole rows, kept or pruned as one."""

    def __str__(self) -> str:
        return "whole rows"

    def layout(self, rows: int, columns: int) -> Layout:
        """Units are rows."""
        return Layout(1, rows, columns, ((rows, 1),))

    def group(self, matrix: Tensor, fill: float) -> Tensor:
        """(R, C) to (1, R, C)."""
        return matrix[None]

    def ungroup(self, grouped: Tensor, rows: int, columns: int) -> Tensor:
        """(1, R, C) to (R, C)."""
        return grouped.reshape(rows, columns).contiguous()


@dataclass(frozen=True)
class Unstructured:
    """Single weights, the best of the whole matrix."""

    def __str__(self) -> str:
        return "single weights"

    def layout(self, rows: int, columns: int) -> Layout:
        """One group, units are weights."""
        return Layout(1, rows * columns, 1, ((rows * columns, 1),))

    def group(self, matrix: Tensor, fill: float) -> Tensor:
        """(R, C) to (1, R * C, 1)."""
        return matrix.reshape(1, -1, 1)

    def ungroup(self, grouped: Tensor, rows: int, columns: int) -> Tensor:
        """(1, R * C, 1) to (R, C)."""
        return grouped.reshape(rows, columns).contiguous()


def pattern_mask(view: View, score: Tensor, keep: int, among: Tensor | None = None) -> Tensor:
    """Keep the ``keep`` best units of every group.

    Parameters
    ----------
    view : View
    score : Tensor
        Shape (R, C), floating point, finite; larger is better. A unit scores the mean of
        its weights' scores, so that a cut block is not at a disadvantage.
    keep : int
        Units per group, at least 1.
    among : Tensor, optional
        Bool (R, C): units wholly outside it are kept only if a group has too few others,
        so that a growing sparsity never revives a pruned weight.

    Returns
    -------
    Tensor
        Bool (R, C), true = kept; exactly ``min(keep, real units)`` units of every group;
        among equals the lowest index wins.

    Raises
    ------
    ValueError
        If the score is no matrix, is empty or not finite, a mask has another shape, the
        view does not fit, or ``keep`` is below 1.
    """
    check_score(score, among)
    layout = view.layout(*score.shape)
    chosen = select_top(unit_scores(view, score, among), keep)[..., None]
    return view.ungroup(chosen.expand(-1, -1, layout.size), *score.shape)


def unit_scores(view: View, score: Tensor, among: Tensor | None = None) -> Tensor:
    """Mean score of every unit, shape (groups, units).

    Padding scores -inf, a unit wholly outside ``among`` the lowest finite number: padding
    is never taken for a weight, and a pruned weight only where no other is left.
    """
    lowest = torch.finfo(score.dtype).min
    if view.layout(*score.shape).size == 1:
        inside = score if among is None else score.masked_fill(~among, lowest)
        return view.group(inside, float("-inf"))[..., 0]
    return _mean_scores(view, score.float(), among)


def _mean_scores(view: View, score: Tensor, among: Tensor | None) -> Tensor:
    real = view.group(torch.ones_like(score), 0.0).sum(-1)
    mean = view.group(score, 0.0).sum(-1) / real
    if among is None:
        return mean
    alive = view.group(among.to(score.dtype), 0.0).sum(-1) > 0
    return mean.masked_fill(~alive, torch.finfo(score.dtype).min)


def check_score(score: Tensor, among: Tensor | None = None) -> None:
    """Refuse what cannot be ranked.

    Raises
    ------
    ValueError
        For no matrix, an empty one, whole numbers, a NaN or an infinity, or a mask of another
        shape.
    """
    shape = tuple(score.shape)
    if score.ndim != 2 or not score.numel():
        raise ValueError(f"weight of shape {shape}: must be a matrix with rows and columns")
    if not score.is_floating_point():
        raise ValueError(f"weight of type {score.dtype}: must be floating point to be compared")
    if among is not None and among.shape != score.shape:
        raise ValueError(f"mask of shape {tuple(among.shape)} for a weight of shape {shape}")
    # The extremes carry NaN and infinity, and are far quicker than a test of every entry.
    if not torch.stack(score.aminmax()).isfinite().all():
        at = tuple(torch.nonzero(~score.isfinite())[0].tolist())
        raise ValueError(
            f"weight or score at {at} is {score[at].item()}: train to finite weights before pruning"
        )


def check_pattern(view: View, mask: Tensor, keep: int) -> None:
    """Refuse a mask that does not keep exactly ``keep`` units of every group.

    Raises
    ------
    UnbalancedError
        Naming the group, its count and the expected one, or a unit that is cut.
    """
    ones = torch.ones(mask.shape, dtype=torch.uint8, device=mask.device)
    real = view.group(ones, 0).sum(-1)
    kept = view.group(mask.to(torch.uint8), 0).sum(-1)
    cut = torch.nonzero((kept != 0) & (kept != real))
    if len(cut):
        group, unit = cut[0].tolist()
        raise UnbalancedError(f"{view}: unit {unit} of group {group} is kept in part; prune again")
    counts, expected = (kept > 0).sum(-1), (real > 0).sum(-1).clamp(max=keep)
    wrong = torch.nonzero(counts != expected)
    if len(wrong):
        at = int(wrong[0])
        raise UnbalancedError(
            f"{view}: group {at} keeps {int(counts[at])} units, expected {int(expected[at])}; "
            "prune again, or load the mask that belongs to this goal"
        )
