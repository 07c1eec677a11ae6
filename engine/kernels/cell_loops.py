"""Compiled arithmetic of a layer behind its sums; it checks nothing and trusts its caller.

It is that of the cells of :mod:`csb_format.cells`, of one unit or of as many as there are lanes
in a register. Every constant of the formats is an argument.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from csb_format import IntArray

from .compiled import compiled
from .lanes import WIDTH, entry, least, most, read_longs, write_longs

__all__ = [
    "GRU",
    "LSTM",
    "RESET_FIRST",
    "Activation",
    "Cells",
    "finish_cells",
    "finish_gru_unit",
    "finish_projection",
    "finish_reset",
    "finish_reset_unit",
    "finish_unit",
    "preactivation",
    "projected",
    "start_reset_unit",
]

_Int = Any  # int64 or lanes of it in compiled code; an int or a NumPy scalar to a type checker
_HALF = 32  # bits of each half of an entry of the table


class Activation(NamedTuple):
    """Table and binary points of :class:`csb_format.cells.piecewise.Piecewise` and the cell."""

    table: IntArray  # (segments,): base of each, and in the lower half its rise
    last: int  # largest argument of the table
    offset_bits: int
    table_frac: int
    guard_bits: int
    gate_frac: int
    lift: int
    state_max: int

    @staticmethod
    def entries(base: IntArray, rise: IntArray) -> IntArray:
        """The table: one access for both."""
        return np.asarray((base << _HALF) | rise, np.int64)


class Cells(NamedTuple):
    """What a layer makes of its sums; rows of gates in the order gate, unit."""

    bias: IntArray  # (S * H,)
    shifts: IntArray  # (3, S): of a sum, left of ih and of hh, right of both
    project_left: int
    project_right: int
    project_max: int
    activation: Activation
    kind: int  # LSTM, GRU or RESET_FIRST


LSTM, GRU, RESET_FIRST = 0, 1, 2
GUARD = 2  # bits of :mod:`csb_format.cells.gru`


@compiled
def _round(value: _Int, shift: _Int) -> _Int:
    return (value + ((1 << shift) >> 1)) >> shift


@compiled
def _clip(value: _Int, largest: _Int) -> _Int:
    return most(least(value, largest), -largest - 1)


@compiled
def _signed(size: _Int, x: _Int) -> _Int:
    """``size`` with the sign of ``x``; of ``x`` itself its magnitude."""
    sign = x >> 63
    return (size ^ sign) - sign


@compiled
def _magnitude(z: _Int, a: Activation) -> _Int:
    z = least(z, a.last)
    both = entry(a.table, z >> a.offset_bits)
    offset = z & ((1 << a.offset_bits) - 1)
    return (both >> _HALF) + _round((both & ((1 << _HALF) - 1)) * offset, a.offset_bits)


@compiled
def _tanh(x: _Int, a: Activation) -> _Int:
    size = _round(_magnitude(_signed(x, x) << 1, a), a.guard_bits)
    return _signed(least(size, (1 << a.gate_frac) - 1), x)


@compiled
def _sigmoid(x: _Int, a: Activation) -> _Int:
    total = _signed(_magnitude(_signed(x, x), a), x) + (1 << a.table_frac)
    return least(_round(total, a.guard_bits + 1), (1 << a.gate_frac) - 1)


@compiled
def _cell(i: _Int, f: _Int, g: _Int, c: _Int, a: Activation) -> _Int:
    total = ((f * c) << a.lift) + i * g
    return _clip(_round(total, a.gate_frac + a.lift), a.state_max)


@compiled
def _hidden(o: _Int, c: _Int, a: Activation) -> _Int:
    return _clip(_round(o * _tanh(c, a), a.gate_frac), (1 << a.gate_frac) - 1)


@compiled
def preactivation(ih: _Int, hh: _Int, bias: _Int, gate: int, layer: Cells) -> _Int:
    """Of both sums of a row and its bias; ``gate`` is that of the row."""
    total = (ih << layer.shifts[0, gate]) + (hh << layer.shifts[1, gate])
    return _clip(_round(total, layer.shifts[2, gate]) + bias, layer.activation.state_max)


@compiled
def finish_unit(i: _Int, f: _Int, g: _Int, o: _Int, c: _Int, a: Activation) -> _Int:
    """Hidden and cell state from pre-activations and the cell state before."""
    new = _cell(_sigmoid(i, a), _sigmoid(f, a), _tanh(g, a), c, a)
    return _hidden(_sigmoid(o, a), new, a), new


@compiled
def finish_gru_unit(r: _Int, z: _Int, nx: _Int, nh: _Int, kept: _Int, a: Activation) -> _Int:
    """Hidden and kept state from pre-activations and the kept state before."""
    argument = nx + _round(_sigmoid(r, a) * nh, a.gate_frac)
    n = _clip(argument, a.state_max)
    return finish_reset_unit(_sigmoid(z, a), n, kept, a)


@compiled
def start_reset_unit(r: _Int, z: _Int, kept: _Int, a: Activation) -> _Int:
    """``r * h`` and gate z from pre-activations and the kept state."""
    return _round(_sigmoid(r, a) * kept, a.gate_frac + GUARD), _sigmoid(z, a)


@compiled
def finish_reset_unit(z: _Int, n: _Int, kept: _Int, a: Activation) -> _Int:
    """Hidden and kept state from gate z, the pre-activation of n and the kept state before."""
    n = _tanh(n, a) << GUARD
    new = _round(z * (kept - n) + (n << a.gate_frac), a.gate_frac)
    return _clip(_round(new, GUARD), (1 << a.gate_frac) - 1), new


@compiled
def projected(total: _Int, layer: Cells) -> _Int:
    """Recurrent state from a sum of the projection."""
    return _clip(_round(total << layer.project_left, layer.project_right), layer.project_max)


@compiled
def _gate_lanes(layer: Cells, ih: IntArray, hh: IntArray, u: int, gate: int) -> _Int:
    row = gate * (len(layer.bias) // 4) + u
    sums = read_longs(ih, row), read_longs(hh, row)
    return preactivation(sums[0], sums[1], read_longs(layer.bias, row), gate, layer)


@compiled
def _gate(layer: Cells, ih: IntArray, hh: IntArray, u: int, gate: int) -> _Int:
    row = gate * (len(layer.bias) // 4) + u
    return preactivation(ih[row], hh[row], layer.bias[row], gate, layer)


@compiled
def finish_cells(layer: Cells, ih: IntArray, hh: IntArray, c: IntArray, h: IntArray) -> None:
    """Kept and hidden state of all units from the sums of both products, which are zeroed.

    Parameters
    ----------
    layer : Cells
    ih, hh : int64 arrays (at least G * H,)
        Sums, in the order gate, unit.
    c, h : int64 arrays (H,)
        Cell state of an LSTM, kept state of a GRU, replaced by the new one; hidden state, written.
        Of a GRU whose reset comes first ``h`` is ``r * h``: ``c`` and ``ih``, in which z takes the
        place of its sums, are for :func:`finish_reset`.
    """
    if layer.kind == RESET_FIRST:
        _start_reset(layer, ih, hh, c, h)
        hh[:] = 0
        return
    if layer.kind == GRU:
        _finish_gru(layer, ih, hh, c, h)
    else:
        _finish_lstm(layer, ih, hh, c, h)
    ih[:], hh[:] = 0, 0


@compiled
def _finish_lstm(layer: Cells, ih: IntArray, hh: IntArray, c: IntArray, h: IntArray) -> None:
    a, whole = layer.activation, len(c) // WIDTH * WIDTH
    for u in range(0, whole, WIDTH):
        i, f = _gate_lanes(layer, ih, hh, u, 0), _gate_lanes(layer, ih, hh, u, 1)
        g, o = _gate_lanes(layer, ih, hh, u, 2), _gate_lanes(layer, ih, hh, u, 3)
        hidden, new = finish_unit(i, f, g, o, read_longs(c, u), a)
        write_longs(c, u, new)
        write_longs(h, u, hidden)
    for u in range(whole, len(c)):
        i, f = _gate(layer, ih, hh, u, 0), _gate(layer, ih, hh, u, 1)
        g, o = _gate(layer, ih, hh, u, 2), _gate(layer, ih, hh, u, 3)
        h[u], c[u] = finish_unit(i, f, g, o, c[u], a)


@compiled
def _finish_gru(layer: Cells, ih: IntArray, hh: IntArray, c: IntArray, h: IntArray) -> None:
    a, size = layer.activation, len(c)
    whole, nothing = size // WIDTH * WIDTH, np.zeros(WIDTH, np.int64)
    none = read_longs(nothing, 0)
    for u in range(0, whole, WIDTH):
        r, z = _gate_lanes(layer, ih, hh, u, 0), _gate_lanes(layer, ih, hh, u, 1)
        at, bias = 2 * size + u, layer.bias
        nx = preactivation(read_longs(ih, at), none, read_longs(bias, at), 2, layer)
        nh = preactivation(none, read_longs(hh, at), read_longs(bias, at + size), 3, layer)
        hidden, new = finish_gru_unit(r, z, nx, nh, read_longs(c, u), a)
        write_longs(c, u, new)
        write_longs(h, u, hidden)
    for u in range(whole, size):
        r, z = _gate(layer, ih, hh, u, 0), _gate(layer, ih, hh, u, 1)
        at = 2 * size + u
        nx = preactivation(ih[at], 0, layer.bias[at], 2, layer)
        nh = preactivation(0, hh[at], layer.bias[at + size], 3, layer)
        h[u], c[u] = finish_gru_unit(r, z, nx, nh, c[u], a)


@compiled
def _row_lanes(layer: Cells, ih: IntArray, row: int, hh: IntArray, at: int, gate: int) -> _Int:
    """Pre-activations of a row and those behind it; ``at``: where ``hh`` has its sums."""
    sums = read_longs(ih, row), read_longs(hh, at)
    return preactivation(sums[0], sums[1], read_longs(layer.bias, row), gate, layer)


@compiled
def _start_reset(layer: Cells, ih: IntArray, hh: IntArray, c: IntArray, h: IntArray) -> None:
    a, size = layer.activation, len(c)
    whole = size // WIDTH * WIDTH
    for u in range(0, whole, WIDTH):
        r = _row_lanes(layer, ih, u, hh, u, 0)
        z = _row_lanes(layer, ih, size + u, hh, size + u, 1)
        reset, gate = start_reset_unit(r, z, read_longs(c, u), a)
        write_longs(h, u, reset)
        write_longs(ih, size + u, gate)
    for u in range(whole, size):
        at = size + u
        r = preactivation(ih[u], hh[u], layer.bias[u], 0, layer)
        z = preactivation(ih[at], hh[at], layer.bias[at], 1, layer)
        h[u], ih[at] = start_reset_unit(r, z, c[u], a)


@compiled
def finish_reset(layer: Cells, ih: IntArray, hn: IntArray, c: IntArray, h: IntArray) -> None:
    """Kept and hidden state of a GRU whose reset comes first, behind :func:`finish_cells`.

    Parameters
    ----------
    layer : Cells
    ih, hn : int64 arrays (at least 3 * H,) and (at least H,)
        What is left of the sums of the input, and products of rows n with ``r * h``; zeroed.
    c, h : int64 arrays (H,)
        Kept state, replaced by the new one; hidden state, written.
    """
    a, size = layer.activation, len(c)
    whole = size // WIDTH * WIDTH
    for u in range(0, whole, WIDTH):
        n = _row_lanes(layer, ih, 2 * size + u, hn, u, 2)
        hidden, new = finish_reset_unit(read_longs(ih, size + u), n, read_longs(c, u), a)
        write_longs(c, u, new)
        write_longs(h, u, hidden)
    for u in range(whole, size):
        at = 2 * size + u
        n = preactivation(ih[at], hn[u], layer.bias[at], 2, layer)
        h[u], c[u] = finish_reset_unit(ih[size + u], n, c[u], a)
    ih[:], hn[:] = 0, 0


@compiled
def finish_projection(layer: Cells, hr: IntArray, r: IntArray) -> None:
    """Recurrent state ``r`` (R,) from the sums of the projection, which are zeroed."""
    whole = len(r) // WIDTH * WIDTH
    for p in range(0, whole, WIDTH):
        write_longs(r, p, projected(read_longs(hr, p), layer))
    for p in range(whole, len(r)):
        r[p] = projected(hr[p], layer)
    hr[:] = 0
