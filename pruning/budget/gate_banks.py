"""Banks of which the gates of a cell keep different numbers of weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from csb_format.geometry import Geometry
from csb_format.precision import Precision

from ..mask.views import Banks, Layout

__all__ = ["GateBanks"]


@dataclass(frozen=True)
class GateBanks(Banks):
    """Banks of every row; rows of some gates keep so many weights fewer than those that keep most.

    Every bank has as many units more as a gate keeps fewer, first of all, which are always kept
    and stand for no weight. So the same number is kept of every group, as of all views, and all
    gates come down to theirs one unit after the other.

    Parameters
    ----------
    count, width : int, optional
        As for :class:`.Banks`.
    fewer : tuple of int
        Of each gate, at least 0: rows are in as many equal parts.
    """

    fewer: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.fewer or min(self.fewer) < 0:
            raise ValueError(f"fewer = {self.fewer}: give a number for each gate, none below 0")

    def __str__(self) -> str:
        return f"{super().__str__()}, a k for each of {len(self.fewer)} gates"

    @property
    def _most(self) -> int:
        return max(self.fewer)

    def geometry(
        self, rows: int, columns: int, keep: int, value_bits: int = Precision.value_bits
    ) -> Geometry:
        """The geometry of a matrix whose fullest gate keeps ``keep`` weights in every bank."""
        banks, width = self.shape(columns)
        parts = [min(max(keep - fewer, 0), width) for fewer in self.fewer]
        return Geometry.of_parts(rows, columns, banks, parts, value_bits, width)

    def layout(self, rows: int, columns: int) -> Layout:
        """Groups are banks, units are their columns and what stands for none."""
        if rows % len(self.fewer):
            raise ValueError(f"{rows} rows of {len(self.fewer)} gates: must be as many of each")
        each = super().layout(rows // len(self.fewer), columns)
        real = [(size + n, groups) for n in self.fewer for size, groups in each.real]
        groups, units = each.groups * len(self.fewer), each.units + self._most
        return replace(
            each, groups=groups, units=units, real=tuple(real), added=each.groups * sum(self.fewer)
        )

    def group(self, matrix: Tensor, fill: float) -> Tensor:
        """(R, C) to (R * banks, most fewer + width, 1)."""
        wide = pad(super().group(matrix, fill), (0, 0, self._most, 0), value=fill)
        fewer = torch.tensor(self.fewer, device=matrix.device)
        fewer = fewer.repeat_interleave(len(wide) // len(self.fewer))
        kept = torch.arange(self._most, device=matrix.device) < fewer[:, None]
        # above every score, and finite, as scores are
        most = torch.finfo(matrix.dtype).max if matrix.is_floating_point() and fill else 1
        wide[:, : self._most, 0][kept] = most
        return wide

    def ungroup(self, grouped: Tensor, rows: int, columns: int) -> Tensor:
        """(R * banks, most fewer + width, 1) to (R, C)."""
        return super().ungroup(grouped[:, self._most :], rows, columns)
