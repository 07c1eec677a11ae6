"""Shifts of the gradients of a layer at each step, and what is seen of them."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import numpy as np

from csb_format.cells.lstm import CellArithmetic
from csb_format.model import LstmLayer

from ..integers import FACTOR_BITS, bounded
from ..reference import names_of
from ..settle import Settling
from .matrix import Array, address
from .structures import PARTS, TensorStruct

__all__ = ["Tensors"]

_Two = tuple[Array, Array]
_Shifts = dict[str, tuple[Array, ...]]


def _behind(exponents: Array) -> Array:
    """Of the step behind, by steps from the end; the last step has none."""
    return np.concatenate([exponents[:1], exponents[:-1]])


class Tensors:
    """Shifts of all gradients of a layer at each step, and what is seen of them.

    Parameters
    ----------
    layer : LstmLayer
    n : int
        Its number.
    steps : int
    finest : mapping of str to int
        Most fraction bits of each matrix: those of its transposed products.
    settling : Settling
    up_exponent : int
        Of the gradients of the outputs.
    below : str
        The tensor of the level below, or empty.
    """

    def __init__(
        self,
        layer: LstmLayer,
        n: int,
        steps: int,
        finest: Mapping[str, int],
        settling: Settling,
        up_exponent: int,
        below: str,
    ):
        self.settling, self.below, self.n, self.steps = settling, below, n, steps
        self.exponents = {
            name.partition(".")[0]: np.array(
                [settling.exponent(name, t) for t in range(self.steps)]
            )
            for name in names_of(layer, n)
        }
        d, up = self.exponents["d"], np.full(self.steps, up_exponent)
        self.shifts: dict[str, tuple[Array, ...]]
        above = (up, _behind(d) - finest["weight_hh"])
        if isinstance(layer.arithmetic, CellArithmetic):
            self.shifts = self._of_lstm(layer.arithmetic.gate.frac, above, finest)
        else:
            self.shifts = self._of_gru(layer.arithmetic.gate.frac, above, finest)
        if below:
            one = settling.exponent(below, 0)
            self.shifts["x"] = (one - (d - finest["weight_ih"]),)
        self.low = {
            kind: int(self.exponents[kind].min()) for kind in self.exponents if kind in "dr"
        }
        self.lifts = {
            {"d": "lift", "r": "lift_r"}[kind]: (self.exponents[kind] - low).astype(np.int32)
            for kind, low in self.low.items()
        }

    def _of_lstm(self, frac: int, above: _Two, finest: Mapping[str, int]) -> _Shifts:
        d, c, h = (self.exponents[kind] for kind in "dch")
        found: _Shifts = {
            "c": (c - (h - FACTOR_BITS), c - (_behind(c) - frac)),
            "d": (d - (c - FACTOR_BITS), d - (h - FACTOR_BITS)),
            "h": (h - above[0], h - above[1]),
        }
        if "r" in self.exponents:
            r = self.exponents["r"]
            found["r"] = (r - above[0], r - above[1])
            found["h"] = (h - (r - finest["weight_hr"]),)
        return found

    def _of_gru(self, frac: int, above: _Two, finest: Mapping[str, int]) -> _Shifts:
        d, h, v = (self.exponents.get(kind) for kind in "dhv")
        assert d is not None
        assert h is not None
        of_h = (h - above[0], h - above[1], h - (_behind(h) - frac))
        of_d = (d - (h - FACTOR_BITS),)
        if v is None:
            return {"h": of_h, "d": of_d}
        return {
            "h": (*of_h, h - (_behind(v) - frac)),
            "d": (*of_d, d - (v - FACTOR_BITS)),
            "v": (v - (d - finest["weight_hh"]),),
        }

    def structs(self) -> dict[str, TensorStruct]:
        """By their names in the layer's structure."""
        self._kept: dict[str, tuple[Array, ...]] = {}
        return {f"of_{kind}": self._struct(kind) for kind in self.shifts}

    def _name(self, kind: str) -> str:
        return self.below if kind == "x" else f"{kind}.{self.n}"

    def _struct(self, kind: str) -> TensorStruct:
        shifts = [np.array([bounded(int(s)) for s in each], np.int32) for each in self.shifts[kind]]
        seen, lost = np.zeros(self.steps, np.uint64), np.zeros(1, np.uint64)
        self._kept[kind] = (seen, lost, *shifts)
        pointers = [address(each) for each in shifts] + [None] * (PARTS - len(shifts))
        bits = self.settling.exponents.widths[self._name(kind)]
        return TensorStruct(
            (ctypes.c_void_p * PARTS)(*pointers), address(seen), address(lost), bits
        )

    def note(self) -> None:
        """Tell the settling what was seen."""
        for kind, (seen, lost, *_) in self._kept.items():
            found = seen[:1] if kind == "x" else seen
            bits = np.array([int(each).bit_length() for each in found], np.int64)
            self.settling.seen.note_steps(self._name(kind), bits, int(lost[0]))
