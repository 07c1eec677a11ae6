"""A layer forward with a tape and back in numpy: the contract, plain and slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.cells.cell import Cell
from csb_format.cells.gru import GruCell
from csb_format.cells.lstm import CellArithmetic
from csb_format.fixed import IntArray
from csb_format.model import LayerMatrix, LstmLayer

from ..reference import LayerModel
from .cells import gru, lstm
from .settle import Part, Settling
from .tape import Gradient, Piece, Signal

__all__ = ["ReferencePass", "exact", "names_of"]

Valid = npt.NDArray[np.bool_]


def names_of(layer: LstmLayer, n: int) -> tuple[str, ...]:
    """Gradients of a layer that have exponents."""
    kinds = ["d", "h"]
    if isinstance(layer.arithmetic, CellArithmetic):
        kinds.append("c")
    if layer.arithmetic.resets:
        kinds.append("v")
    if layer.projection is not None:
        kinds.append("r")
    return tuple(f"{kind}.{n}" for kind in kinds)


class ReferencePass:
    """One direction of a layer.

    Parameters
    ----------
    layer : LstmLayer
    n : int
        Its number in the model.
    """

    def __init__(self, layer: LstmLayer, n: int):
        self.layer, self.n = layer, n
        self.model = LayerModel(layer)
        self.matrices = {matrix.name: matrix for matrix in layer.matrices}

    @property
    def cell(self) -> Cell:
        """The cell in its integers."""
        return self.model.arithmetic

    def forward(self, x: Signal, piece: Piece) -> Signal:
        """Outputs (R, T, L) of frames (X, T, L), zeros where a lane has none; leaves a tape."""
        self.piece, layer = piece, self.layer
        self.x = np.moveaxis(x, 0, -1).astype(np.int64)
        sizes = (layer.output_size, layer.hidden_size)
        r, kept = (np.zeros((piece.lanes, size), np.int64) for size in sizes)
        self.tape: list[Any] = []
        self.r, self.h = [r], list[IntArray]()
        for t in range(piece.steps):
            valid = piece.valid[t][:, None]
            h, kept, frame = self._step(self.x[t], r, kept)
            h, kept = h * valid, kept * valid
            r = self.model.project(h)
            self.tape.append(frame)
            self.r.append(r)
            self.h.append(h)
        return np.moveaxis(np.stack(self.r[1:]), -1, 0)

    def _step(self, x: IntArray, r: IntArray, kept: IntArray) -> tuple[IntArray, IntArray, Any]:
        cell = self.cell
        sums = np.split(self.model.gate_sums(x, r, kept), len(cell.sums), axis=-1)
        biases = np.split(self.layer.bias, len(cell.sums))
        each = zip(sums, biases, self.model.scales.shift, strict=True)
        pre = tuple(cell.preactivation(*one) for one in each)
        if isinstance(cell, CellArithmetic):
            return lstm.forward(cell, pre, kept)
        assert isinstance(cell, GruCell)
        return gru.forward(cell, pre, kept)

    def backward(
        self, up: Signal, up_exponent: int, settling: Settling, below: str = ""
    ) -> tuple[dict[str, Gradient], Signal | None]:
        """Gradients of the layer's tensors, and of its frames in the exponent of ``below``.

        Parameters
        ----------
        up : integer array (R, T, L)
            Of the outputs.
        up_exponent : int
        settling : Settling
        below : str
            The tensor of the level below; empty: nobody asks for it.
        """
        steps = self.piece.steps
        for name in names_of(self.layer, self.n):
            settling.begin(name, steps)
        given = np.moveaxis(up, 0, -1).astype(np.int64)
        nothing = np.zeros((self.piece.lanes, self.layer.output_size), np.int64)
        recurrent, carried = Part(nothing, 0), list[Part]()
        self.d, self.dr = list[Part](), list[Part]()
        for t in reversed(range(steps)):
            at, valid = steps - 1 - t, self.piece.valid[t][:, None]
            parts = [_masked(p, valid) for p in (Part(given[t], up_exponent), recurrent)]
            carried = [_masked(part, valid) for part in carried]
            d, carried = self._step_back(t, at, parts, carried, settling)
            self.d.append(Part(d, settling.exponent(f"d.{self.n}", at)))
            if t:
                recurrent = self._recurrent(self.d[-1])
        self.d.reverse()
        self.dr.reverse()
        return self._gradients(), self._below(settling, below)

    def _step_back(
        self, t: int, at: int, parts: list[Part], carried: list[Part], settling: Settling
    ) -> tuple[IntArray, list[Part]]:
        """Gradients of the cell's sums at a step, and what goes on to the state before."""
        cell, tape, n = self.cell, self.tape[t], self.n
        if isinstance(cell, CellArithmetic):
            dh = self._through_projection(parts, settling, at)
            return lstm.backward(cell, tape, dh, carried, settling, n, at)
        assert isinstance(cell, GruCell)
        dk = settling.settled(f"h.{n}", at, [*parts, *carried])
        if not cell.resets:
            return gru.backward(cell, tape, dk, settling, n, at)
        return gru.backward_reset_first(cell, tape, dk, self._to_reset, settling, n, at)

    def _through_projection(self, parts: list[Part], settling: Settling, at: int) -> Part:
        """Gradient of h, settled, of that of the output."""
        if self.layer.projection is not None:
            of_r = f"r.{self.n}"
            dr = settling.settle_by_chance(of_r, at, parts)
            self.dr.append(Part(dr, settling.exponent(of_r, at)))
            parts = [self._back("weight_hr", self.dr[-1])]
        return settling.settled(f"h.{self.n}", at, parts)

    def _rows(self, d: IntArray, recurrent: bool) -> IntArray:
        """Of the sums' gradients those of the rows of a matrix."""
        parts = np.split(d, len(self.cell.sums), axis=-1)
        reads = ((s.recurrent if recurrent else s.input) for s in self.cell.sums)
        return np.concatenate([p for p, takes in zip(parts, reads, strict=True) if takes], axis=-1)

    def _recurrent(self, d: Part) -> Part:
        """Gradient of the output before, by way of the recurrent matrix."""
        rows = self._rows(d.value, True)
        return self._back("weight_hh", Part(rows * ~self._waits, d.exponent))

    def _to_reset(self, dn: Part) -> Part:
        """Gradient of ``r * h`` of those of the rows that take it."""
        rows = np.concatenate([np.zeros_like(dn.value)] * 2 + [dn.value], axis=-1)
        return self._back("weight_hh", Part(rows, dn.exponent))

    def _back(self, name: str, d: Part) -> Part:
        """The transposed product of a matrix; others compute it elsewhere."""
        return back(self.matrices[name], d)

    def _kept(self, name: str, d: Sequence[Part], vectors: Any, frac: int) -> Gradient:
        """Sums over time and lanes for a matrix, likewise."""
        return kept(self.matrices[name], d, vectors, frac)

    @property
    def _waits(self) -> Valid:
        """Rows of the recurrent matrix that take ``r * h``, bool (G * H,)."""
        gates = range(len(self.cell.gate_names))
        return np.repeat([g in self.cell.resets for g in gates], self.layer.hidden_size)

    def _below(self, settling: Settling, below: str) -> Signal | None:
        if not below:
            return None
        settling.begin(below, 1)
        rows = [Part(self._rows(d.value, False), d.exponent) for d in self.d]
        parts = [self._back("weight_ih", one) for one in rows]
        return np.moveaxis(settling.settle_steps(below, parts), -1, 0)

    def _gradients(self) -> dict[str, Gradient]:
        layer, start = self.layer, f"layers.{self.n}"
        low = min(d.exponent for d in self.d)
        of_bias = sum((d.value.sum(axis=0) << (d.exponent - low)) for d in self.d)
        ih, hh = (
            [Part(self._rows(d.value, way), d.exponent) for d in self.d] for way in (False, True)
        )
        found = {
            "bias": Gradient(np.asarray(of_bias), low),
            "weight_ih": self._kept("weight_ih", ih, self.x, layer.input.frac),
            "weight_hh": self._kept("weight_hh", hh, self.r, layer.output.frac),
        }
        if self.cell.resets:
            reset = [frame.reset for frame in self.tape]
            other = self._kept("weight_hh", hh, reset, layer.output.frac)
            waits = self._waits[:, None, None]
            found["weight_hh"].sums = np.where(waits, other.sums, found["weight_hh"].sums)
        if layer.projection is not None:
            found["weight_hr"] = self._kept("weight_hr", self.dr, self.h, layer.hidden.frac)
        return {f"{start}.{name}": gradient for name, gradient in found.items()}


def _masked(part: Part, valid: Valid) -> Part:
    return Part(part.value * valid, part.exponent)


def exact(a: IntArray, b: IntArray) -> IntArray:
    """A product of integer matrices; by BLAS where that is exact."""
    bound = int(np.abs(a).max(initial=0)) * int(np.abs(b).max(initial=0)) * a.shape[1]
    if bound < 1 << 53:
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
    return a @ b


def back(matrix: LayerMatrix, d: Part) -> Part:
    """The transposed matrix times gradients of its rows (L, rows): exact, (L, columns)."""
    finest = max(fixed.frac for fixed in matrix.formats)
    lefts = np.array([finest - fixed.frac for fixed in matrix.formats])
    rows = d.value << np.repeat(lefts, d.value.shape[-1] // len(lefts))
    return Part(exact(rows, matrix.matrix.to_dense()), d.exponent - finest)


def kept(matrix: LayerMatrix, d: Sequence[Part], vectors: Any, frac: int) -> Gradient:
    """Sums over time and lanes of gradient times vector, at the kept places."""
    low = min(part.exponent for part in d)
    csb, dense = matrix.matrix, np.zeros((1, 1), np.int64)
    for part, vector in zip(d, vectors, strict=False):
        dense = dense + (exact(part.value.T, np.asarray(vector)) << (part.exponent - low))
    real = csb.column_indices < csb.geometry.columns
    columns = np.where(real, csb.column_indices, 0)
    rows = np.arange(csb.geometry.rows)[:, None, None]
    return Gradient(np.where(real, dense[rows, columns], 0), low - frac)
