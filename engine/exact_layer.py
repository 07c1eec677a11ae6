"""One layer of the compiled model: its tables, and which of its loops runs which sequences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from csb_format import Csb, Fixed, IntArray, LstmLayer, Projection
from csb_format.balance import row_nonzeros
from csb_format.cells.cell import Cell
from csb_format.cells.gru import GruCell, ResetFirstGruCell
from csb_format.cells.piecewise import GUARD_BITS
from csb_format.geometry import Geometry
from csb_format.scales import Scales

from .kernels.cell_loops import GRU, LSTM, RESET_FIRST, Activation, Cells
from .kernels.exact_loops import (
    LANES,
    UNROLL,
    Matrices,
    Results,
    Runs,
    Tile,
    run_rows,
    run_tile,
    run_tiles,
)
from .kernels.lanes import WIDTH
from .kernels.product_loops import MANY, Rows, Tiles
from .products import IntegerProduct, row_major
from .reference import Trace

__all__ = ["ExactLayer", "Place"]


class Place(NamedTuple):
    """Direction of a layer, and where its columns begin in hidden (and cell) and output."""

    reverse: bool = False
    hidden: int = 0
    output: int = 0


_HERE = Place()


class _Types(NamedTuple):
    """Numbers that sequences side by side are computed in, and what they hold exactly."""

    state: npt.DTypeLike
    sum: npt.DTypeLike
    bits: int  # of a state, the sign included
    bound: int  # what a sum of products must stay below


_SHORT = _Types(np.int16, np.int32, 16, 1 << 31)
_FLOAT = _Types(np.float32, np.float64, 25, 1 << 53)


@dataclass(frozen=True)
class _Costs:
    """Nanoseconds of a step of a layer, of which only the ratio of the two ways counts.

    Parameters
    ----------
    call, entry, unit : float
        Of a step as such, of each entry of its matrices and of each of its units.
    lane_entry, lane_unit : float
        More for each lane.
    """

    call: float
    entry: float
    unit: float
    lane_entry: float = 0.0
    lane_unit: float = 0.0

    def of(self, entries: int, units: int, lanes: int) -> float:
        return (
            self.call
            + entries * (self.entry + lanes * self.lane_entry)
            + units * (self.unit + lanes * self.lane_unit)
        )


# Fitted to ``python -m bench.speed exact-model``, whose figures are in bench/results/speed.json.
_ALONE = _Costs(call=2500, entry=0.03, unit=5)
_MANY = _Costs(call=2500, entry=0.05, unit=32)  # sequences at once, in registers
_ALONE_PLAIN = _Costs(call=2000, entry=0.27, unit=10)
#: Loops of the cells.
_KINDS = {GruCell.name: GRU, ResetFirstGruCell.name: RESET_FIRST}
_TILES = {
    _SHORT: _Costs(5500, 1.6, 0, 0.015, 10),
    _FLOAT: _Costs(5000, 1.1, 0, 0.043, 9),
}


class ExactLayer:
    """One layer as tables for the compiled loops.

    Parameters
    ----------
    layer : LstmLayer
    name : str
        For messages.

    Raises
    ------
    DesignError, ValueError
        As :class:`engine.exact.FastModel`.
    """

    def __init__(self, layer: LstmLayer, name: str):
        self.layer, self.name = layer, name
        #: Format of the states that are kept.
        self.kept = layer.arithmetic.kept
        self._cells, self._rows = _cells(layer, name), _all_rows(layer)
        self._products = _products(layer) if self._cost(_ALONE) < self._cost(_ALONE_PLAIN) else []
        self._tiles = _tiles(self._products)
        #: Numbers of sequences side by side; none where no pair holds them exactly.
        self.types = next((t for t in (_SHORT, _FLOAT) if _holds(t, layer)), None)
        #: Sequences that are faster side by side than one by one.
        self.fewest = self._fewest()

    @property
    def bytes(self) -> int:
        """Bytes of weights and indices that a step of one sequence reads."""
        if self._products:
            return sum(product.bytes for product in self._products)
        return sum(part.nbytes for matrix in self._rows for part in matrix)

    def zeros(self, batch: int) -> Trace:
        """The states of so many sequences before their first step."""
        sizes = (self.layer.hidden_size, self.layer.hidden_size, self.layer.output_size)
        return Trace(*(np.zeros((batch, size), np.int64) for size in sizes))

    def run(
        self, frames: IntArray, ends: IntArray, start: Trace, results: Trace, place: Place
    ) -> None:
        """Run sequences, which lie one after the other.

        Parameters
        ----------
        frames : int64 array (F, X)
        ends : int64 array (B,)
            Frame behind the last of each.
        start : Trace
            States (B, ...) before the first step.
        results : Trace
            States (F, ...); the columns of this direction are filled.
        place : Place
        """
        lengths = np.diff(ends, prepend=0)
        order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
        end = ends[order]
        states = start.output[order], start.cell[order]
        self._run(Runs(frames, end - lengths[order], end, *states, place.reverse), results, place)

    def step(self, frames: IntArray, r: IntArray, c: IntArray) -> Trace:
        """One step of B sequences.

        Parameters
        ----------
        frames, r, c : int64 arrays (B, X), (B, R), (B, H)
            Frame, recurrent and cell state of each; left as they are.

        Returns
        -------
        Trace
            The states afterwards.
        """
        first, end = _one_each(len(frames))
        new = Trace(np.empty_like(c), np.empty_like(c), np.empty_like(r))
        self._run(Runs(frames, first, end, r.copy(), c.copy(), False), new, _HERE)
        return new

    def _run(self, runs: Runs, results: Trace, place: Place) -> None:
        into = Results(results.hidden, results.cell, results.output, place.hidden, place.output)
        if self.fewest <= min(LANES, len(runs.first)):
            runs = self._side_by_side(runs, into)
        if self._tiles:
            run_tiles(self._cells, self._tiles, runs, into)
        else:
            run_rows(self._cells, *self._rows, runs, into)

    def _side_by_side(self, runs: Runs, results: Results) -> Runs:
        """Run sequences together as long as there are enough of them; what is left of each."""
        frames, first, end, r, c, reverse = runs
        done = np.zeros_like(first)
        for n in range(0, len(done) - self.fewest + 1, LANES):
            of = slice(n, n + LANES)
            some = Runs(frames, first[of], end[of], r[of], c[of], reverse)
            done[of] = self._run_tile(some, results)
        first, end = (first, end - done) if reverse else (first + done, end)
        left = first < end
        return Runs(frames, first[left], end[left], r[left], c[left], reverse)

    def _run_tile(self, runs: Runs, results: Results) -> IntArray:
        """Steps of each that were run; states of ``runs`` are then those behind them."""
        lengths = runs.end - runs.first
        steps = np.minimum(lengths, lengths[self.fewest - 1])
        first = runs.end - steps if runs.reverse else runs.first
        tile = self._tile(runs)
        given = runs._replace(first=first, end=first + steps)
        run_tile(self._cells, *self._rows, given, tile, results)
        runs.r[:], runs.c[:] = tile.r.T[: len(runs.r)], tile.c.T[: len(runs.c)]
        return np.asarray(steps, np.int64)

    def _tile(self, runs: Runs) -> Tile:
        assert self.types is not None
        lanes = -(-len(runs.first) // WIDTH) * WIDTH
        state, total = self.types.state, self.types.sum
        sizes = (self.layer.input_size, runs.r.shape[1], runs.c.shape[1], runs.c.shape[1])
        kinds = (state, state, np.int32, state)
        x, r, c, h = (np.zeros((n, lanes), kind) for n, kind in zip(sizes, kinds, strict=True))
        r[:, : len(runs.r)], c[:, : len(runs.c)] = runs.r.T, runs.c.T
        z = np.zeros((len(c) if self._cells.kind == RESET_FIRST else 0, lanes), state)
        return Tile(x, r, c, h, z, np.zeros(lanes, total))

    def _fewest(self) -> int:
        if self.types is None:
            return LANES + 1
        tile = _TILES[self.types]
        alone = self._cost(_MANY) / MANY if self._products else self._cost(_ALONE_PLAIN)
        counts = (n for n in range(2, LANES + 1) if self._cost(tile, n) < n * alone)
        return next(counts, LANES + 1)

    def _cost(self, costs: _Costs, lanes: int = 1) -> float:
        entries = sum(matrix.values.size for matrix in self._rows)
        return costs.of(entries, self.layer.hidden_size, lanes)


@cache
def _one_each(batch: int) -> tuple[IntArray, IntArray]:
    """First frames of so many sequences of one frame, and those behind them."""
    return np.arange(batch), np.arange(1, batch + 1)


def _holds(types: _Types, layer: LstmLayer) -> bool:
    """Whether states and sums of a layer are exact in these types."""
    formats = (layer.input, layer.output, layer.hidden)
    return max(f.width for f in formats) <= types.bits and max(_bounds(layer)) < types.bound


def _bound(matrix: Csb, vector: Fixed) -> int:
    """Largest magnitude of a sum of products."""
    rows = np.abs(matrix.values.astype(np.int64)).sum(axis=(1, 2))
    return int(rows.max()) << (vector.width - 1)


def _bounds(layer: LstmLayer) -> list[int]:
    """Largest magnitudes of sums, of the products with x, r and h where h is projected."""
    given = [(layer.weight_ih, layer.input), (layer.weight_hh, layer.output)]
    if layer.projection is not None:
        given.append((layer.projection.weight, layer.hidden))
    return [_bound(matrix, fixed) for matrix, fixed in given]


def _products(layer: LstmLayer) -> list[IntegerProduct]:
    """Products of one vector of int16 in registers; none if not all can be had."""
    ih, hh, hr = _matrices(layer)
    given = [(ih, layer.input), (hh, layer.output)]
    if hr is not None:
        given.append((hr, layer.hidden))
    if any(f.width > 16 for _, f in given):
        return []
    made = [IntegerProduct(matrix, fixed.width) for matrix, fixed in given]
    return made if all(p.permutes for p in made) else []


def _tiles(products: list[IntegerProduct]) -> Matrices | None:
    tables = [product.table for product in products if isinstance(product.table, Tiles)]
    if not tables:
        return None
    ih, hh, *hr = tables
    return Matrices(ih, hh, hr[0] if hr else hh._replace(rows=0))


def _all_rows(layer: LstmLayer) -> tuple[Rows, Rows, Rows]:
    """Of ih, hh and what follows them, which has no rows where there is nothing."""
    ih, hh, hr = _matrices(layer)
    return _rows(ih), _rows(hh), _rows(hr)


def _matrices(layer: LstmLayer) -> tuple[Csb, Csb, Csb | None]:
    """Those with x and r, and the one with what is made of them: a projection, or rows n."""
    waiting = layer.arithmetic.resets
    if waiting:
        first = waiting[0] * layer.hidden_size
        hh = _some_rows(layer.weight_hh, slice(first))
        return layer.weight_ih, hh, _some_rows(layer.weight_hh, slice(first, None))
    projection = None if layer.projection is None else layer.projection.weight
    return layer.weight_ih, layer.weight_hh, projection


def _some_rows(matrix: Csb, rows: slice) -> Csb:
    g = matrix.geometry
    kept = row_nonzeros(g)[rows]
    count = gcd(len(kept), g.split[0].rows)  # so many rows have one k
    parts = [int(k) for k in kept[::count]]
    shape = Geometry.of_parts(len(kept), g.columns, g.banks, parts, g.value_bits, g.bank_width)
    k = shape.nonzeros
    return Csb(shape, matrix.values[rows, :k], matrix.indices[rows, :k])


def _cells(layer: LstmLayer, name: str) -> Cells:
    arithmetic, scales = layer.arithmetic, Scales.of(layer)
    bounds = _bounds(layer)
    left_ih, left_hh = (
        [lefts[s.gate] for s in arithmetic.sums] for lefts in (scales.align_ih, scales.align_hh)
    )
    for s, left, also, right in zip(arithmetic.sums, left_ih, left_hh, scales.shift, strict=True):
        total = (bounds[0] << left) * s.input + (bounds[1] << also) * s.recurrent
        _check_sum(name, total, right)
    return Cells(
        np.ascontiguousarray(layer.bias, np.int64),
        np.array([left_ih, left_hh, scales.shift], np.int64),
        *_projection(layer.projection, layer.hidden, name),
        _activation(arithmetic),
        _KINDS.get(layer.cell, LSTM),
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


def _rows(csb: Csb | None) -> Rows:
    if csb is None:
        return Rows(np.zeros((0, UNROLL), np.int32), np.zeros((0, UNROLL), np.uint16))
    return row_major(csb, csb.values, UNROLL)


def _activation(arithmetic: Cell) -> Activation:
    table = arithmetic.piecewise
    return Activation(
        Activation.entries(*table.table),
        (1 << table.magnitude_bits) - 1,
        table.offset_bits,
        table.table_frac,
        GUARD_BITS,
        arithmetic.gate.frac,
        arithmetic.gate.frac - arithmetic.state.frac,
        arithmetic.state.max,
    )
