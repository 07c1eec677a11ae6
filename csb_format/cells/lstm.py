"""The LSTM cell on integers: from exact sums of products to hidden and cell state.

Equations of the FPGA'19 paper, section 2 (no peepholes, as ``torch.nn.LSTM``):
``c' = f * c + i * g``, ``h = o * tanh(c')``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..fixed import IntArray, round_shift, saturate
from .cell import Cell, Sum

__all__ = ["CellArithmetic", "Gates"]

Gates = tuple[IntArray, IntArray, IntArray, IntArray]


@dataclass(frozen=True)
class CellArithmetic(Cell):
    """The cell; see :class:`~csb_format.cells.cell.Cell`. A lane keeps the cell state c."""

    name: ClassVar[str] = "lstm"
    title: ClassVar[str] = "an LSTM"
    gate_names: ClassVar[str] = "ifgo"
    sums: ClassVar[tuple[Sum, ...]] = tuple(Sum(name, n) for n, name in enumerate("ifgo"))
    passes: ClassVar[tuple[str, ...]] = ("ifgo",)
    abreast: ClassVar[int] = 4
    projects: ClassVar[bool] = True
    compact: ClassVar[bool] = True
    tables: ClassVar[int] = 5
    narrow_products: ClassVar[int] = 2
    wide_products: ClassVar[int] = 1

    def gates(self, pre: Gates) -> Gates:
        """Activate the pre-activations of i, f, g, o (``state``) to gates (``gate``)."""
        i, f, g, o = pre
        table = self.piecewise
        return table.sigmoid(i), table.sigmoid(f), table.tanh(g), table.sigmoid(o)

    def cell(self, gates: Gates, c: IntArray) -> IntArray:
        """New cell state ``f * c + i * g`` in ``state`` format, rounded once, saturated."""
        i, f, g, _ = gates
        lift = self.gate.frac - self.state.frac
        total = ((f * c) << lift) + i * g
        return saturate(round_shift(total, self.gate.frac + lift), self.state.width)

    def hidden(self, o: IntArray, c: IntArray) -> IntArray:
        """Hidden state ``o * tanh(c)`` in ``gate`` format."""
        product = o * self.piecewise.tanh(c)
        return saturate(round_shift(product, self.gate.frac), self.gate.width)

    def step(self, pre: tuple[IntArray, ...], kept: IntArray) -> tuple[IntArray, IntArray]:
        """One update of any number of units; see :meth:`.Cell.step`."""
        i, f, g, o = pre
        gates = self.gates((i, f, g, o))
        c = self.cell(gates, np.asarray(kept, np.int64))
        return self.hidden(gates[3], c), c
