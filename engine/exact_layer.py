"""One layer of the compiled model: its tables, and which of its loops runs which sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from csb_format import Csb, Fixed, IntArray, LstmLayer, Projection
from csb_format.cells.lstm import CellArithmetic
from csb_format.cells.piecewise import GUARD_BITS
from csb_format.scales import Scales

from .kernels.exact_loops import (
    LANES,
    UNROLL,
    WIDTH,
    Activation,
    LayerTables,
    Tile,
    finish_cells,
    finish_projection,
    run_one,
    run_tile,
)
from .kernels.product_loops import MANY, Rows
from .products import IntegerProduct, row_major
from .reference import Trace

__all__ = ["ExactLayer", "Place"]


class Place(NamedTuple):
    """Direction of a layer, and where its columns begin in hidden (and cell) and output."""

    reverse: bool = False
    hidden: int = 0
    output: int = 0

    def columns(self, hidden: int, output: int) -> tuple[slice, slice]:
        """Columns of so many hidden and output elements."""
        return slice(self.hidden, self.hidden + hidden), slice(self.output, self.output + output)


class _Types(NamedTuple):
    """Numbers that sequences side by side are computed in, and what they hold exactly."""

    state: npt.DTypeLike
    sum: npt.DTypeLike
    bits: int  # of a state, the sign included
    bound: int  # what a sum of products must stay below


_SHORT = _Types(np.int16, np.int32, 16, 1 << 31)
_FLOAT = _Types(np.float32, np.float64, 25, 1 << 53)


class _Run(NamedTuple):
    """Sequences that one loop runs, the longest first: frames and states of each."""

    first: IntArray  # (B,)
    end: IntArray  # (B,), behind the last
    r: IntArray  # (B, R)
    c: IntArray  # (B, H)

    @property
    def steps(self) -> int:
        """Of the longest."""
        return int(self.end[0] - self.first[0])

    def frame(self, reverse: bool) -> int:
        """The first that the longest takes."""
        return int(self.end[0]) - 1 if reverse else int(self.first[0])

    def after(self, steps: int, reverse: bool, r: IntArray, c: IntArray, n: int) -> _Run:
        """What is left of the longest, with the states of row ``n``."""
        first, end = self.first[:1], self.end[:1]
        span = (first, end - steps) if reverse else (first + steps, end)
        return _Run(*span, r[n : n + 1], c[n : n + 1])


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
_ALONE = _Costs(call=8200, entry=0.025, unit=14)
_MANY = _Costs(call=15000, entry=0.04, unit=64)  # sequences at once, in registers
_ALONE_PLAIN = _Costs(call=0, entry=0.25, unit=35)
_TILES = {
    _SHORT: _Costs(5000, 1.6, 0, 0.016, 15),
    _FLOAT: _Costs(5000, 1.3, 0, 0.03, 17),
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
        self.tables = _tables(layer, name)
        self._products = _products(layer) if self._cost(_ALONE) < self._cost(_ALONE_PLAIN) else []
        #: Numbers of sequences side by side; none where no pair holds them exactly.
        self.types = next((t for t in (_SHORT, _FLOAT) if _holds(t, layer)), None)
        #: Sequences that are faster side by side than one by one.
        self.fewest = self._fewest()

    @property
    def bytes(self) -> int:
        """Bytes of weights and indices that a step of one sequence reads."""
        if self._products:
            return sum(product.bytes for product in self._products)
        rows = (self.tables.ih, self.tables.hh, self.tables.hr)
        return sum(part.nbytes for matrix in rows for part in matrix)

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
        for n in range(0, len(order), LANES):
            some = order[n : n + LANES]
            first = ends[some] - lengths[some]
            given = _Run(first, ends[some], start.output[some], start.cell[some])
            left = self._side_by_side(frames, given, results, place)
            for alone in self._in_registers(frames, left, results, place):
                self._alone(frames, alone, results, place)

    def _side_by_side(
        self, frames: IntArray, given: _Run, results: Trace, place: Place
    ) -> list[_Run]:
        """Run sequences together as long as there are enough of them; what is left of each."""
        each = [_Run(*(part[n : n + 1] for part in given)) for n in range(len(given.first))]
        if len(each) < self.fewest:
            return each
        steps = int((given.end - given.first)[self.fewest - 1])
        first, end = _spans(given, steps, place.reverse)
        lanes = self._tile(given)
        rest = ((place.hidden, place.output), results.hidden, results.cell, results.output)
        run_tile(self.tables, frames, (first, end), place.reverse, lanes, *rest)
        states = (lanes.r.T.astype(np.int64), lanes.c.T.astype(np.int64))
        left = (run.after(steps, place.reverse, *states, n) for n, run in enumerate(each))
        return [run for run in left if run.steps > 0]

    def _in_registers(
        self, frames: IntArray, given: list[_Run], results: Trace, place: Place
    ) -> list[_Run]:
        """Run ``MANY`` at a time, the longest, until fewer are left; what is left of those."""
        while self._products and len(given) >= MANY:
            given.sort(key=lambda run: run.steps)
            some, given = given[-MANY:], given[:-MANY]
            steps = some[0].steps
            states = self._run_many(frames, some, steps, results, place)
            later = (run.after(steps, place.reverse, *states, n) for n, run in enumerate(some))
            given += [run for run in later if run.steps]
        return given

    def _run_many(
        self, frames: IntArray, runs: list[_Run], steps: int, results: Trace, place: Place
    ) -> tuple[IntArray, IntArray]:
        """So many steps of ``MANY`` sequences; recurrent and cell states afterwards."""
        r, c = (
            np.concatenate(part) for part in zip(*((run.r, run.c) for run in runs), strict=True)
        )
        h, sums = (
            np.zeros_like(c),
            [np.zeros((MANY, p.padded_rows), np.int64) for p in self._products],
        )
        ih, hh, *hr = self._products
        at = np.array([run.frame(place.reverse) for run in runs])
        units, outputs = place.columns(c.shape[1], r.shape[1])
        for _ in range(steps):
            ih.add_many(frames[at], sums[0])
            hh.add_many(r, sums[1])
            for n in range(MANY):
                finish_cells(self.tables, sums[0][n], sums[1][n], c[n], h[n])
            if hr:
                hr[0].add_many(h, sums[2])
                for n in range(MANY):
                    finish_projection(self.tables, sums[2][n], r[n])
            else:
                r[:] = h
            results.hidden[at, units], results.cell[at, units] = h, c
            results.output[at, outputs] = r
            at += -1 if place.reverse else 1
        return r, c

    def _tile(self, given: _Run) -> Tile:
        assert self.types is not None
        lanes = -(-len(given.first) // WIDTH) * WIDTH
        state, total = self.types.state, self.types.sum
        sizes = (self.layer.input_size, given.r.shape[1], given.c.shape[1], given.c.shape[1])
        kinds = (state, state, np.int32, state)
        x, r, c, h = (np.zeros((n, lanes), kind) for n, kind in zip(sizes, kinds, strict=True))
        r[:, : len(given.r)], c[:, : len(given.c)] = given.r.T, given.c.T
        return Tile(x, r, c, h, np.zeros((4, lanes), np.int64), np.zeros(lanes, total))

    def _alone(self, frames: IntArray, given: _Run, results: Trace, place: Place) -> None:
        span = (int(given.first[0]), int(given.end[0]))
        state = (given.r[0].copy(), given.c[0].copy())
        if self._products:
            self._run_permuted(frames, span, state, results, place)
            return
        rest = ((place.hidden, place.output), results.hidden, results.cell, results.output)
        run_one(self.tables, frames, span, place.reverse, state, *rest)

    def _run_permuted(
        self,
        frames: IntArray,
        span: tuple[int, int],
        state: tuple[IntArray, IntArray],
        results: Trace,
        place: Place,
    ) -> None:
        """As :func:`run_one`, with products that read banks in registers."""
        ih, hh, *hr = self._products
        (r, c), sums = state, [np.zeros(p.padded_rows, np.int64) for p in self._products]
        h = np.zeros(len(c), np.int64)
        units, outputs = place.columns(len(c), len(r))
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

    def _fewest(self) -> int:
        if self.types is None:
            return LANES + 1
        tile = _TILES[self.types]
        alone = self._cost(_MANY) / MANY if self._products else self._cost(_ALONE_PLAIN)
        counts = (n for n in range(2, LANES + 1) if self._cost(tile, n) < n * alone)
        return next(counts, LANES + 1)

    def _cost(self, costs: _Costs, lanes: int = 1) -> float:
        rows = (self.tables.ih, self.tables.hh, self.tables.hr)
        return costs.of(sum(m.values.size for m in rows), self.layer.hidden_size, lanes)


def _spans(given: _Run, steps: int, reverse: bool) -> tuple[IntArray, IntArray]:
    """Frames of so many steps of each sequence, the first that it takes."""
    if reverse:
        return np.maximum(given.first, given.end - steps), given.end
    return given.first, np.minimum(given.end, given.first + steps)


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
    bounds = _bounds(layer)
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
