"""The network on integers, compiled: bit for bit :class:`engine.reference.IntegerModel`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from csb_format import Csb, Fixed, IntArray, LstmLayer, Model, Projection
from csb_format.cells.lstm import CellArithmetic
from csb_format.cells.piecewise import GUARD_BITS
from csb_format.scales import Scales

from .kernels.exact_loops import (
    LANES,
    UNROLL,
    Activation,
    LayerTables,
    finish_cells,
    finish_projection,
    run_one,
    run_tile,
)
from .kernels.product_loops import Rows
from .products import IntegerProduct, row_major
from .reference import Trace

__all__ = ["FastModel", "State"]

_EXACT_PRODUCT_SUM = 1 << 53  # float64
_EXACT_STATE_BITS = 25  # float32, the sign included


@dataclass(frozen=True)
class State:
    """What a network keeps between two steps, of B sequences.

    Parameters
    ----------
    layers : tuple of Trace
        Hidden, cell and output state of every layer, int64 arrays (B, H), (B, H), (B, R).
    """

    layers: tuple[Trace, ...]

    @property
    def output(self) -> IntArray:
        """Output of the last layer, int64 array (B, R)."""
        return self.layers[-1].output


class _Place(NamedTuple):
    """Direction of a layer, and where its columns begin in hidden (and cell) and output."""

    reverse: bool = False
    hidden: int = 0
    output: int = 0


class _Layer:
    """One layer as tables for the compiled loops."""

    def __init__(self, layer: LstmLayer, name: str):
        self.layer, self.name = layer, name
        self.tables = _tables(layer, name)
        formats = (layer.input, layer.output)
        bounds = [_bound(m, f) for m, f in zip(_matrices(layer), formats, strict=True)]
        if layer.projection is not None:
            bounds.append(_bound(layer.projection.weight, layer.hidden))
        self.tiled = max(bounds) < _EXACT_PRODUCT_SUM and all(
            f.width <= _EXACT_STATE_BITS for f in formats
        )
        self._products = _products(layer)

    @property
    def bytes(self) -> int:
        if self._products:
            return sum(product.bytes for product in self._products)
        rows = (self.tables.ih, self.tables.hh, self.tables.hr)
        return sum(part.nbytes for matrix in rows for part in matrix)

    def zeros(self, batch: int) -> Trace:
        sizes = (self.layer.hidden_size, self.layer.hidden_size, self.layer.output_size)
        return Trace(*(np.zeros((batch, size), np.int64) for size in sizes))

    def run(
        self, frames: IntArray, ends: IntArray, start: Trace, results: Trace, place: _Place
    ) -> None:
        """Fill the columns of one direction; sequences lie one after the other in frames."""
        lengths = np.diff(ends, prepend=0)
        order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
        step = LANES if self.tiled and len(order) > 1 else 1
        rest = ((place.hidden, place.output), results.hidden, results.cell, results.output)
        for n in range(0, len(order), step):
            some = order[n : n + step]
            first, end, r, c = ends[some] - lengths[some], ends[some], start.output, start.cell
            if len(some) > 1:
                state = (r[some], c[some])
                run_tile(self.tables, frames, (first, end), place.reverse, state, *rest)
            else:
                span, state = (int(first[0]), int(end[0])), (r[some[0]].copy(), c[some[0]].copy())
                if self._products:
                    self._run_alone(frames, span, state, results, place)
                else:
                    run_one(self.tables, frames, span, place.reverse, state, *rest)

    def _run_alone(
        self,
        frames: IntArray,
        span: tuple[int, int],
        state: tuple[IntArray, IntArray],
        results: Trace,
        place: _Place,
    ) -> None:
        """As :func:`run_one`, with products that read banks in registers."""
        ih, hh, *hr = self._products
        (r, c), sums = state, [np.zeros(p.padded_rows, np.int64) for p in self._products]
        h = np.zeros(len(c), np.int64)
        units = slice(place.hidden, place.hidden + len(c))
        outputs = slice(place.output, place.output + len(r))
        for t in reversed(range(*span)) if place.reverse else range(*span):
            ih.add(frames[t], sums[0])
            hh.add(r, sums[1])
            finish_cells(self.tables, sums[0], sums[1], c, h)
            if hr:
                hr[0].add(h, sums[2])
                finish_projection(self.tables, sums[2], r)
            else:
                r[:] = h
            results.hidden[t, units] = h
            results.cell[t, units] = c
            results.output[t, outputs] = r


class FastModel:
    """A whole network in compiled loops on one core.

    Sequences run in tiles of 32 lanes, with products summed in float64 where every sum
    stays below 2**53 and every state below 2**24; a model of wider formats in int64. One
    alone takes the products of :class:`engine.products.IntegerProduct` where they can read
    all banks in registers, else int64. The first call of a process compiles (some seconds)
    or reads what an earlier one compiled: numba keeps it in ``__pycache__`` beside the
    source, or in the user's cache folder (``NUMBA_CACHE_DIR``) where that is read-only.

    Parameters
    ----------
    model : Model

    Raises
    ------
    DesignError
        If the products of a layer lie too far apart; see :class:`csb_format.scales.Scales`.
    ValueError
        If a sum could leave 64 bits.
    """

    def __init__(self, model: Model):
        self.model = model
        names = (f"layer {n}" for n in range(len(model.layers)))
        layers = [_Layer(layer, name) for layer, name in zip(model.layers, names, strict=True)]
        step = model.directions
        self._levels = [layers[n : n + step] for n in range(0, len(layers), step)]

    @property
    def input(self) -> Fixed:
        """Format of input frames."""
        return self.model.layers[0].input

    @property
    def bytes(self) -> int:
        """Bytes of weights and indices that a step of one sequence reads."""
        layers = (layer for level in self._levels for layer in level)
        return sum(layer.bytes for layer in layers)

    def run(self, sequences: Sequence[npt.ArrayLike]) -> list[Trace]:
        """All states of many sequences, each from a zero state.

        Parameters
        ----------
        sequences : sequence of int arrays (T_i, X)
            In the first layer's input format.

        Returns
        -------
        list of Trace
            Of the last layer, equal to those of :meth:`~engine.reference.IntegerModel.run`.

        Raises
        ------
        ValueError
            For another shape, a dtype that is not integer, or values outside the format.
        """
        if not len(sequences):
            return []
        size = self.model.layers[0].input_size
        checked = [_checked(f"sequence {n}", s, size, self.input) for n, s in enumerate(sequences)]
        ends = np.cumsum([len(s) for s in checked])
        frames = np.concatenate(checked)
        for level in self._levels:
            results = _side_by_side(level, frames, ends)
            frames = results.output
        return _cut(results, ends)

    def start(self, batch: int = 1) -> State:
        """The zero state of ``batch`` sequences.

        Raises
        ------
        ValueError
            For a bidirectional model, whose reverse layers start at the end.
        """
        if self.model.directions != 1:
            raise ValueError(
                f"the model has {self.model.directions} directions: it cannot run step by step; "
                "give whole sequences to run()"
            )
        if batch < 1:
            raise ValueError(f"batch {batch}: must be at least 1")
        return State(tuple(level[0].zeros(batch) for level in self._levels))

    def step(self, x: npt.ArrayLike, state: State) -> State:
        """One step of B sequences through all layers.

        Parameters
        ----------
        x : int array (B, X)
            In the first layer's input format.
        state : State
            Of :meth:`start` or of the step before; it is left as it is.

        Raises
        ------
        ValueError
            For another shape, a dtype that is not integer, or values outside the formats.
        """
        if len(state.layers) != len(self._levels) or self.model.directions != 1:
            raise ValueError(
                f"a state of {len(state.layers)} layers for {len(self.model.layers)} layers in "
                f"{self.model.directions} directions: take it from start() of this model"
            )
        frames = _checked("x", x, self.model.layers[0].input_size, self.input)
        new = []
        for level, old in zip(self._levels, state.layers, strict=True):
            new.append(_advance(level[0], frames, old))
            frames = new[-1].output
        return State(tuple(new))


def _advance(layer: _Layer, frames: IntArray, old: Trace) -> Trace:
    batch, formats = len(frames), layer.layer
    output = _checked(f"output of {layer.name}", old.output, formats.output_size, formats.output)
    state = CellArithmetic(formats.hidden.width).state
    cell = _checked(f"cell of {layer.name}", old.cell, formats.hidden_size, state)
    if len(output) != batch or len(cell) != batch:
        raise ValueError(
            f"x holds {batch} sequences, the state of {layer.name} {len(output)}: "
            f"take it from start({batch})"
        )
    new = layer.zeros(batch)
    layer.run(frames, np.arange(1, batch + 1), Trace(old.hidden, cell, output), new, _Place())
    return new


def _side_by_side(level: list[_Layer], frames: IntArray, ends: IntArray) -> Trace:
    """Results (F, D * H) and (F, D * R) of a layer, or of a forward and a reverse one."""
    first = level[0].layer
    places = [_Place(), _Place(True, first.hidden_size, first.output_size)]
    hidden, output = (
        sum(getattr(one.layer, name) for one in level) for name in ("hidden_size", "output_size")
    )
    results = Trace(*(np.empty((len(frames), n), np.int64) for n in (hidden, hidden, output)))
    for one, place in zip(level, places, strict=False):
        one.run(frames, ends, one.zeros(len(ends)), results, place)
    return results


def _cut(results: Trace, ends: IntArray) -> list[Trace]:
    """Traces of the sequences, views of all results."""
    parts = (np.split(a, ends[:-1]) for a in (results.hidden, results.cell, results.output))
    return [Trace(*of) for of in zip(*parts, strict=True)]


def _checked(name: str, array: npt.ArrayLike, size: int, fixed: Fixed) -> IntArray:
    """An int64 array (any, size) in C order, within a format."""
    given = np.asarray(array)
    if given.ndim != 2 or given.shape[1] != size:
        raise ValueError(f"{name} has shape {given.shape}: it must be (any number, {size})")
    if given.dtype.kind not in "iu":
        raise ValueError(f"{name} has dtype {given.dtype}: quantise it to integers first")
    low, high = given.min(initial=0), given.max(initial=0)
    if low < fixed.min or high > fixed.max:
        bad = int(low) if low < fixed.min else int(high)
        raise ValueError(
            f"{name} holds {bad}: its format {fixed} holds {fixed.min} to {fixed.max}; "
            "quantise it to this format"
        )
    return np.ascontiguousarray(given, np.int64)


def _matrices(layer: LstmLayer) -> tuple[Csb, Csb]:
    return layer.weight_ih, layer.weight_hh


def _bound(matrix: Csb, vector: Fixed) -> int:
    """Largest magnitude of a sum of products."""
    rows = np.abs(matrix.values.astype(np.int64)).sum(axis=(1, 2))
    return int(rows.max()) << (vector.width - 1)


def _products(layer: LstmLayer) -> list[IntegerProduct]:
    """Products of one vector of int16 in registers; none if not all can be had."""
    order = _unit_major(layer)
    given = [
        (_reordered(layer.weight_ih, order), layer.input),
        (_reordered(layer.weight_hh, order), layer.output),
    ]
    if layer.projection is not None:
        given.append((layer.projection.weight, layer.hidden))
    if any(f.width > 16 for _, f in given):
        return []
    made = [IntegerProduct(matrix, fixed.width) for matrix, fixed in given]
    return made if all(p.permutes for p in made) else []


def _unit_major(layer: LstmLayer) -> IntArray:
    """Rows of the gates in the order unit, gate."""
    return np.arange(4 * layer.hidden_size).reshape(4, -1).T.ravel()


def _reordered(matrix: Csb, order: IntArray) -> Csb:
    return Csb(matrix.geometry, matrix.values[order], matrix.indices[order])


def _tables(layer: LstmLayer, name: str) -> LayerTables:
    arithmetic, scales = CellArithmetic(layer.hidden.width), Scales.of(layer)
    bounds = [
        _bound(m, f) for m, f in zip(_matrices(layer), (layer.input, layer.output), strict=True)
    ]
    gates = zip(scales.align_ih, scales.align_hh, scales.shift, strict=True)
    for left_ih, left_hh, right in gates:
        _check_sum(name, (bounds[0] << left_ih) + (bounds[1] << left_hh), right)
    left, right, largest = _projection(layer.projection, layer.hidden, name)
    order = _unit_major(layer)
    return LayerTables(
        _rows(layer.weight_ih, order),
        _rows(layer.weight_hh, order),
        _rows(None if layer.projection is None else layer.projection.weight),
        layer.bias[order],
        np.array(scales.align_ih, np.int64),
        np.array(scales.align_hh, np.int64),
        np.array(scales.shift, np.int64),
        left,
        right,
        largest,
        _activation(arithmetic),
    )


def _projection(projection: Projection | None, hidden: Fixed, name: str) -> tuple[int, int, int]:
    """Left shift, right shift and largest result of a projection."""
    if projection is None:
        return 0, 0, 0
    shift = projection.weight_format.frac + hidden.frac - projection.output.frac
    left, right = max(0, -shift), max(0, shift)
    _check_sum(f"the projection of {name}", _bound(projection.weight, hidden) << left, right)
    return left, right, projection.output.max


def _check_sum(name: str, bound: int, shift: int) -> None:
    if shift > 63 or bound + (1 << shift >> 1) >= 1 << 63:
        raise ValueError(
            f"a sum of {name} can reach {bound} and is shifted right by {shift}: it must fit "
            "64 bits; use narrower formats or fewer fraction bits"
        )


def _rows(csb: Csb | None, order: IntArray | None = None) -> Rows:
    if csb is None:
        return Rows(np.zeros((0, UNROLL), np.int32), np.zeros((0, UNROLL), np.uint16))
    return row_major(csb, csb.values, order, UNROLL)


def _activation(arithmetic: CellArithmetic) -> Activation:
    table = arithmetic.piecewise
    base, rise = table.table
    return Activation(
        base,
        rise,
        (1 << table.magnitude_bits) - 1,
        table.offset_bits,
        table.table_frac,
        GUARD_BITS,
        arithmetic.gate.frac,
        arithmetic.gate.frac - arithmetic.state.frac,
        arithmetic.state.max,
    )
