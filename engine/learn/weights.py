"""Weights that move: what is kept of a model besides its formats and masks, and its masters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from csb_format.csb import Csb
from csb_format.fixed import IntArray, round_shift, saturate
from csb_format.model import DenseLayer, LstmLayer, Model

from .crossed import crossed
from .integers import GAMMA, Generator, Move, Rate, Real, move, place_of, start_of
from .tape import Gradient

__all__ = ["MASTER_BITS", "Masters", "Tensor", "tensors_of"]

MASTER_BITS = 8  # below the last bit of a weight
HEAD_BIAS_BITS = 48


@dataclass(frozen=True)
class Tensor:
    """A tensor of weights or biases.

    Parameters
    ----------
    name : str
        As a model file has it: ``layers.0.weight_ih``.
    bits : int
        Width of its numbers.
    fracs : tuple of int
        Fraction bits, of each equal part of its rows.
    values : int64 array
        Of a matrix (rows, nonzeros, banks).
    real : bool array, or None
        Where there is a kept weight, in that shape; None: everywhere.
    """

    name: str
    bits: int
    fracs: tuple[int, ...]
    values: IntArray
    real: npt.NDArray[np.bool_] | None = None


def tensors_of(model: Model) -> Iterator[Tensor]:
    """All of a model, those of the head last."""
    for n, layer in enumerate(model.layers):
        for matrix in layer.matrices:
            csb, name = matrix.matrix, f"layers.{n}.{matrix.name}"
            fracs = tuple(fixed.frac for fixed in matrix.formats)
            real = csb.column_indices < csb.geometry.columns
            yield Tensor(name, matrix.formats[0].width, fracs, csb.values.astype(np.int64), real)
        yield Tensor(f"layers.{n}.bias", layer.state.width, (layer.state.frac,), layer.bias)
    if (head := model.head) is not None:
        frac = head.weight_format.frac
        yield Tensor("head.weight", head.weight_format.width, (frac,), head.weight)
        yield Tensor("head.bias", HEAD_BIAS_BITS, (frac + head.input.frac,), head.bias)


class Masters:
    """Masters of the tensors that a training moves, and the model that they make.

    A master has ``MASTER_BITS`` more than its weight; the weight is the master rounded.

    Parameters
    ----------
    model : Model
    moves : tuple of str
        Beginnings of the names of the tensors that move.
    """

    def __init__(self, model: Model, moves: tuple[str, ...]):
        self.start = model
        self.tensors = {t.name: t for t in tensors_of(model) if t.name.startswith(moves)}
        self.order = [t.name for t in tensors_of(model)]
        self.values = {name: t.values << MASTER_BITS for name, t in self.tensors.items()}

    def weight(self, name: str) -> IntArray:
        """Numbers of a tensor as they are now, int64."""
        return saturate(round_shift(self.values[name], MASTER_BITS), self.tensors[name].bits)

    def update(
        self,
        gradients: dict[str, Gradient],
        rate: Rate,
        seed: int,
        step: int,
        move: Callable[[IntArray, IntArray, Real, Move], None] = move,
        generator: Generator = "splitmix",
    ) -> None:
        """Move all tensors that have a gradient."""
        for name, gradient in gradients.items():
            tensor, masters = self.tensors[name], self.values[name].reshape(-1)
            start = start_of(seed, step, self.order.index(name))
            sums, size = gradient.sums.reshape(-1), masters.size // len(tensor.fracs)
            real = None if tensor.real is None else tensor.real.reshape(-1)
            dice = None
            if generator == "crossed":
                dice = crossed(start, tensor.values.shape).reshape(-1)
            for n, frac in enumerate(tensor.fracs):  # parts of the rows may differ
                part = slice(n * size, (n + 1) * size)
                down = -(gradient.exponent + frac + MASTER_BITS)
                begin = (start + n * size * GAMMA) & ((1 << 64) - 1)
                rolled = None if dice is None else dice[part]
                bits = tensor.bits + MASTER_BITS
                by = Move(place_of(down, rate), rate.factor, bits, begin, rolled)
                move(masters[part], sums[part], None if real is None else real[part], by)

    def model(self) -> Model:
        """The model with the weights of now: masks, formats and geometry are those it had."""
        layers = tuple(self._layer(n, layer) for n, layer in enumerate(self.start.layers))
        return replace(self.start, layers=layers, head=self.head())

    def layer(self, n: int) -> LstmLayer:
        """A layer with the weights of now."""
        return self._layer(n, self.start.layers[n])

    def _layer(self, n: int, layer: LstmLayer) -> LstmLayer:
        found = {m.name: self._csb(f"layers.{n}.{m.name}", m.matrix) for m in layer.matrices}
        bias = f"layers.{n}.bias"
        projection = layer.projection
        if projection is not None:
            projection = replace(projection, weight=found.pop("weight_hr"))
        new = self.weight(bias) if bias in self.values else layer.bias
        ih, hh = found["weight_ih"], found["weight_hh"]
        return replace(layer, weight_ih=ih, weight_hh=hh, bias=new, projection=projection)

    def _csb(self, name: str, old: Csb) -> Csb:
        if name not in self.values:
            return old
        return Csb(old.geometry, self.weight(name).astype(np.int32), old.indices)

    def head(self) -> DenseLayer | None:
        """The head with the weights of now."""
        head = self.start.head
        if head is None or "head.weight" not in self.values:
            return head
        weight, bias = self.weight("head.weight"), self.weight("head.bias")
        return replace(head, weight=weight, bias=bias, row_bits=0)  # rows have learnt other bits
