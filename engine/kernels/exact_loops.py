"""Compiled loops of :mod:`engine.exact`; they check nothing and trust their caller.

All are in one file, and take every constant of the formats as an argument, because numba
only looks at the file of the outermost function to see whether its cache is stale.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from csb_format import IntArray

from .compiled import compiled as _compiled
from .compiled import compiled_into as _compiled_into
from .product_loops import Rows

__all__ = [
    "LANES",
    "UNROLL",
    "WIDTH",
    "Activation",
    "LayerTables",
    "Tile",
    "finish_cells",
    "finish_projection",
    "run_one",
    "run_tile",
]

LANES = 64  # sequences side by side, at most: two cache lines of int16
WIDTH = 8  # lanes are worked on in multiples of it
UNROLL = 4  # entries of a row added at a time; rows are padded to a multiple

_Int = Any  # int64 in compiled code; an int or a NumPy scalar to a type checker


class Activation(NamedTuple):
    """Table and binary points of :class:`csb_format.cells.piecewise.Piecewise` and the cell."""

    base: IntArray
    rise: IntArray
    last: int  # largest argument of the table
    offset_bits: int
    table_frac: int
    guard_bits: int
    gate_frac: int
    lift: int
    state_max: int


class LayerTables(NamedTuple):
    """One layer; rows of its gates are in the order unit, gate."""

    ih: Rows
    hh: Rows
    hr: Rows
    bias: IntArray  # (4H,)
    left_ih: IntArray  # (4,)
    left_hh: IntArray  # (4,)
    right: IntArray  # (4,)
    project_left: int
    project_right: int
    project_max: int
    activation: Activation


class Tile(NamedTuple):
    """States of sequences side by side, in lanes; integers, or floats that hold them exactly."""

    x: npt.NDArray[Any]  # (X, lanes): frames
    r: npt.NDArray[Any]  # (R, lanes): recurrent states
    c: npt.NDArray[Any]  # (H, lanes): cell states
    h: npt.NDArray[Any]  # (H, lanes): hidden states
    pre: npt.NDArray[Any]  # (4, lanes): gates of a unit
    total: npt.NDArray[Any]  # (lanes,): gives the type of sums


@_compiled
def _round(value: _Int, shift: _Int) -> _Int:
    return (value + ((1 << shift) >> 1)) >> shift


@_compiled
def _clip(value: _Int, largest: _Int) -> _Int:
    return max(-largest - 1, min(value, largest))


@_compiled
def _magnitude(z: _Int, a: Activation) -> _Int:
    z = min(z, a.last)
    segment = np.uint16(z >> a.offset_bits)
    offset = z & ((1 << a.offset_bits) - 1)
    return a.base[segment] + _round(a.rise[segment] * offset, a.offset_bits)


@_compiled
def _tanh(x: _Int, a: Activation) -> _Int:
    size = _round(_magnitude(abs(x) << 1, a), a.guard_bits)
    size = min(size, (1 << a.gate_frac) - 1)
    return size if x >= 0 else -size


@_compiled
def _sigmoid(x: _Int, a: Activation) -> _Int:
    size = _magnitude(abs(x), a)
    total = (1 << a.table_frac) + (size if x >= 0 else -size)
    return min(_round(total, a.guard_bits + 1), (1 << a.gate_frac) - 1)


@_compiled
def _preactivation(ih: _Int, hh: _Int, layer: LayerTables, row: int) -> _Int:
    gate = row & 3
    total = (ih << layer.left_ih[gate]) + (hh << layer.left_hh[gate])
    rounded = _round(total, layer.right[gate]) + layer.bias[row]
    return _clip(rounded, layer.activation.state_max)


@_compiled
def _cell(i: _Int, f: _Int, g: _Int, c: _Int, a: Activation) -> _Int:
    total = ((f * c) << a.lift) + i * g
    return _clip(_round(total, a.gate_frac + a.lift), a.state_max)


@_compiled
def _hidden(o: _Int, c: _Int, a: Activation) -> _Int:
    return _clip(_round(o * _tanh(c, a), a.gate_frac), (1 << a.gate_frac) - 1)


@_compiled
def _projected(total: _Int, layer: LayerTables) -> _Int:
    rounded = _round(total << layer.project_left, layer.project_right)
    return _clip(rounded, layer.project_max)


@_compiled
def _dot(matrix: Rows, row: int, x: IntArray) -> _Int:
    total = np.int64(0)
    values, columns = matrix.values[row], matrix.columns[row]
    for n in range(len(values)):
        total += values[n] * x[columns[n]]
    return total


@_compiled
def finish_cells(layer: LayerTables, ih: IntArray, hh: IntArray, c: IntArray, h: IntArray) -> None:
    """Cell and hidden state of all units from the sums of both products, which are zeroed.

    Parameters
    ----------
    layer : LayerTables
    ih, hh : int64 arrays (at least 4H,)
        Sums, in the order unit, gate.
    c, h : int64 arrays (H,)
        Cell state, replaced by the new one; hidden state, written.
    """
    a = layer.activation
    for u in range(len(c)):
        row = 4 * u
        i = _sigmoid(_preactivation(ih[row], hh[row], layer, row), a)
        f = _sigmoid(_preactivation(ih[row + 1], hh[row + 1], layer, row + 1), a)
        g = _tanh(_preactivation(ih[row + 2], hh[row + 2], layer, row + 2), a)
        o = _sigmoid(_preactivation(ih[row + 3], hh[row + 3], layer, row + 3), a)
        c[u] = _cell(i, f, g, c[u], a)
        h[u] = _hidden(o, c[u], a)
    ih[:], hh[:] = 0, 0


@_compiled
def finish_projection(layer: LayerTables, hr: IntArray, r: IntArray) -> None:
    """Recurrent state ``r`` (R,) from the sums of the projection, which are zeroed."""
    for p in range(len(r)):
        r[p] = _projected(hr[p], layer)
    hr[:] = 0


@_compiled
def _step_one(
    layer: LayerTables, x: IntArray, r: IntArray, c: IntArray, h: IntArray, sums: IntArray
) -> None:
    ih, hh = sums
    for row in range(4 * len(c)):
        ih[row], hh[row] = _dot(layer.ih, row, x), _dot(layer.hh, row, r)
    finish_cells(layer, ih, hh, c, h)
    for p in range(len(layer.hr.values)):
        r[p] = _projected(_dot(layer.hr, p, h), layer)
    if len(layer.hr.values) == 0:
        r[:] = h


@_compiled
def run_one(
    layer: LayerTables,
    frames: IntArray,
    span: tuple[int, int],
    reverse: bool,
    state: tuple[IntArray, IntArray],
    places: tuple[int, int],
    hidden: IntArray,
    cell: IntArray,
    output: IntArray,
) -> None:
    """All steps of one sequence, in int64.

    Parameters
    ----------
    layer : LayerTables
    frames : int64 array (F, X)
        Frames of all sequences, one after the other.
    span : tuple of 2 int
        First frame of the sequence and the frame behind its last.
    reverse : bool
        From the last frame to the first.
    state : tuple of int64 array (R,) and int64 array (H,)
        Recurrent and cell state before the first step; overwritten.
    places : tuple of 2 int
        First column of the results in hidden and cell, and in output.
    hidden, cell, output : int64 arrays (F, any number)
        Results, each in the row of its frame.
    """
    r, c = state
    h, sums = np.zeros(len(c), np.int64), np.zeros((2, 4 * len(c)), np.int64)
    at, at_r = places
    first, end = span
    for n in range(end - first):
        t = end - 1 - n if reverse else first + n
        _step_one(layer, frames[t], r, c, h, sums)
        hidden[t, at : at + len(c)] = h
        cell[t, at : at + len(c)] = c
        output[t, at_r : at_r + len(r)] = r


@_compiled_into
def _add_row(matrix: Rows, row: int, x: Any, total: Any, width: int) -> None:
    """Sums of a row in ``width`` lanes, in the type of ``total``."""
    # The width stays a variable: of a constant of up to 16 LLVM unrolls the loop and leaves
    # the lanes as scalars, at three times the time.
    values, columns = matrix.values[row], matrix.columns[row]
    for b in range(width):
        total[b] = 0
    for n in range(0, len(values), UNROLL):
        v0, v1, v2, v3 = values[n], values[n + 1], values[n + 2], values[n + 3]
        c0, c1, c2, c3 = columns[n], columns[n + 1], columns[n + 2], columns[n + 3]
        for b in range(width):
            total[b] += v0 * x[c0, b] + v1 * x[c1, b] + v2 * x[c2, b] + v3 * x[c3, b]


@_compiled
def _step_tile(layer: LayerTables, lanes: Tile, width: int) -> None:
    a, x, r, c, h, pre = layer.activation, lanes.x, lanes.r, lanes.c, lanes.h, lanes.pre
    # Arrays of its own are known to overlap with nothing, so their loops become vectors.
    ih, hh = np.zeros_like(lanes.total), np.zeros_like(lanes.total)
    for u in range(len(c)):
        for gate in range(4):
            row = 4 * u + gate
            _add_row(layer.ih, row, x, ih, width)
            _add_row(layer.hh, row, r, hh, width)
            for b in range(width):
                pre[gate, b] = _preactivation(np.int64(ih[b]), np.int64(hh[b]), layer, row)
        for b in range(width):
            i, f, o = _sigmoid(pre[0, b], a), _sigmoid(pre[1, b], a), _sigmoid(pre[3, b], a)
            new = _cell(i, f, _tanh(pre[2, b], a), np.int64(c[u, b]), a)
            c[u, b] = new
            h[u, b] = _hidden(o, new, a)
    for p in range(len(layer.hr.values)):
        _add_row(layer.hr, p, h, ih, width)
        for b in range(width):
            r[p, b] = _projected(np.int64(ih[b]), layer)
    if len(layer.hr.values) == 0:
        r[:, :width] = h[:, :width]


@_compiled
def _store(
    result: IntArray, at: int, lanes: Any, starts: IntArray, ends: IntArray, n: int, reverse: bool
) -> None:
    for b in range(len(starts)):
        if starts[b] + n < ends[b]:
            t = ends[b] - 1 - n if reverse else starts[b] + n
            for u in range(len(lanes)):
                result[t, at + u] = np.int64(lanes[u, b])


@_compiled
def _load(
    lanes: Any, frames: IntArray, starts: IntArray, ends: IntArray, n: int, reverse: bool
) -> int:
    live = 0
    for b in range(len(starts)):
        if starts[b] + n < ends[b]:
            live = b + 1
            t = ends[b] - 1 - n if reverse else starts[b] + n
            for column in range(len(lanes)):
                lanes[column, b] = frames[t, column]
    return live


@_compiled
def run_tile(
    layer: LayerTables,
    frames: IntArray,
    spans: tuple[IntArray, IntArray],
    reverse: bool,
    lanes: Tile,
    places: tuple[int, int],
    hidden: IntArray,
    cell: IntArray,
    output: IntArray,
) -> None:
    """All steps of some sequences, the longest first, side by side.

    Whoever calls must know that products and sums are exact in the types of the tile.

    Parameters
    ----------
    layer, frames, reverse, places, hidden, cell, output
        As in :func:`run_one`.
    spans : tuple of 2 int64 arrays (B,)
        First frame of every sequence and the frame behind its last.
    lanes : Tile
        At least B lanes, a multiple of ``WIDTH``; its states are those before the first step, and
        afterwards those behind the last of each sequence, or later for shorter ones.
    """
    starts, ends = spans
    for n in range(ends[0] - starts[0]):
        live = _load(lanes.x, frames, starts, ends, n, reverse)
        _step_tile(layer, lanes, (live + WIDTH - 1) // WIDTH * WIDTH)
        _store(hidden, places[0], lanes.h, starts, ends, n, reverse)
        _store(cell, places[0], lanes.c, starts, ends, n, reverse)
        _store(output, places[1], lanes.r, starts, ends, n, reverse)
