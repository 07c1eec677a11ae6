"""Which row every PE works on in every slot, and where its result goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from csb_format.fixed import IntArray

from .design import Design
from .rounds import Rounds

__all__ = ["PADDING", "InOrder", "Placement", "dealt", "row_order", "rows_by_gate"]

PADDING = -1
_RECURRENT = re.compile(r"^(.*)weight_(ih|hh)((?:_l\d+)?(?:_reverse)?)$")


def dealt(size: int, width: int, lanes: int) -> IntArray:
    """Elements round robin over banks, so that results done together lie in different ones.

    Parameters
    ----------
    size : int
        Elements of the vector.
    width : int
        w, its places in a bank.
    lanes : int
        N, banks.

    Returns
    -------
    int64 array (N * w,)
        Element ``(t mod N) * w + t div N`` at place ``t``, -1 for padding.
    """
    order = np.arange(lanes * width, dtype=np.int64).reshape(lanes, width).T.ravel()
    return np.where(order < size, order, PADDING)


def row_order(name: str, shapes: Mapping[str, tuple[int, int]], lanes: int) -> IntArray:
    """Rows in processing order: the gates of a unit together, units dealt over the banks of h.

    Parameters
    ----------
    name : str
        A parameter of ``shapes``.
    shapes : Mapping[str, (rows, columns)]
        Of all matrices of the model: the hidden size of a cell is read from its
        ``weight_hh``, or from its ``weight_hr`` where it has a projection.
    lanes : int
        N, at least 1.

    Returns
    -------
    int64 array (rows,)
        Matrices of other layers stay as they are.
    """
    rows = shapes[name][0]
    hidden = _hidden(name, shapes)
    if hidden == rows:
        return np.arange(rows)
    units = dealt(hidden, -(-hidden // lanes), lanes)
    units = units[units >= 0]
    return (np.arange(rows // hidden) * hidden + units[:, None]).ravel()


def rows_by_gate(order: IntArray, gates: int, abreast: int, pes: int) -> IntArray:
    """Rows in slots of one gate.

    Parameters
    ----------
    order : int64 array (rows,)
        Rows in processing order, the gates of a unit together.
    gates : int
        Of a unit.
    abreast : int
        Of them, those that PEs side by side would work on at once.
    pes : int
        M, a multiple of ``abreast``.

    Returns
    -------
    int64 array (slots, M)
        -1 is no row.
    """
    units, block = order.reshape(-1, gates), pes // abreast
    rounds = Rounds(tuple(range(gates)), abreast, -(-len(units) // block), abreast)
    missing = rounds.blocks * block - len(units)
    padded = np.pad(units, ((0, missing), (0, 0)), constant_values=PADDING)
    found = padded.reshape(rounds.blocks, block, gates)[rounds.places, :, rounds.gates]
    return found.swapaxes(1, 2).reshape(rounds.slots, pes)


def _hidden(name: str, shapes: Mapping[str, tuple[int, int]]) -> int:
    """Units of the cell that a matrix belongs to; its rows if it belongs to none."""
    rows, match = shapes[name][0], _RECURRENT.match(name)
    if match is None:
        return rows
    recurrent = shapes.get(f"{match[1]}weight_hr{match[3]}")
    recurrent = recurrent or shapes.get(f"{match[1]}weight_hh{match[3]}")
    hidden = recurrent[1] if recurrent else rows
    return hidden if rows % hidden == 0 else rows


@dataclass(frozen=True)
class InOrder:
    """Numbers that leave one a beat, as they are.

    Parameters
    ----------
    size : int
    """

    size: int
    lanes: ClassVar[int] = 1

    @property
    def beats(self) -> int:
        """One each."""
        return self.size

    def to_order(self, natural: IntArray) -> IntArray:
        """The same."""
        return natural

    def from_order(self, ordered: IntArray) -> IntArray:
        """The same."""
        return ordered


@dataclass(frozen=True)
class Placement:
    """The elements of a vector in processing order.

    Element ``t`` of the processing order is element ``(t mod N) * w + t div N`` of the
    vector, so that results that are done together lie in different banks.

    Parameters
    ----------
    design : Design
    size : int
        Elements of the vector: units of a layer, outputs of a projection.
    bank_width : int
        w, its places in a bank.
    gates : int
        Rows of the matrix for each element: those of the cell for units, by default; 1 for
        outputs.
    kind : int
        Of units: which of the cell's passes, as each has the rows of its own gates.
    """

    design: Design
    size: int
    bank_width: int
    gates: int = 0
    kind: int = 0

    def __post_init__(self) -> None:
        if not self.gates:
            object.__setattr__(self, "gates", self.design.gates)

    @property
    def _units(self) -> bool:
        return self.gates == self.design.gates

    @property
    def rows_of(self) -> tuple[int, ...]:
        """Which of the rows of an element are worked on, in the order of their turns."""
        return self.design.arithmetic.kinds[self.kind] if self._units else (0,)

    @property
    def abreast(self) -> int:
        """Rows of an element that PEs side by side work on at once."""
        return self.design.abreast if self._units else 1

    @property
    def block(self) -> int:
        """Elements whose rows abreast PEs have room for at once, in whole beats of the lanes."""
        design = self.design
        return self.lanes * (design.units_per_slot if self._units else design.results_per_slot)

    @property
    def blocks(self) -> int:
        """Parts of the elements that PEs work on at once."""
        return -(-self.elements // self.block)

    @property
    def rounds(self) -> Rounds:
        """How the rows follow each other."""
        most = self.design.blocks if self._units else 1
        return Rounds(self.rows_of, self.abreast, self.blocks, most)

    @property
    def elements(self) -> int:
        """Elements with padding, N * w."""
        return self.design.lanes * self.bank_width

    @property
    def lanes(self) -> int:
        """Results of a beat: E, or Q where there is one row an element."""
        return self.design.units if self._units else self.design.projectors

    @property
    def beats(self) -> int:
        """Beats in which all results come home."""
        return -(-self.elements // self.lanes)

    @property
    def slots(self) -> int:
        """Rows that every PE works on in a pass."""
        return self.rounds.slots

    @property
    def order(self) -> IntArray:
        """Element at each place of the processing order, int64, -1 for padding."""
        order = dealt(self.size, self.bank_width, self.design.lanes)
        places = self.blocks * self.block
        return np.pad(order, (0, places - len(order)), constant_values=PADDING)

    @property
    def rows(self) -> IntArray:
        """Row of the matrix in each slot and PE, int64 (slots, M), -1 for padding."""
        rounds = self.rounds
        of_block = self.order.reshape(self.blocks, -1)
        element = of_block[rounds.places].swapaxes(1, 2)  # slot, unit of a block, job
        row = np.where(element < 0, PADDING, element + rounds.gates[:, None] * self.size)
        placed = row.reshape(self.slots, -1)
        idle = self.design.pes - placed.shape[1]
        return np.pad(placed, ((0, 0), (0, idle)), constant_values=PADDING)

    @property
    def _dealt(self) -> IntArray:
        """The order of what the lanes put out: whole beats."""
        return self.order[: self.beats * self.lanes]

    def to_order(self, natural: IntArray) -> IntArray:
        """Values (..., size) by element to values (..., beats * lanes) as they are put out."""
        order = self._dealt
        return np.where(order < 0, 0, natural[..., order])

    def from_order(self, ordered: IntArray) -> IntArray:
        """Values (..., beats * lanes) as they are put out to values (..., size) by element."""
        order = self._dealt
        natural = np.zeros((*ordered.shape[:-1], self.size), ordered.dtype)
        natural[..., order[order >= 0]] = ordered[..., order >= 0]
        return natural
