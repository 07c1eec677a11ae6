"""Compiled loops of :mod:`engine.exact` over the steps of sequences.

They check nothing and trust their caller. All of a run is one call: a call as such takes as
long as a step of a small layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from csb_format import IntArray

from .cell_loops import (
    GRU,
    RESET_FIRST,
    Cells,
    finish_cells,
    finish_gru_unit,
    finish_projection,
    finish_reset,
    finish_reset_unit,
    finish_unit,
    preactivation,
    projected,
    start_reset_unit,
)
from .compiled import compiled as _compiled
from .compiled import compiled_into as _compiled_into
from .lanes import WIDTH, read_longs, write_longs
from .product_loops import MANY, Rows, Tiles, add_integers, add_many_integers, add_rows

__all__ = [
    "LANES",
    "UNROLL",
    "Matrices",
    "Results",
    "Runs",
    "Tile",
    "inside",
    "run_rows",
    "run_tile",
    "run_tiles",
]

LANES = 64  # sequences side by side, at most: two cache lines of int16
UNROLL = 4  # entries of a row added at a time; rows are padded to a multiple
FEWEST = 3  # sequences that take ``MANY`` at once, some of them idle: it costs as much as two


class Runs(NamedTuple):
    """Sequences of one layer, the longest first, and where their results go.

    Frames of all sequences lie one after the other; a step's results lie in its frame's row.
    """

    frames: IntArray  # (F, X)
    first: IntArray  # (B,): first frame of each
    end: IntArray  # (B,): behind the last
    r: IntArray  # (B, R): recurrent states before the first step; overwritten
    c: IntArray  # (B, H): cell states; overwritten
    reverse: bool  # from the last frame to the first


class Results(NamedTuple):
    """States after every step, with the columns where those of a direction begin."""

    hidden: IntArray  # (F, any number)
    cell: IntArray
    output: IntArray
    at: int  # in hidden and cell
    at_output: int


class Tile(NamedTuple):
    """States of sequences side by side, in lanes; integers, or floats that hold them exactly."""

    x: npt.NDArray[Any]  # (X, lanes): frames
    r: npt.NDArray[Any]  # (R, lanes): recurrent states
    c: npt.NDArray[Any]  # (H, lanes): cell states
    h: npt.NDArray[Any]  # (H, lanes): hidden states
    z: npt.NDArray[Any]  # (H, lanes): gates of a GRU whose reset comes first; else none
    total: npt.NDArray[Any]  # (lanes,): gives the type of sums


@_compiled
def inside(array: IntArray, low: int, high: int) -> bool:
    """Whether all numbers (any, any) are within a range."""
    outside = 0
    for value in array.ravel():
        outside |= int((value < low) | (value > high))
    return outside == 0


@_compiled
def _keep(results: Results, t: int, h: IntArray, c: IntArray, r: IntArray) -> None:
    results.hidden[t, results.at : results.at + len(h)] = h
    results.cell[t, results.at : results.at + len(c)] = c
    results.output[t, results.at_output : results.at_output + len(r)] = r


@_compiled
def run_rows(layer: Cells, ih: Rows, hh: Rows, hr: Rows, runs: Runs, results: Results) -> None:
    """All steps of sequences one by one, entries read by address; int64.

    Parameters
    ----------
    layer : Cells
    ih, hh, hr : Rows
        The last without rows where there is no projection. Of a GRU whose reset comes first ``hh``
        has the rows of r and z, and ``hr`` those of n, which follow as a projection would.
    runs : Runs
    results : Results
    """
    sums = np.zeros((3, len(layer.bias) + runs.r.shape[1]), np.int64)
    for n in range(len(runs.first)):
        r, c, h = runs.r[n], runs.c[n], np.zeros(runs.c.shape[1], np.int64)
        for step in range(runs.end[n] - runs.first[n]):
            t = runs.end[n] - 1 - step if runs.reverse else runs.first[n] + step
            add_rows(ih, runs.frames[t], sums[0])
            add_rows(hh, r, sums[1])
            finish_cells(layer, sums[0], sums[1], c, h)
            if layer.kind == RESET_FIRST:
                add_rows(hr, h, sums[2])
                finish_reset(layer, sums[0], sums[2], c, h)
                r[:] = h
            elif len(hr.values):
                add_rows(hr, h, sums[2])
                finish_projection(layer, sums[2], r)
            else:
                r[:] = h
            _keep(results, t, h, c, r)


class Matrices(NamedTuple):
    """Those of a layer, for :func:`run_tiles`."""

    ih: Tiles
    hh: Tiles
    hr: Tiles  # with ``rows`` of 0 where there is no projection; see :func:`run_rows`


class _Slots(NamedTuple):
    """``MANY`` sequences at once, and the sums of their products."""

    who: IntArray  # (MANY,): sequence
    at: IntArray  # (MANY,): its next frame
    left: IntArray  # (MANY,): its steps; 0 of an idle slot
    x: IntArray  # (MANY, X)
    r: IntArray  # (MANY, R)
    h: IntArray  # (MANY, H)
    ih: IntArray  # (MANY, rows)
    hh: IntArray
    hr: IntArray


@_compiled
def _slots(of: Matrices, runs: Runs, count: int) -> _Slots:
    state = np.zeros((3, count), np.int64)
    x = np.zeros((count, runs.frames.shape[1]), np.int64)
    r = np.zeros((count, runs.r.shape[1]), np.int64)
    h = np.zeros((count, runs.c.shape[1]), np.int64)
    ih, hh = np.zeros((count, of.ih.rows), np.int64), np.zeros((count, of.hh.rows), np.int64)
    hr = np.zeros((count, of.hr.rows), np.int64)
    return _Slots(state[0], state[1], state[2], x, r, h, ih, hh, hr)


@_compiled
def _fill(slots: _Slots, runs: Runs, following: int) -> int:
    """Give slots that are free to the sequences that follow; the one after these."""
    for n in range(len(slots.left)):
        if slots.left[n] == 0 and following < len(runs.first):
            first, end = runs.first[following], runs.end[following]
            slots.who[n], slots.left[n] = following, end - first
            slots.at[n] = end - 1 if runs.reverse else first
            slots.r[n] = runs.r[following]
            following += 1
    return following


@_compiled
def _keep_slot(slots: _Slots, n: int, runs: Runs, results: Results) -> None:
    _keep(results, slots.at[n], slots.h[n], runs.c[slots.who[n]], slots.r[n])
    slots.at[n] += -1 if runs.reverse else 1
    slots.left[n] -= 1
    if slots.left[n] == 0:
        runs.r[slots.who[n]] = slots.r[n]


@_compiled
def _step_many(layer: Cells, of: Matrices, slots: _Slots, runs: Runs, results: Results) -> None:
    for n in range(MANY):
        if slots.left[n]:
            slots.x[n] = runs.frames[slots.at[n]]
    add_many_integers(of.ih, slots.x, slots.ih)
    add_many_integers(of.hh, slots.r, slots.hh)
    for n in range(MANY):
        if slots.left[n]:
            finish_cells(layer, slots.ih[n], slots.hh[n], runs.c[slots.who[n]], slots.h[n])
    if of.hr.rows:
        add_many_integers(of.hr, slots.h, slots.hr)
    if layer.kind == RESET_FIRST:
        for n in range(MANY):
            if slots.left[n]:
                c = runs.c[slots.who[n]]
                finish_reset(layer, slots.ih[n], slots.hr[n], c, slots.h[n])
        slots.r[:] = slots.h
    elif of.hr.rows:
        for n in range(MANY):
            finish_projection(layer, slots.hr[n], slots.r[n])
    else:
        slots.r[:] = slots.h
    for n in range(MANY):
        if slots.left[n]:
            _keep_slot(slots, n, runs, results)


@_compiled
def _step_one(
    layer: Cells, of: Matrices, slots: _Slots, n: int, runs: Runs, results: Results
) -> None:
    add_integers(of.ih, runs.frames[slots.at[n]], slots.ih[n])
    add_integers(of.hh, slots.r[n], slots.hh[n])
    finish_cells(layer, slots.ih[n], slots.hh[n], runs.c[slots.who[n]], slots.h[n])
    if of.hr.rows:
        add_integers(of.hr, slots.h[n], slots.hr[n])
    if layer.kind == RESET_FIRST:
        finish_reset(layer, slots.ih[n], slots.hr[n], runs.c[slots.who[n]], slots.h[n])
        slots.r[n] = slots.h[n]
    elif of.hr.rows:
        finish_projection(layer, slots.hr[n], slots.r[n])
    else:
        slots.r[n] = slots.h[n]
    _keep_slot(slots, n, runs, results)


@_compiled
def run_tiles(layer: Cells, of: Matrices, runs: Runs, results: Results) -> None:
    """All steps of sequences, ``MANY`` at a time as long as there are enough, then one by one.

    A slot that becomes free is taken by the next sequence.

    Parameters
    ----------
    layer, runs, results
        As in :func:`run_rows`.
    of : Matrices
    """
    slots = _slots(of, runs, len(runs.first) if len(runs.first) < FEWEST else MANY)
    following = _fill(slots, runs, 0)
    while np.count_nonzero(slots.left) >= FEWEST:
        _step_many(layer, of, slots, runs, results)
        following = _fill(slots, runs, following)
    for n in range(len(slots.left)):
        while slots.left[n]:
            _step_one(layer, of, slots, n, runs, results)


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
def _step_reset(layer: Cells, of: tuple[Rows, Rows, Rows], lanes: Tile, width: int) -> None:
    """A step of a GRU whose reset comes first: ``r * h`` of all units, then their states."""
    x, r, c, h, units = lanes.x, lanes.r, lanes.c, lanes.h, len(lanes.c)
    ih, hh = np.zeros_like(lanes.total), np.zeros_like(lanes.total)
    pre = np.zeros((2, len(ih)), np.int64)
    for u in range(units):
        for gate in range(2):
            row = gate * units + u
            _add_row(of[0], row, x, ih, width)
            _add_row(of[1], row, r, hh, width)
            for b in range(0, width, WIDTH):
                one, two = read_longs(ih, b), read_longs(hh, b)
                new = preactivation(one, two, layer.bias[row], gate, layer)
                write_longs(pre[gate], b, new)
        for b in range(0, width, WIDTH):
            one, two = read_longs(pre[0], b), read_longs(pre[1], b)
            reset, z = start_reset_unit(one, two, read_longs(c[u], b), layer.activation)
            write_longs(h[u], b, reset)
            write_longs(lanes.z[u], b, z)
    for u in range(units):
        row = 2 * units + u
        _add_row(of[0], row, x, ih, width)
        _add_row(of[2], u, h, hh, width)
        for b in range(0, width, WIDTH):
            one, two = read_longs(ih, b), read_longs(hh, b)
            n = preactivation(one, two, layer.bias[row], 2, layer)
            z, old = read_longs(lanes.z[u], b), read_longs(c[u], b)
            hidden, new = finish_reset_unit(z, n, old, layer.activation)
            write_longs(c[u], b, new)
            write_longs(r[u], b, hidden)
    h[:, :width] = r[:, :width]


@_compiled
def _step_tile(layer: Cells, of: tuple[Rows, Rows, Rows], lanes: Tile, width: int) -> None:
    x, r, c, h, units = lanes.x, lanes.r, lanes.c, lanes.h, len(lanes.c)
    # Arrays of its own are known to overlap with nothing, so their loops become vectors.
    ih, hh = np.zeros_like(lanes.total), np.zeros_like(lanes.total)
    pre = np.zeros((4, len(ih)), np.int64)
    joint = 2 if layer.kind == GRU else 4
    for u in range(units):
        for gate in range(joint):
            row = gate * units + u
            _add_row(of[0], row, x, ih, width)
            _add_row(of[1], row, r, hh, width)
            for b in range(0, width, WIDTH):
                one, two = read_longs(ih, b), read_longs(hh, b)
                new = preactivation(one, two, layer.bias[row], gate, layer)
                write_longs(pre[gate], b, new)
        if layer.kind == GRU:
            row = 2 * units + u
            _add_row(of[0], row, x, ih, width)
            _add_row(of[1], row, r, hh, width)
            for b in range(0, width, WIDTH):
                one, two = read_longs(ih, b), read_longs(hh, b)
                new = preactivation(one, 0, layer.bias[row], 2, layer)
                write_longs(pre[2], b, new)
                new = preactivation(0, two, layer.bias[row + units], 3, layer)
                write_longs(pre[3], b, new)
        for b in range(0, width, WIDTH):
            i, f = read_longs(pre[0], b), read_longs(pre[1], b)
            g, o = read_longs(pre[2], b), read_longs(pre[3], b)
            if layer.kind == GRU:
                hidden, new = finish_gru_unit(i, f, g, o, read_longs(c[u], b), layer.activation)
            else:
                hidden, new = finish_unit(i, f, g, o, read_longs(c[u], b), layer.activation)
            write_longs(c[u], b, new)
            write_longs(h[u], b, hidden)
    for p in range(len(of[2].values)):
        _add_row(of[2], p, h, ih, width)
        for b in range(0, width, WIDTH):
            write_longs(r[p], b, projected(read_longs(ih, b), layer))
    if len(of[2].values) == 0:
        r[:, :width] = h[:, :width]


@_compiled
def _store(result: IntArray, at: int, lanes: Any, runs: Runs, n: int) -> None:
    for b in range(len(runs.first)):
        if runs.first[b] + n < runs.end[b]:
            t = runs.end[b] - 1 - n if runs.reverse else runs.first[b] + n
            for u in range(len(lanes)):
                result[t, at + u] = np.int64(lanes[u, b])


@_compiled
def _load(lanes: Any, runs: Runs, n: int) -> int:
    live = 0
    for b in range(len(runs.first)):
        if runs.first[b] + n < runs.end[b]:
            live = b + 1
            t = runs.end[b] - 1 - n if runs.reverse else runs.first[b] + n
            for column in range(len(lanes)):
                lanes[column, b] = runs.frames[t, column]
    return live


@_compiled
def run_tile(
    layer: Cells, ih: Rows, hh: Rows, hr: Rows, runs: Runs, lanes: Tile, results: Results
) -> None:
    """All steps of some sequences, side by side.

    Whoever calls must know that products and sums are exact in the types of the tile.

    Parameters
    ----------
    layer, ih, hh, hr, runs, results
        As in :func:`run_rows`; the states of ``runs`` are neither read nor written.
    lanes : Tile
        At least B lanes, a multiple of ``WIDTH``; its states are those before the first step, and
        afterwards those behind the last of each sequence, or later for shorter ones.
    """
    for n in range(runs.end[0] - runs.first[0]):
        live = _load(lanes.x, runs, n)
        width = (live + WIDTH - 1) // WIDTH * WIDTH
        if layer.kind == RESET_FIRST:
            _step_reset(layer, (ih, hh, hr), lanes, width)
        else:
            _step_tile(layer, (ih, hh, hr), lanes, width)
        _store(results.hidden, results.at, lanes.h, runs, n)
        _store(results.cell, results.at, lanes.c, runs, n)
        _store(results.output, results.at_output, lanes.r, runs, n)
