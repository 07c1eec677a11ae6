"""The step of both GRU cells forward with a tape, and back: what docs/learning.md says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from csb_format.cells.gru import GUARD, GruCell, ResetFirstGruCell
from csb_format.fixed import IntArray, round_shift

from ..integers import FACTOR_BITS, INNER_BITS, clipped
from ..settle import Part, Settling
from .lstm import flatness, slope

__all__ = ["GruFrame", "backward", "backward_reset_first", "forward"]


class GruFrame(NamedTuple):
    """A step on the tape, int64 arrays (L, H).

    Parameters
    ----------
    r, z, n : arrays
        Gates, in ``gate`` format.
    nh : array
        Of ``gru``, the recurrent part of the candidate, in ``state`` format.
    before : array
        The kept state before the step, in ``kept`` format.
    reset : array
        Of ``gru0``, ``r * h`` in ``gate`` format, which the rows of n take.
    """

    r: IntArray
    z: IntArray
    n: IntArray
    nh: IntArray
    before: IntArray
    reset: IntArray


def forward(
    cell: GruCell, pre: tuple[IntArray, ...], kept: IntArray
) -> tuple[IntArray, IntArray, GruFrame]:
    """Hidden and kept state after a step, the inference's bit for bit, and what it leaves."""
    table = cell.piecewise
    r, z = table.sigmoid(pre[0]), table.sigmoid(pre[1])
    if isinstance(cell, ResetFirstGruCell):
        n, nh, reset = table.tanh(pre[2]), np.zeros_like(r), cell.reset(pre[0], kept)
    else:
        n, nh, reset = cell.candidate(r, pre[2], pre[3]), pre[3], np.zeros_like(r)
    new = cell.mix(z, n, kept)
    return cell.hidden(new), new, GruFrame(r, z, n, nh, kept, reset)


def _shared(cell: GruCell, tape: GruFrame) -> tuple[IntArray, IntArray]:
    """What the gradient of the state is multiplied by for n and for z."""
    frac = cell.gate.frac
    of_n = round_shift(flatness(tape.n, frac) * ((1 << frac) - tape.z), frac)
    apart = tape.before - (tape.n << GUARD)
    return of_n, round_shift(slope(tape.z, frac) * apart, frac + GUARD)


def backward(
    cell: GruCell, tape: GruFrame, dk: Part, settling: Settling, layer: int, at: int
) -> tuple[IntArray, list[Part]]:
    """Gradients of the sums r, z, nx, nh (L, 4H), and what goes on to the state before."""
    frac, e = cell.gate.frac, dk.exponent - FACTOR_BITS
    of_n, of_z = _shared(cell, tape)
    reset = clipped(round_shift(slope(tape.r, frac) * tape.nh, cell.state.frac), INNER_BITS)
    of_r = round_shift(of_n * reset, FACTOR_BITS)
    of_nh = round_shift(of_n * tape.r, frac)
    products = [Part(dk.value * factor, e) for factor in (of_r, of_z, of_n, of_nh)]
    d = settling.settle_beside(f"d.{layer}", at, products)
    return d, [Part(dk.value * tape.z, dk.exponent - frac)]


def backward_reset_first(
    cell: GruCell,
    tape: GruFrame,
    dk: Part,
    through: Callable[[Part], Part],
    settling: Settling,
    layer: int,
    at: int,
) -> tuple[IntArray, list[Part]]:
    """As :func:`backward`, of ``gru0``: sums r, z, n (L, 3H).

    Parameters
    ----------
    through : callable
        From gradients of the rows of n to those of ``r * h``.
    """
    frac, e = cell.gate.frac, dk.exponent - FACTOR_BITS
    of_n, of_z = _shared(cell, tape)
    products = [Part(dk.value * factor, e) for factor in (of_z, of_n)]
    name = f"d.{layer}"
    dz, dn = np.split(settling.settle_beside(name, at, products), 2, axis=-1)
    given = through(Part(dn, settling.exponent(name, at)))
    dv = settling.settle(f"v.{layer}", at, [given])
    ev = settling.exponent(f"v.{layer}", at)
    of_r = round_shift(slope(tape.r, frac) * tape.before, frac + GUARD)
    dr = settling.settle_beside(name, at, [Part(dv * of_r, ev - FACTOR_BITS)])
    carried = [Part(dk.value * tape.z, dk.exponent - frac), Part(dv * tape.r, ev - frac)]
    return np.concatenate([dr, dz, dn], axis=-1), carried
