"""The LSTM cell on integers: from exact sums of products to hidden and cell state.

Equations of the FPGA'19 paper, section 2 (no peepholes, as ``torch.nn.LSTM``):
``c' = f * c + i * g``, ``h = o * tanh(c')``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..fixed import Fixed, IntArray, round_shift, saturate
from ..precision import Precision
from .piecewise import Piecewise

__all__ = ["CellArithmetic", "Gates"]

Gates = tuple[IntArray, IntArray, IntArray, IntArray]


@dataclass(frozen=True)
class CellArithmetic:
    """The cell: its gates, and rounding and saturation points of the element-wise unit.

    A cell names its gates and computes in integers; :mod:`compiler.array.latency` and
    :mod:`hdl.core.lanes` have the latency and the lane of each by its ``name``.

    Parameters
    ----------
    act_bits : int
        Width of activations, 6 to 18.

    Raises
    ------
    ValueError
        For another width.
    """

    act_bits: int = Precision.act_bits

    #: Of the cell, where lanes, latencies and files are chosen by it.
    name: ClassVar[str] = "lstm"
    #: Gates in the order of the rows of a matrix: H rows of each, as ``torch.nn.LSTM`` has them.
    gate_names: ClassVar[str] = "ifgo"

    def __post_init__(self) -> None:
        if not 6 <= self.act_bits <= 18:
            raise ValueError(f"activation width {self.act_bits}: choose 6 to 18 bits")

    @property
    def gate(self) -> Fixed:
        """Format of gates and hidden state, [-1, 1)."""
        return Fixed(self.act_bits, self.act_bits - 1)

    @property
    def state(self) -> Fixed:
        """Format of pre-activations, biases and cell state, [-16, 16)."""
        return Fixed(self.act_bits + 2, self.act_bits - 3)

    @property
    def piecewise(self) -> Piecewise:
        """Sigmoid and tanh between these formats."""
        return Piecewise(self.state, self.gate)

    def preactivation(self, total: IntArray, bias: IntArray, shift: int) -> IntArray:
        """Round exact sums to ``state`` format and add the bias.

        Parameters
        ----------
        total : int64 array
            Sums of products, ``state.frac + shift`` fraction bits.
        bias : int64 array
            In ``state`` format.
        shift : int
            0..63.

        Returns
        -------
        int64 array
            Saturated to ``state``.
        """
        return saturate(round_shift(total, shift) + bias, self.state.width)

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

    def step(self, pre: Gates, c: IntArray) -> tuple[IntArray, IntArray]:
        """One update of any number of units.

        Parameters
        ----------
        pre : four int64 arrays
            Pre-activations of i, f, g, o in ``state`` format.
        c : int64 array
            Cell state in ``state`` format.

        Returns
        -------
        h, c : int64 arrays
            In ``gate`` and ``state`` format.
        """
        gates = self.gates(pre)
        c = self.cell(gates, np.asarray(c, np.int64))
        return self.hidden(gates[3], c), c
