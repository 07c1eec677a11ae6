"""The network on integers, bit for bit what the accelerator computes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from csb_format import Fixed, IntArray, LstmLayer, Model, round_shift, saturate
from csb_format.scales import PerGate, Scales

__all__ = ["IntegerModel", "LayerModel", "Trace"]


@dataclass(frozen=True)
class Trace:
    """States of the last layer after every step of one sequence, directions side by side.

    Parameters
    ----------
    hidden, cell : int64 arrays (T, D * H)
        In ``hidden`` format of the layer, and what its lanes keep: the cell state of an LSTM in
        ``state`` format, the state of a GRU with more bits, in the cell's ``kept`` format.
    output : int64 array (T, D * R)
        The projected state, in ``output`` format; the hidden state itself without
        projection.
    """

    hidden: IntArray
    cell: IntArray
    output: IntArray


class LayerModel:
    """One direction of one layer: exact sums, then its :class:`csb_format.cells.cell.Cell`.

    Parameters
    ----------
    layer : LstmLayer

    Raises
    ------
    DesignError
        If its products lie too far apart to meet; see :class:`csb_format.scales.Scales`.
    """

    def __init__(self, layer: LstmLayer):
        self.layer = layer
        self.scales = Scales.of(layer)
        self.arithmetic = layer.arithmetic

    def step(self, x: IntArray, r: IntArray, c: IntArray) -> tuple[IntArray, IntArray]:
        """Hidden and kept state (..., H) after a frame; of sums :meth:`gate_sums`."""
        return self.update(self.gate_sums(x, r, c), c)

    def gate_sums(self, x: IntArray, r: IntArray, c: IntArray) -> IntArray:
        """Exact accumulator contents.

        Parameters
        ----------
        x : int64 array (..., X)
        r : int64 array (..., R)
            Recurrent state: h, or what the projection made of it.
        c : int64 array (..., H)
            Kept state, which only cells with :attr:`~csb_format.cells.cell.Cell.resets` need.

        Returns
        -------
        int64 array (..., S * H)
            H of each of the cell's sums.
        """
        ih = self.layer.weight_ih.matvec(x) << self._by_row(self.scales.align_ih)
        hh = self._recurrent(r)
        if self.arithmetic.resets:
            waits = self._waiting
            hh = np.where(waits, self._recurrent(self._reset(ih, hh, c)), hh)
        gates = len(self.arithmetic.gate_names)
        given = [np.split(products, gates, axis=-1) for products in (ih, hh)]
        found = [
            given[0][s.gate] * s.input + given[1][s.gate] * s.recurrent
            for s in self.arithmetic.sums
        ]
        return np.concatenate(found, axis=-1)

    def _recurrent(self, vector: IntArray) -> IntArray:
        return self.layer.weight_hh.matvec(vector) << self._by_row(self.scales.align_hh)

    def reset(self, x: IntArray, r: IntArray, c: IntArray) -> IntArray:
        """What rows that wait for the reset gate take in the place of h, int64 (..., H).

        Of the arguments of :meth:`gate_sums`, for cells with
        :attr:`~csb_format.cells.cell.Cell.resets`.
        """
        ih = self.layer.weight_ih.matvec(x) << self._by_row(self.scales.align_ih)
        return self._reset(ih, self._recurrent(r), c)

    def _reset(self, ih: IntArray, hh: IntArray, c: IntArray) -> IntArray:
        units, cell = self.layer.hidden_size, self.arithmetic
        bias, shift = self.layer.bias[:units], self.scales.shift[0]
        return cell.reset(cell.preactivation((ih + hh)[..., :units], bias, shift), c)

    @property
    def _waiting(self) -> npt.NDArray[np.bool_]:
        """Whether a row of ``weight_hh`` waits for the reset gate, bool (G * H,)."""
        cell = self.arithmetic
        waits = [n in cell.resets for n in range(len(cell.gate_names))]
        return np.repeat(waits, self.layer.hidden_size)

    def _by_row(self, shifts: PerGate) -> IntArray:
        return np.repeat(np.array(shifts, np.int64), self.layer.hidden_size)

    def update(self, sums: IntArray, c: IntArray) -> tuple[IntArray, IntArray]:
        """Hidden and kept state (..., H) from the sums (..., S * H) and the old kept state."""
        count = len(self.arithmetic.sums)
        each = zip(
            np.split(sums, count, axis=-1),
            np.split(self.layer.bias, count),
            self.scales.shift,
            strict=True,
        )
        pre = tuple(self.arithmetic.preactivation(*one) for one in each)
        return self.arithmetic.step(pre, c)

    def project(self, h: IntArray) -> IntArray:
        """Output (..., R) of hidden states (..., H): rounded and saturated once."""
        projection = self.layer.projection
        if projection is None:
            return h
        shift = projection.weight_format.frac + self.layer.hidden.frac - projection.output.frac
        total = round_shift(projection.weight.matvec(h), shift)
        return saturate(total, projection.output.width)

    def run(self, sequences: Sequence[IntArray]) -> list[Trace]:
        """All states of many sequences (T_i, X), each from a zero state, in their order."""
        lengths = np.array([len(s) for s in sequences], int)
        order = np.argsort(-lengths, kind="stable")
        layer = self.layer
        sizes = (layer.hidden_size, layer.hidden_size, layer.output_size)
        states = [tuple(np.zeros((n, size), np.int64) for size in sizes) for n in lengths]
        c = np.zeros((len(sequences), layer.hidden_size), np.int64)
        r = np.zeros((len(sequences), layer.output_size), np.int64)
        for t in range(lengths.max(initial=0)):
            live = order[: np.count_nonzero(lengths > t)]
            x = np.stack([sequences[s][t] for s in live])
            h, c = self.step(x, r[: len(live)], c[: len(live)])
            r = self.project(h)
            for row, s in enumerate(live):
                for kept, new in zip(states[s], (h, c, r), strict=True):
                    kept[t] = new[row]
        return [Trace(*kept) for kept in states]


class IntegerModel:
    """A whole network: layers one after the other, directions side by side.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model):
        self.model = model
        self.levels = [[LayerModel(layer) for layer in level] for level in model.levels]

    @property
    def layer(self) -> LstmLayer:
        """The first layer."""
        return self.model.layers[0]

    @property
    def scales(self) -> Scales:
        """Binary points of the first layer."""
        return self.levels[0][0].scales

    @property
    def input(self) -> Fixed:
        """Format of input frames."""
        return self.layer.input

    def gate_sums(self, x: IntArray, h: IntArray, c: IntArray) -> IntArray:
        """Exact accumulator contents of the first layer; see :meth:`LayerModel.gate_sums`."""
        return self.levels[0][0].gate_sums(x, h, c)

    def step(self, x: IntArray, h: IntArray, c: IntArray) -> tuple[IntArray, IntArray]:
        """One step of the first layer, of any number of sequences at once.

        Parameters
        ----------
        x : int64 array (B, X)
        h : int64 array (B, R)
        c : int64 array (B, H)

        Returns
        -------
        h, c : int64 arrays (B, H)
            Before a projection.
        """
        return self.levels[0][0].step(x, h, c)

    def run(self, sequences: Sequence[IntArray]) -> list[Trace]:
        """All states of many sequences, each from a zero state.

        Parameters
        ----------
        sequences : sequence of int64 arrays (T_i, X)
            In the first layer's input format.

        Returns
        -------
        list of Trace
            Of the last layer.
        """
        return self.run_levels(sequences)[-1]

    def run_levels(self, sequences: Sequence[IntArray]) -> list[list[Trace]]:
        """All states of every level (layer, or pair of directions); see :meth:`run`."""
        inputs, levels = list(sequences), []
        for level in self.levels:
            levels.append(_side_by_side(level, inputs))
            inputs = [trace.output for trace in levels[-1]]
        return levels

    def quantise(self, sequences: Iterable[npt.ArrayLike]) -> list[IntArray]:
        """Real frames (T, X) to the layer's input format, saturating."""
        return [self.input.quantise(sequence) for sequence in sequences]

    def classify(self, hidden: IntArray) -> IntArray:
        """Class of each hidden state (..., H) by the head's exact logits; ties to the lowest.

        A hidden state is what the head takes: :meth:`csb_format.model.Model.pooled` makes one
        of the outputs of a sequence.

        Raises
        ------
        ValueError
            If the model has no head.
        """
        if self.model.head is None:
            raise ValueError("the model has no head: pack it with its classifier to classify")
        return np.asarray(np.argmax(self.model.head.logits(hidden), axis=-1), np.int64)


def _side_by_side(level: list[LayerModel], inputs: list[IntArray]) -> list[Trace]:
    """Traces of one layer, or of a forward and a reverse one with their states joined."""
    traces = level[0].run(inputs)
    if len(level) == 1:
        return traces
    reverse = level[1].run([sequence[::-1] for sequence in inputs])
    return [
        Trace(*(np.concatenate([a, b[::-1]], axis=-1) for a, b in zip(*pair, strict=True)))
        for pair in (
            ((f.hidden, f.cell, f.output), (r.hidden, r.cell, r.output))
            for f, r in zip(traces, reverse, strict=True)
        )
    ]
