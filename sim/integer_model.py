"""The network on integers, bit for bit what the accelerator computes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from csb_format import Fixed, IntArray, LstmLayer, Model
from csb_format.cell import CellArithmetic
from csb_format.design import Scales

__all__ = ["IntegerModel", "Trace"]


@dataclass(frozen=True)
class Trace:
    """States after every step of one sequence.

    Parameters
    ----------
    hidden, cell : int64 arrays (T, H)
        In ``hidden`` and ``state`` format of the layer.
    """

    hidden: IntArray
    cell: IntArray


class IntegerModel:
    """Composed as the hardware is: exact sums, then :class:`csb_format.cell.CellArithmetic`.

    Parameters
    ----------
    model : Model
        One LSTM layer, and a head or none.
    """

    def __init__(self, model: Model):
        self.model = model
        self.layer: LstmLayer = model.layers[0]
        self.scales = Scales.of(self.layer)
        self.arithmetic = CellArithmetic(self.layer.hidden.width)

    @property
    def input(self) -> Fixed:
        """Format of input frames."""
        return self.layer.input

    def gate_sums(self, x: IntArray, h: IntArray) -> IntArray:
        """Exact accumulator contents.

        Parameters
        ----------
        x : int64 array (..., X)
        h : int64 array (..., H)

        Returns
        -------
        int64 array (..., 4H)
        """
        ih = self.layer.weight_ih.matvec(x) << self.scales.align_ih
        return ih + (self.layer.weight_hh.matvec(h) << self.scales.align_hh)

    def step(self, x: IntArray, h: IntArray, c: IntArray) -> tuple[IntArray, IntArray]:
        """One step of any number of sequences at once.

        Parameters
        ----------
        x : int64 array (B, X)
        h, c : int64 arrays (B, H)

        Returns
        -------
        h, c : int64 arrays (B, H)
        """
        pre = self.arithmetic.preactivation(
            self.gate_sums(x, h), self.layer.bias, self.scales.shift
        )
        i, f, g, o = np.split(pre, 4, axis=-1)
        return self.arithmetic.step((i, f, g, o), c)

    def run(self, sequences: Sequence[IntArray]) -> list[Trace]:
        """All states of many sequences, each from a zero state.

        Parameters
        ----------
        sequences : sequence of int64 arrays (T_i, X)
            In the layer's input format.

        Returns
        -------
        list of Trace
        """
        lengths = np.array([len(s) for s in sequences], int)
        order = np.argsort(-lengths, kind="stable")
        hidden = [np.zeros((n, self.layer.hidden_size), np.int64) for n in lengths]
        cell = [np.zeros((n, self.layer.hidden_size), np.int64) for n in lengths]
        h = c = np.zeros((len(sequences), self.layer.hidden_size), np.int64)
        for t in range(lengths.max(initial=0)):
            live = order[: np.count_nonzero(lengths > t)]
            x = np.stack([sequences[s][t] for s in live])
            h, c = self.step(x, h[: len(live)], c[: len(live)])
            for row, s in enumerate(live):
                hidden[s][t], cell[s][t] = h[row], c[row]
        return [Trace(*pair) for pair in zip(hidden, cell, strict=True)]

    def quantise(self, sequences: Iterable[npt.ArrayLike]) -> list[IntArray]:
        """Real frames (T, X) to the layer's input format, saturating."""
        return [self.input.quantise(sequence) for sequence in sequences]

    def classify(self, hidden: IntArray) -> IntArray:
        """Class of each hidden state (..., H) by the head's exact logits; ties to the lowest.

        Raises
        ------
        ValueError
            If the model has no head.
        """
        if self.model.head is None:
            raise ValueError("the model has no head: pack it with its classifier to classify")
        return np.asarray(np.argmax(self.model.head.logits(hidden), axis=-1), np.int64)
