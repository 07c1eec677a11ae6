"""The LSTM's step forward with a tape, and back, on integers: what docs/learning.md says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from csb_format.cells.lstm import CellArithmetic
from csb_format.fixed import IntArray, round_shift

from ..integers import FACTOR_BITS, INNER_BITS, clipped
from ..settle import Part, Settling

__all__ = ["LstmFrame", "backward", "forward"]


class LstmFrame(NamedTuple):
    """A step on the tape, int64 arrays (L, H).

    Parameters
    ----------
    i, f, g, o, squashed : arrays
        Gates and ``tanh(c)``, in ``gate`` format.
    before : array
        The cell state before the step, in ``state`` format.
    """

    i: IntArray
    f: IntArray
    g: IntArray
    o: IntArray
    before: IntArray
    squashed: IntArray


def forward(
    cell: CellArithmetic, pre: tuple[IntArray, ...], c: IntArray
) -> tuple[IntArray, IntArray, LstmFrame]:
    """Hidden and cell state after a step, the inference's bit for bit, and what it leaves."""
    i, f, g, o = pre
    gates = cell.gates((i, f, g, o))
    new = cell.cell(gates, c)
    return cell.hidden(gates[3], new), new, LstmFrame(*gates, c, cell.piecewise.tanh(new))


def slope(gate: IntArray, frac: int) -> IntArray:
    """``s (1 - s)`` of a sigmoid, with ``FACTOR_BITS``."""
    return round_shift(gate * ((1 << frac) - gate), 2 * frac - FACTOR_BITS)


def flatness(gate: IntArray, frac: int) -> IntArray:
    """``1 - t**2`` of a tanh, with ``FACTOR_BITS``."""
    return round_shift((1 << 2 * frac) - gate * gate, 2 * frac - FACTOR_BITS)


def factors(cell: CellArithmetic, tape: LstmFrame) -> tuple[IntArray, ...]:
    """What the gradient of c is multiplied by for i, f, g; that of h for o; and of h for c."""
    frac = cell.gate.frac
    of_i = round_shift(slope(tape.i, frac) * tape.g, frac)
    of_f = clipped(round_shift(slope(tape.f, frac) * tape.before, cell.state.frac), INNER_BITS)
    of_g = round_shift(flatness(tape.g, frac) * tape.i, frac)
    of_o = round_shift(slope(tape.o, frac) * tape.squashed, frac)
    of_c = round_shift(flatness(tape.squashed, frac) * tape.o, frac)
    return of_i, of_f, of_g, of_o, of_c


def backward(
    cell: CellArithmetic,
    tape: LstmFrame,
    dh: Part,
    carried: Sequence[Part],
    settling: Settling,
    layer: int,
    at: int,
) -> tuple[IntArray, list[Part]]:
    """Gradients of the pre-activations (L, 4H), and what goes on to the cell before.

    Parameters
    ----------
    cell : CellArithmetic
    tape : LstmFrame
    dh : Part
        Of the hidden state, settled.
    carried : sequence of Part
        Of the cell state, from the step behind.
    settling : Settling
    layer, at : int
        Number of the layer, steps from the end.
    """
    of_i, of_f, of_g, of_o, of_c = factors(cell, tape)
    through = Part(dh.value * of_c, dh.exponent - FACTOR_BITS)
    dc = settling.settle(f"c.{layer}", at, [through, *carried])
    e = settling.exponent(f"c.{layer}", at)
    products = [Part(dc * factor, e - FACTOR_BITS) for factor in (of_i, of_f, of_g)]
    products.append(Part(dh.value * of_o, dh.exponent - FACTOR_BITS))
    d = settling.settle_beside(f"d.{layer}", at, products)
    return d, [Part(dc * tape.f, e - cell.gate.frac)]
