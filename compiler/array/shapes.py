"""Layers as an array sees them: their geometries on so many lanes, rows, rounds and cycles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from operator import add
from typing import TYPE_CHECKING

from csb_format.cells import cell_named
from csb_format.cells.cell import Cell
from csb_format.scales import DesignError

from .regions import LayerWidths
from .rounds import Rounds

if TYPE_CHECKING:
    from csb_format.geometry import Geometry
    from csb_format.model import Model
    from csb_format.shape import LstmShape, ModelShape

__all__ = [
    "LayerShape",
    "LinearNeeds",
    "asks_by_gate",
    "beat_sizes",
    "fewest_lanes",
    "merged",
    "programs",
]


def programs(model: ModelShape) -> tuple[tuple[LstmShape, ...], ...]:
    """Layers that run in one program: all of them, or the two directions of each level.

    A level of two directions needs the last frame of the level before to start, so each
    is a program of its own and the host turns the outputs of one into the frames of the
    next.
    """
    return (model.layers,) if model.directions == 1 else model.levels


def merged(geometry: Geometry, lanes: int) -> Geometry:
    """A matrix's geometry as an array of ``lanes`` runs it: adjacent banks merged.

    A matrix without a weight keeps one entry a bank, of value 0.

    Raises
    ------
    DesignError
        If ``lanes`` does not divide the banks.
    """
    if geometry.banks % lanes:
        raise DesignError(
            f"lanes = {lanes} does not divide the {geometry.banks} banks that the matrix of "
            f"{geometry.rows} x {geometry.columns} was pruned with: choose a divisor of "
            f"{geometry.banks}, or prune with other banks"
        )
    seen = geometry.merged(geometry.banks // lanes)
    return replace(seen, nonzeros=max(1, seen.nonzeros))


def asks_by_gate(model: ModelShape | Model) -> bool:
    """Whether gates of a model keep different numbers of weights, and slots of their own help."""
    shape = model.shape
    matrices = (geometry for layer in shape.layers for geometry in layer.geometries.values())
    # where each gate has passes of its own any array does
    return len(cell_named(shape.cell).passes) == 1 and any(g.parts for g in matrices)


def fewest_lanes(
    pes: int, lanes: int, groups: int, *, rows: int = 1, projectors: bool = False
) -> int:
    """Fewest element-wise lanes (or projectors) that keep up with the products.

    Every slot they take up to ``pes / rows`` results in ``groups`` cycles or more. They divide the
    vector lanes, so that each serves banks of its own, or are a multiple of these: several places
    of a bank are then written at once. PEs beyond whole beats have no rows; where none keeps up
    with all PEs, those that take the most results a cycle.
    """
    results = pes // rows
    fitting = beat_sizes(lanes) if projectors else beat_sizes(lanes)[:-1]

    def taken(lanes: int) -> Fraction:
        beats = results // lanes
        return Fraction(lanes * beats, max(groups, beats))

    return max((n for n in fitting if n <= results), key=taken, default=1)


def beat_sizes(lanes: int) -> list[int]:
    """Results that may come home at once: in some of the banks, or in up to eight places of all."""
    return [n for n in range(1, lanes + 1) if lanes % n == 0] + [n * lanes for n in (2, 4, 8)]


@dataclass(frozen=True)
class LayerShape:
    """Geometries of one layer's matrices on N lanes.

    Parameters
    ----------
    ih, hh : Geometry
    hr : Geometry or None
        Of the projection.
    cell : Cell
    by_gate : bool
        Whether a slot has the rows of one gate.
    """

    ih: Geometry
    hh: Geometry
    hr: Geometry | None
    cell: Cell
    by_gate: bool = False

    @classmethod
    def of(cls, layer: LstmShape, lanes: int, *, by_gate: bool = False) -> LayerShape:
        """Shapes of a layer on ``lanes`` multipliers a PE."""
        return cls(
            merged(layer.weight_ih, lanes),
            merged(layer.weight_hh, lanes),
            merged(layer.weight_hr, lanes) if layer.weight_hr else None,
            layer.arithmetic,
            by_gate,
        )

    @property
    def resets(self) -> bool:
        """Whether rows of ``hh`` read ``r * h``."""
        return bool(self.cell.resets)

    @property
    def lanes(self) -> int:
        """N."""
        return self.ih.banks

    @property
    def gates(self) -> int:
        """Rows of ``ih`` for each unit."""
        return len(self.cell.gate_names)

    @property
    def matrices(self) -> tuple[Geometry, ...]:
        """All matrices, in the order in which memory holds them."""
        return (self.ih, self.hh) if self.hr is None else (self.ih, self.hh, self.hr)

    @property
    def widths(self) -> LayerWidths:
        """Places in a bank of its vectors."""
        hidden = self.hr.bank_width if self.hr else 0
        return LayerWidths(self.hh.bank_width, hidden, self.hidden if self.resets else 0)

    @property
    def hidden(self) -> int:
        """Places of h in a bank."""
        return (self.hr or self.hh).bank_width

    def rounds(self, pes: int) -> list[Rounds]:
        """How the rows of a gate matrix follow each other in each of the cell's passes."""
        abreast = self.cell.abreast
        blocks = -(-abreast * self.lanes * self.hidden // pes)
        most = abreast if self.by_gate else 1
        return [Rounds(rows, abreast, blocks, most) for rows in self.cell.kinds]

    def slots(self, pes: int) -> int:
        """Rows of each gate matrix that every PE works on."""
        return sum(rounds.slots for rounds in self.rounds(pes))

    def projection_slots(self, pes: int) -> int:
        """Rows of the projection that every PE works on; 0 without one."""
        return -(-self.lanes * self.hh.bank_width // pes) if self.hr else 0

    def groups(self, pes: int, projecting: int) -> int:
        """CSB groups that every PE stores, of ``projecting`` PEs those of the projection."""
        kept = self.kept(self.ih), self.kept(self.hh)
        gates = sum(rounds.groups(k) for rounds in self.rounds(pes) for k in kept)
        return gates + self.projection_slots(projecting) * (self.hr.nonzeros if self.hr else 0)

    def cycles(self, pes: int, beats: int, *, early: bool) -> tuple[int, int]:
        """Of passes that feed the lanes, which take a slot's units in some beats, and that park.

        Parameters
        ----------
        pes : int
            That have rows.
        beats : int
        early : bool
            The input's sums are parked, and those of the state feed the lanes.
        """
        parked, fed = map(self.kept, (self.ih, self.hh) if early else (self.hh, self.ih))
        rounds = self.rounds(pes)
        taken = sum(one.taken(fed, beats) for one in rounds)
        return taken, sum(one.groups(parked) for one in rounds)

    def kept(self, matrix: Geometry) -> tuple[int, ...]:
        """Groups of the rows of each gate: of the fullest, where slots have more than one gate."""
        own = self.by_gate or len(self.cell.passes) > 1
        parts = matrix.parts if own else ()
        return tuple(max(1, k) for k in parts or (matrix.nonzeros,) * self.gates)

    @property
    def row_groups(self) -> int:
        """Most groups that one accumulator sums up."""
        found: list[int] = list(map(add, self.kept(self.ih), self.kept(self.hh)))
        return max(found)

    def units(self, units: int) -> int:
        """Beats of ``units`` results in which h comes home."""
        return -(-self.lanes * self.hidden // units)

    def projected(self, projectors: int) -> int:
        """Beats in which the projected state comes home; 0 without a projection."""
        return -(-self.lanes * self.hh.bank_width // projectors) if self.hr else 0

    def cells(self, pes: int, units: int) -> int:
        """Places in the memories of an element-wise lane, those of padding rows included."""
        return max(self.units(units), self.slots(pes) * pes // (self.gates * units))


@dataclass(frozen=True)
class LinearNeeds:
    """A dense linear layer on N lanes.

    Parameters
    ----------
    groups : int
        Of a row: places in a bank of the vector that it takes.
    width : int
        Places in a bank of what it gives.
    lanes : int
        N.
    """

    groups: int
    width: int
    lanes: int

    def slots(self, pes: int) -> int:
        """Rows that each of so many PEs works on."""
        return -(-self.lanes * self.width // pes)

    def beats(self, projectors: int) -> int:
        """Beats in which its results come home, or leave."""
        return -(-self.lanes * self.width // projectors)
