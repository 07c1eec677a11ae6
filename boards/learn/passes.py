"""Passes of a training step whose products are an array's; the rest is the reference's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compiler.learn.design import learns_head
from csb_format import DenseLayer, IntArray, LstmLayer, Model
from csb_format.cells.gru import GruCell
from engine.learn.cells.gru import GruFrame
from engine.learn.cells.lstm import LstmFrame
from engine.learn.head import HeadPass
from engine.learn.reference import ReferencePass
from engine.learn.settle import Part, Settling
from engine.learn.tape import Gradient, Piece, Signal

from .array import LearningAccelerator, Products
from .lying import Chunk

__all__ = ["ArrayHead", "ArrayPass", "Forward"]

Values = list[dict[str, IntArray]]


class Forward:
    """What the array gave for the sequences of a piece: by layer, of each its numbers (T, size).

    Of a reverse layer its own last step is the last one.

    Parameters
    ----------
    array : LearningAccelerator
    sequences : sequence of int64 arrays (T, X)
    """

    def __init__(self, array: LearningAccelerator, sequences: Sequence[IntArray]):
        self.layers: list[Values] = [[] for _ in array.model.layers]
        self.logits = list[IntArray]()
        every, head = array.model.pool == "every", learns_head(array.model.shape)
        for sequence in sequences:
            found: list[dict[str, IntArray]] = [{} for _ in self.layers]
            for one in array.accelerator.emitted(sequence):
                found[one.emission.layer] |= one.values
            if head:
                linear = found[-1].pop("y")
                self.logits.append(linear if every else linear[-1:])
            for layer, values in zip(self.layers, found, strict=True):
                layer.append(values)


class ArrayPass(ReferencePass):
    """A layer whose steps, transposed products and sums at kept places are an array's.

    The host goes back through the cell, element by element. Sums at kept places wait in ``late``.

    Parameters
    ----------
    layer : LstmLayer
        Or a GRU's, whose recurrent matrix takes h.
    n : int
    array : LearningAccelerator
    values : list of dict
        Of its :class:`Forward`.
    deep : bool
        Whether recurrent layers learn.
    """

    def __init__(
        self, layer: LstmLayer, n: int, array: LearningAccelerator, values: Values, deep: bool
    ):
        super().__init__(layer, n)
        self._array, self._values, self._deep = array, values, deep
        self.late: dict[str, Products] = {}

    def forward(self, x: Signal, piece: Piece) -> Signal:
        """Outputs (R, T, L) that the array gave; zeros of a layer that it does not show."""
        self.piece, layer = piece, self.layer
        if not self._values[0]:
            return np.zeros((layer.output_size, piece.steps, piece.lanes), np.int32)
        self.x = np.moveaxis(x, 0, -1).astype(np.int64)
        output = "r" if layer.projection is not None else "h"
        found = {name: self._placed(name) for name in {output, *self._values[0]}}
        nothing = np.zeros((piece.lanes, layer.output_size), np.int64)
        self.r, self.h = [nothing, *found[output]], list(found["h"])
        if self._deep:
            self.tape = self._frames(found)
        return np.moveaxis(found[output], -1, 0)

    def _placed(self, name: str) -> IntArray:
        """Numbers of all sequences, aligned at their ends: (T, L, size)."""
        signal = self.piece.place([values[name] for values in self._values], np.int32)
        return np.moveaxis(signal, 0, -1).astype(np.int64)

    def _frames(self, found: dict[str, IntArray]) -> list[Any]:
        cell: Any = self.cell
        before = np.concatenate([np.zeros_like(found["c"][:1]), found["c"][:-1]])
        taped = [found[name] for name in cell.taped]
        if isinstance(cell, GruCell):
            reset = np.zeros_like(before)
            return [GruFrame(*step) for step in zip(*taped, before, reset, strict=True)]
        squashed = cell.piecewise.tanh(found["c"])
        return [LstmFrame(*step) for step in zip(*taped, before, squashed, strict=True)]

    def backward(
        self, up: Signal, up_exponent: int, settling: Settling, below: str = ""
    ) -> tuple[dict[str, Gradient], Signal | None]:
        """See :meth:`engine.learn.reference.ReferencePass.backward`."""
        self._settling, self._rest = settling, list(range(self.piece.steps))
        return super().backward(up, up_exponent, settling, below)

    def _back(self, name: str, d: Part) -> Part:
        chunk = None if name == "weight_hr" else self._chunk(name, d)
        return self._array.back(f"layers.{self.n}.{name}", d, chunk)

    def _chunk(self, name: str, d: Part) -> Chunk:
        """Of the gates' gradients, which both matrices share: that of their step."""
        steps, of_step = self.piece.steps, -(-self.piece.lanes // self._array.design.lanes)
        # the level below asks for all steps, the first one first
        t = steps - len(self.d) if name == "weight_hh" else self._rest.pop(0)
        low = min(self._settling.exponent(f"d.{self.n}", at) for at in range(steps))
        answers = steps * of_step * self._array.design.lanes
        return Chunk(t * of_step, answers, d.exponent - low)

    def _kept(self, name: str, d: Sequence[Part], vectors: Any, frac: int) -> Gradient:
        self.late[f"layers.{self.n}.{name}"] = Products(d, list(vectors)[: len(d)], frac)
        return Gradient(np.zeros(0, np.int64), 0)

    def _gradients(self) -> dict[str, Gradient]:
        found = super()._gradients()
        return {name: gradient for name, gradient in found.items() if name not in self.late}


class ArrayHead(HeadPass):
    """The head of a :class:`Forward`."""

    def __init__(self, model: Model, head: DenseLayer, array: LearningAccelerator, of: Forward):
        super().__init__(model, head)
        self._array, self._forward = array, of
        self.late: dict[str, Products] = {}

    def _logits(self, fed: IntArray) -> IntArray:
        return np.concatenate(self._forward.logits)

    def _back(self, delta: Part) -> IntArray:
        return self._array.back("head.weight", delta).value

    def _gradients(self, delta: Part, fed: IntArray) -> dict[str, Gradient]:
        lanes = self._array.design.lanes
        cuts = range(0, len(fed), lanes)
        parts = [Part(delta.value[n : n + lanes], delta.exponent) for n in cuts]
        padded = [_filled(part.value, lanes) for part in parts]
        inputs = [_filled(fed[n : n + lanes], lanes) for n in cuts]
        d = [Part(value, delta.exponent) for value in padded]
        self.late["head.weight"] = Products(d, inputs, self.head.input.frac)
        return {"head.bias": Gradient(delta.value.sum(axis=0), delta.exponent)}


def _filled(value: IntArray, rows: int) -> IntArray:
    return np.pad(value, ((0, rows - len(value)), (0, 0)))
