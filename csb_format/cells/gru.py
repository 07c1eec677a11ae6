"""The two GRU cells on integers: as ``torch.nn.GRU``, and ONNX's with another place of r.

``r = sigmoid(x_r + h_r)``, ``z = sigmoid(x_z + h_z)``, ``n = tanh(x_n + r * h_n)``,
``h' = (1 - z) * n + z * h``, where ``x`` and ``h`` are rows of both products with their biases:
ONNX's with ``linear_before_reset`` of 1. With 0 ``h_n`` are rows of the product with ``r * h``, and
``n = tanh(x_n + h_n)``.
docs/gru.md says why the formats are what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..fixed import Fixed, IntArray, round_shift, saturate
from .cell import Cell, Sum

__all__ = ["GruCell", "ResetFirstGruCell"]

GUARD = 2  # fraction bits of the kept state beyond those of h


@dataclass(frozen=True)
class GruCell(Cell):
    """The cell; see :class:`~csb_format.cells.cell.Cell`.

    A lane keeps ``h`` with two more fraction bits than the vectors hold: a state that changes by
    less than half of h's last bit a step is not stuck.
    """

    name: ClassVar[str] = "gru"
    title: ClassVar[str] = "a GRU"
    gate_names: ClassVar[str] = "rzn"
    sums: ClassVar[tuple[Sum, ...]] = (
        Sum("r", 0),
        Sum("z", 1),
        Sum("nx", 2, recurrent=False),
        Sum("nh", 2, input=False),
    )
    passes: ClassVar[tuple[str, ...]] = ("rzn",)
    abreast: ClassVar[int] = 1
    tables: ClassVar[int] = 2
    narrow_products: ClassVar[int] = 0
    wide_products: ClassVar[int] = 2

    @property
    def kept(self) -> Fixed:
        """Format of the kept state, [-1, 1)."""
        return Fixed(self.act_bits + GUARD, self.act_bits - 1 + GUARD)

    @property
    def taped(self) -> dict[str, Fixed]:
        """Gates, and the sum of the recurrent matrix that is hidden in the candidate."""
        return super().taped | {name: self.state for name in ("nh",) if self.apart}

    def candidate(self, r: IntArray, nx: IntArray, nh: IntArray) -> IntArray:
        """New state before it is mixed, in ``gate`` format: ``tanh(nx + r * nh)``."""
        reset = round_shift(r * nh, self.gate.frac)
        return self.piecewise.tanh(saturate(nx + reset, self.state.width))

    def mix(self, z: IntArray, n: IntArray, kept: IntArray) -> IntArray:
        """Kept state ``z * kept + (1 - z) * n``, exact and then rounded once; it stays in range."""
        n = n << GUARD
        return round_shift(z * (kept - n) + (n << self.gate.frac), self.gate.frac)

    def hidden(self, kept: IntArray) -> IntArray:
        """Hidden state in ``gate`` format: the kept one rounded, and saturated below 1."""
        return saturate(round_shift(kept, GUARD), self.gate.width)

    def step(self, pre: tuple[IntArray, ...], kept: IntArray) -> tuple[IntArray, IntArray]:
        """One update of any number of units; see :meth:`.Cell.step`."""
        r, z, nx, nh = pre
        table = self.piecewise
        n = self.candidate(table.sigmoid(r), nx, nh)
        new = self.mix(table.sigmoid(z), n, np.asarray(kept, np.int64))
        return self.hidden(new), new


@dataclass(frozen=True)
class ResetFirstGruCell(GruCell):
    """ONNX's GRU with ``linear_before_reset`` of 0: ``weight_hh`` takes ``r * h`` in rows n.

    As both products of n meet, a unit has three sums. ``r * h`` is made of the kept state: it is
    rounded once, where h's own would be rounded twice.
    """

    name: ClassVar[str] = "gru0"
    title: ClassVar[str] = "a GRU with linear_before_reset of 0"
    sums: ClassVar[tuple[Sum, ...]] = (Sum("r", 0), Sum("z", 1), Sum("n", 2, reset=True))
    passes: ClassVar[tuple[str, ...]] = ("r", "z", "n")
    tables: ClassVar[int] = 1
    wide_products: ClassVar[int] = 1

    def reset(self, r: IntArray, kept: IntArray) -> IntArray:
        """``r * h`` in ``gate`` format; see :meth:`.Cell.reset`. As r < 1, it stays in range."""
        return round_shift(self.piecewise.sigmoid(r) * kept, self.gate.frac + GUARD)

    def step(self, pre: tuple[IntArray, ...], kept: IntArray) -> tuple[IntArray, IntArray]:
        """One update of any number of units; see :meth:`.Cell.step`. r is in n already."""
        _, z, n = pre
        table = self.piecewise
        new = self.mix(table.sigmoid(z), table.tanh(n), np.asarray(kept, np.int64))
        return self.hidden(new), new
