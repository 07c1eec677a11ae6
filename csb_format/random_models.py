"""Random models: material for tests, benchmarks and regressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from . import Csb, DenseLayer, Fixed, GateFormats, Geometry, IntArray, LstmLayer, Model, Projection
from .balance import row_nonzeros
from .cells import LSTM, cell_named
from .cells.cell import Cell, reaches_of
from .cells.lstm import CellArithmetic
from .csb import BoolArray
from .heads.mlp import MlpHead
from .precision import Precision

__all__ = ["demo_sized", "random_frames", "random_model", "random_network"]

Kept = int | tuple[int, ...]  # weights in a bank, of all gates or of each


def random_model(
    rng: np.random.Generator,
    input_size: int,
    hidden_size: int,
    banks: int,
    k_ih: int,
    k_hh: int,
    value_bits: int = Precision.value_bits,
    act_bits: int = Precision.act_bits,
    head: int | None = None,
    *,
    hidden: Sequence[int] = (),
) -> Model:
    """One bank-balanced LSTM layer with uniform random weights and random formats.

    Binary points are drawn too, so that the two products have to be aligned, and so that
    most gates leave the middle of their range but few stay saturated.

    Parameters
    ----------
    rng : numpy Generator
        The same state gives the same model.
    input_size, hidden_size : int
        X and H.
    banks : int
        Banks of both matrices, 1..min(X, H).
    k_ih, k_hh : int
        Weights kept in a bank, 0..bank width.
    value_bits : int
        Width of weights, 4..18.
    act_bits : int
        Width of inputs, gates and hidden state, 6..18.
    head : int, optional
        Classes of a classifier; none by default.
    hidden : sequence of int
        Outputs of linear layers before it, each with a ReLU behind it; none by default.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If the sizes make no :class:`~csb_format.geometry.Geometry`; the message says why.
    """
    arithmetic = CellArithmetic(act_bits)
    gate, state = arithmetic.gate, arithmetic.state
    # sums of n products grow with the root of n
    spread = (banks * max(k_ih, k_hh, 1)).bit_length() // 2
    fractions = value_bits - 1 + spread + rng.integers(0, 3, (2, 4))
    layer = LstmLayer(
        _matrix(rng, Geometry(4 * hidden_size, input_size, banks, k_ih, value_bits)),
        _matrix(rng, Geometry(4 * hidden_size, hidden_size, banks, k_hh, value_bits)),
        rng.integers(state.min // 8, state.max // 8 + 1, 4 * hidden_size),
        Fixed(act_bits, act_bits - 1 - int(rng.integers(0, 3))),
        gate,
        _gate_formats(value_bits, fractions[0].tolist()),
        _gate_formats(value_bits, fractions[1].tolist()),
        state,
    )
    heads = () if head is None else (hidden_size, *hidden, head)
    classifier = _head(rng, heads, value_bits, gate) if heads else None
    return Model((layer,), classifier, {"source": "random"})


def random_network(
    rng: np.random.Generator,
    input_size: int,
    hidden_size: int,
    banks: int | tuple[int, int, int],
    k: tuple[Kept, Kept, Kept],
    layers: int = 1,
    directions: int = 1,
    projection: int = 0,
    value_bits: int = Precision.value_bits,
    act_bits: int = Precision.act_bits,
    head: int | None = None,
    cell: str = LSTM,
    reach: int | Sequence[int] = Precision.reach,
    hidden: Sequence[int] = (),
) -> Model:
    """Stacked, bidirectional and projected layers with random weights and formats.

    Parameters
    ----------
    rng : numpy Generator
        The same state gives the same model.
    input_size, hidden_size : int
        X and H; layers after the first take all outputs of the one before.
    banks : int or tuple of 3 int
        Banks of ``weight_ih``, ``weight_hh`` and ``weight_hr``, 1 to
        :func:`csb_format.geometry.most_banks`.
    k : tuple of 3 int
        Weights kept in a bank of each; fewer in a matrix whose banks are narrower. A tuple in
        the place of a number is of the gates.
    layers, directions : int
        Levels, and 1 or 2 directions of each.
    projection : int
        P, elements of a layer's output; 0 for no projection.
    value_bits, act_bits : int
        Width of weights, 4..18, and of inputs, gates and states, 6..18.
    head : int, optional
        Classes of a classifier; none by default.
    cell : str
        A name of ``csb_format.cells.CELLS``.
    reach : int or sequence of int
        Of its states, of all layers or of each; see :class:`csb_format.cells.cell.Cell`.
    hidden : sequence of int
        Outputs of linear layers before the classifier, each with a ReLU behind it.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If the sizes make no :class:`~csb_format.geometry.Geometry`; the message says why.
    """
    given = (banks, banks, banks) if isinstance(banks, int) else banks
    reaches = reaches_of(reach, layers * directions)
    arithmetic = cell_named(cell)(act_bits, reaches[0])
    recipe = _Recipe(rng, hidden_size, given, k, projection, value_bits, arithmetic)
    output = recipe.output_format()
    made, size, fixed = [], input_size, recipe.drawn_format()
    for level in range(layers):
        for one in reaches[level * directions : (level + 1) * directions]:
            made.append(recipe.reaching(one).layer(size, fixed, output))
        size, fixed = directions * (projection or hidden_size), output
    heads = () if head is None else (size, *hidden, head)
    classifier = _head(rng, heads, value_bits, output) if heads else None
    return Model(tuple(made), classifier, {"source": "random"}, directions)


@dataclass(frozen=True)
class _Recipe:
    """What all layers of a network share."""

    rng: np.random.Generator
    hidden_size: int
    banks: tuple[int, int, int]
    k: tuple[Kept, Kept, Kept]
    projection: int
    value_bits: int
    cell: Cell

    def reaching(self, reach: int) -> _Recipe:
        """The same for a layer of another reach."""
        return replace(self, cell=replace(self.cell, reach=reach))

    def drawn_format(self) -> Fixed:
        bits = self.cell.act_bits
        return Fixed(bits, bits - 1 - int(self.rng.integers(0, 3)))

    def output_format(self) -> Fixed:
        return self.drawn_format() if self.projection else self.cell.gate

    def layer(self, size: int, given: Fixed, output: Fixed) -> LstmLayer:
        arithmetic, state = self.cell, self.cell.state
        rows = len(arithmetic.gate_names) * self.hidden_size
        biases = len(arithmetic.sums) * self.hidden_size
        ih, hh = self._geometry(0, rows, size), self._geometry(1, rows, self._output_size)
        return LstmLayer(
            _matrix(self.rng, ih),
            _matrix(self.rng, hh),
            self.rng.integers(state.min // 8, state.max // 8 + 1, biases),
            given,
            arithmetic.gate,
            self._formats(ih, hh),
            self._formats(ih, hh),
            state,
            self._projected(output) if self.projection else None,
            arithmetic.name,
        )

    @property
    def _output_size(self) -> int:
        return self.projection or self.hidden_size

    def _geometry(self, which: int, rows: int, columns: int) -> Geometry:
        banks = self.banks[which]
        k, width = self.k[which], -(-columns // banks)
        parts = [min(each, width) for each in ((k,) if isinstance(k, int) else k)]
        return Geometry.of_parts(rows, columns, banks, parts, self.value_bits)

    def _formats(self, *matrices: Geometry) -> GateFormats:
        # sums of n products grow with the root of n
        spread = max(max(g.banks * g.nonzeros, 1) for g in matrices).bit_length() // 2
        drawn = self.value_bits - 1 + spread + self.rng.integers(0, 3, len(self.cell.gate_names))
        return _gate_formats(self.value_bits, drawn.tolist())

    def _projected(self, output: Fixed) -> Projection:
        g = self._geometry(2, self.projection, self.hidden_size)
        spread = max(g.banks * g.nonzeros, 1).bit_length() // 2
        weight = Fixed(self.value_bits, self.value_bits - 2 + spread)
        return Projection(_matrix(self.rng, g), weight, output)


def random_frames(rng: np.random.Generator, model: Model, lengths: list[int]) -> list[IntArray]:
    """Sequences of uniform random input frames.

    Parameters
    ----------
    rng : numpy Generator
    model : Model
    lengths : list of int
        Frames of every sequence.

    Returns
    -------
    list of int64 arrays (T_i, X)
        In the first layer's input format, both extremes included.
    """
    layer = model.layers[0]
    low, high = layer.input.min, layer.input.max + 1
    return [rng.integers(low, high, (length, layer.input_size)) for length in lengths]


def _gate_formats(value_bits: int, fractions: list[int]) -> GateFormats:
    return tuple(Fixed(value_bits, frac) for frac in fractions)


def _matrix(rng: np.random.Generator, geometry: Geometry) -> Csb:
    half = 1 << (geometry.value_bits - 1)
    dense = rng.integers(-half, half, (geometry.rows, geometry.columns))
    mask = _mask(rng, geometry)
    return Csb.pack(np.where(mask, dense, 0), geometry, mask)


def _mask(rng: np.random.Generator, geometry: Geometry) -> BoolArray:
    """Random columns of every bank, as many as it keeps, real ones before padding."""
    g = geometry
    rank = rng.random((g.rows, g.padded_columns))
    rank[:, g.columns :] = 2.0
    banked = rank.reshape(g.rows, g.banks, g.bank_width)
    order = np.argsort(np.argsort(banked, axis=2), axis=2)
    kept = row_nonzeros(g)
    mask: BoolArray = (order < kept[:, None, None]).reshape(g.rows, -1)[:, : g.columns]
    return mask


def _head(
    rng: np.random.Generator, sizes: Sequence[int], value_bits: int, given: Fixed
) -> DenseLayer:
    """A classifier, or several linear layers of these inputs and outputs."""
    layers = list[DenseLayer]()
    for inputs, outputs in pairwise(sizes):
        if layers:
            given = Fixed(given.width, given.width - 1 - int(rng.integers(0, 3)))
        layers.append(_dense(rng, outputs, inputs, value_bits, given))
    return MlpHead.of(*layers) if layers[1:] else layers[0]


def _dense(
    rng: np.random.Generator, outputs: int, inputs: int, value_bits: int, given: Fixed
) -> DenseLayer:
    weight = Fixed(value_bits, value_bits - 1)
    return DenseLayer(
        rng.integers(weight.min, weight.max + 1, (outputs, inputs)),
        weight,
        given,
        rng.integers(given.min, given.max + 1, outputs) << weight.frac - 1,
    )


def demo_sized() -> Model:
    """A model of the demo's geometry: 12 inputs, 128 units, 8 banks, 1 of 2 and 2 of 16 kept."""
    return random_model(np.random.default_rng(0), 12, 128, banks=8, k_ih=1, k_hh=2)
