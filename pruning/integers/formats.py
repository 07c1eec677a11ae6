"""Which fixed-point formats every tensor and state of a network takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from csb_format.cells import cell_named
from csb_format.cells.cell import Cell, reach_of
from csb_format.cells.lstm import CellArithmetic
from csb_format.fixed import Fixed, IntArray, round_rows
from csb_format.heads.mlp import layers_of
from csb_format.model import LEAST_ROW_BITS, GateFormats, LstmLayer, Model

__all__ = [
    "HEAD_BIAS_BITS",
    "HEAD_BITS",
    "DenseFormats",
    "Ends",
    "Formats",
    "LayerFormats",
    "PerGate",
    "Ranges",
]

Ends = tuple[float, float]
PerGate = tuple[Fixed, ...]

HEAD_BITS = 16
_LEAST_HEAD_BITS = LEAST_ROW_BITS
HEAD_BIAS_BITS = 48


@dataclass(frozen=True)
class Ranges:
    """Largest magnitudes seen on calibration data.

    Parameters
    ----------
    input : float
        Of the frames.
    outputs : tuple of float
        Of what each level (both directions together) gives out.
    between : tuple of float
        Of what each linear layer of the head before its last gives, behind its ReLU.
    """

    input: float
    outputs: tuple[float, ...]
    between: tuple[float, ...] = ()


@dataclass(frozen=True)
class LayerFormats:
    """Formats of one direction of one layer; names as in :class:`~csb_format.model.LstmLayer`.

    Parameters
    ----------
    input, hidden, state, output : Fixed
        Of x, of h before a projection, of pre-activations, bias and cell state, and of the
        output and recurrent state.
    weight_ih, weight_hh : Fixed or tuple of Fixed
        One for all gates, or one for each.
    weight_hr : Fixed, optional
        Of the projection's weights.
    cell : str
        A name of ``csb_format.cells.CELLS``.
    """

    input: Fixed
    hidden: Fixed
    state: Fixed
    output: Fixed
    weight_ih: GateFormats
    weight_hh: GateFormats
    weight_hr: Fixed | None = None
    cell: str = CellArithmetic.name

    @classmethod
    def of_layer(cls, layer: LstmLayer) -> LayerFormats:
        """Formats of a quantised layer."""
        return cls(
            layer.input,
            layer.hidden,
            layer.state,
            layer.output,
            layer.weight_ih_format,
            layer.weight_hh_format,
            None if layer.projection is None else layer.projection.weight_format,
            layer.cell,
        )

    @property
    def arithmetic(self) -> Cell:
        """The cell in its integers."""
        return cell_named(self.cell)(self.hidden.width, reach_of(self.state))

    def gates(self, kind: str) -> PerGate:
        """Formats of all gates of ``"weight_ih"`` or ``"weight_hh"``."""
        found, gates = self.of(kind), len(cell_named(self.cell).gate_names)
        return (found,) * gates if isinstance(found, Fixed) else tuple(found)

    def of(self, kind: str) -> GateFormats:
        """Format of ``"weight_ih"``, ``"weight_hh"``, ``"weight_hr"`` (if any) or ``"bias"``."""
        found: GateFormats = self.state if kind == "bias" else getattr(self, kind)
        return found


class DenseFormats(NamedTuple):
    """Of a linear layer of a head.

    Parameters
    ----------
    weight, given : Fixed
        Of its weights, and of what it takes.
    """

    weight: Fixed
    given: Fixed

    @property
    def bias(self) -> Fixed:
        """Of its bias: that of its products, 48 bits wide."""
        return Fixed(HEAD_BIAS_BITS, self.weight.frac + self.given.frac)


@dataclass(frozen=True)
class Formats:
    """Formats of a whole network.

    Parameters
    ----------
    layers : tuple of LayerFormats
        In torch's order: ``l0``, ``l0_reverse``, ``l1``, ...
    head : Fixed, optional
        Of the classifier's weights.
    lowered : dict of str to int
        Fraction bits that a weight format gave up, beyond what its range needs, by parameter
        name (with ``.i``, ``.f``, ... where gates have their own formats).
    head_bits : int
        Leading bits of every row of the classifier that its weights are rounded to, 4..16.
    hidden : tuple of (Fixed, Fixed)
        Of linear layers before the classifier: weights, and what is behind their ReLU.
    """

    layers: tuple[LayerFormats, ...]
    head: Fixed | None
    lowered: dict[str, int]
    head_bits: int = HEAD_BITS
    hidden: tuple[tuple[Fixed, Fixed], ...] = ()

    def reaching(self, reach: int, layer: int | None = None) -> Formats:
        """The same with other states, of all layers or of one.

        ``reach`` as in :class:`csb_format.cells.cell.Cell`.
        """
        layers = list(self.layers)
        for n in range(len(layers)) if layer is None else (layer,):
            layers[n] = replace(layers[n], state=replace(layers[n].arithmetic, reach=reach).state)
        return replace(self, layers=tuple(layers))

    @classmethod
    def of_model(cls, model: Model) -> Formats:
        """Formats of a quantised model."""
        layers = tuple(LayerFormats.of_layer(layer) for layer in model.layers)
        if model.head is None:
            return cls(layers, None, {})
        linear = layers_of(model.head)
        bits = max(_head_bits(layer.weight) for layer in linear)
        hidden = tuple((one.weight_format, two.input) for one, two in pairwise(linear))
        return cls(layers, model.head.weight_format, {}, bits, hidden)

    @property
    def dense(self) -> tuple[DenseFormats, ...]:
        """Of the linear layers of the head in the order in which they run.

        Raises
        ------
        ValueError
            Without a head.
        """
        if self.head is None:
            raise ValueError("the formats have no head: choose them with the classifier")
        given = [self.layers[-1].output, *(output for _, output in self.hidden)]
        weights = [*(weight for weight, _ in self.hidden), self.head]
        return tuple(map(DenseFormats, weights, given))

    @property
    def head_bias(self) -> Fixed:
        """Format of the classifier's bias: that of its products, 48 bits wide."""
        return self.dense[-1].bias


def _head_bits(weight: IntArray) -> int:
    """The least leading bits of rows that hold a head's weights as they are."""
    for bits in range(_LEAST_HEAD_BITS, HEAD_BITS):
        if np.array_equal(round_rows(weight, bits), weight):
            return bits
    return HEAD_BITS
