"""Where the cycles of a step jump, and why: rules of the array, from its own formulas.

What a frame takes follows from a few whole numbers: slots, places in a bank, groups of a row and
beats.
Sizes that leave all of them as they are take the same cycles; a step is where one changes. So of
all networks between two steps only the largest is worth a look, a multiple of N. Of arrays all are:
within a number of slots more PEs leave fewer beats to the last slot, whose results nothing follows
that would hide them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .design import Design
from .needs import Needs
from .shapes import LayerShape

if TYPE_CHECKING:
    from csb_format.model import Model
    from csb_format.shape import ModelShape

__all__ = ["VERSION", "Counts", "LayerCounts", "causes", "counts", "whole_units"]

VERSION = 1
"""Of these rules: it goes up when they, or the formulas that they follow from, change."""


@dataclass(frozen=True)
class LayerCounts:
    """What the cycles of a layer follow from.

    Parameters
    ----------
    slots : tuple of int
        Rows of each gate that a PE works on, of every pass of the cell.
    input_places, state_places, cell_places : int
        Elements of x, of the recurrent state and of h in a bank.
    input_groups, state_groups : tuple of int
        Groups of a row of every gate, of ``weight_ih`` and of ``weight_hh``.
    projection_slots, projection_groups : int
        Of the projection; 0 without one.
    """

    slots: tuple[int, ...]
    input_places: int
    state_places: int
    cell_places: int
    input_groups: tuple[int, ...]
    state_groups: tuple[int, ...]
    projection_slots: int
    projection_groups: int

    @classmethod
    def of(cls, shape: LayerShape, working: int, rounding: int) -> LayerCounts:
        """Of a layer on PEs of which so many have rows of units and of projections."""
        return cls(
            tuple(rounds.slots for rounds in shape.rounds(working)),
            shape.ih.bank_width,
            shape.hh.bank_width,
            shape.hidden,
            shape.kept(shape.ih),
            shape.kept(shape.hh),
            shape.projection_slots(rounding),
            shape.hr.nonzeros if shape.hr else 0,
        )


@dataclass(frozen=True)
class Counts:
    """What the cycles of a step follow from: networks and arrays with the same take the same.

    Parameters
    ----------
    layers : tuple of LayerCounts
    lanes : int
        N.
    units, units_a_slot : int
        E, and units that a lane takes at the end of a slot.
    projectors, results_a_slot : int
        Q, and results that a projector takes.
    head : tuple of int
        Slots, groups and beats of each linear layer; zeros without one.
    kind : tuple
        What else latencies follow from: the cell, directions, streams, options of the design.
    """

    layers: tuple[LayerCounts, ...]
    lanes: int
    units: int
    units_a_slot: int
    projectors: int
    results_a_slot: int
    head: tuple[int, ...]
    kind: tuple[str | int | bool, ...]


def counts(model: Model | ModelShape, design: Design, *, head: bool = False) -> Counts:
    """What the cycles of a model on a design follow from; weights and bits are not among it.

    Parameters
    ----------
    model : Model or ModelShape
    design : Design
        The smallest that holds it, as :func:`~compiler.array.needs.design_for` makes it: a larger
        output buffer or program would be other latencies.
    head : bool
        Whether its linear output layer runs on the array too.
    """
    d = design
    needs = Needs(
        model, d.pes, d.lanes, d.units, d.projectors, d.contexts, head, d.by_gate,
        slot_units=d.slot_units, slot_results=d.slot_results,
    )  # fmt: skip
    working, rounding = needs.working_pes
    kind = (d.cell, needs.model.directions, d.contexts, d.by_gate, d.deep, d.compact, d.streamed,
            d.fan_in, d.pieces, d.shallow)  # fmt: skip
    return Counts(
        tuple(LayerCounts.of(shape, working, rounding) for shape in needs.shapes),
        d.lanes,
        d.units,
        d.units_per_slot,
        d.projectors,
        d.results_per_slot,
        needs.linear_counts or (0, 0, 0),
        kind,
    )


_LAYER_CAUSES = {
    "slots": "slots of {PEs} PEs, {before} to {after}",
    "input_places": "places of x in a bank, {before} to {after}",
    "state_places": "places of h in a bank, {before} to {after}",
    "input_groups": "groups of a row of weight_ih, {before} to {after}",
    "state_groups": "groups of a row of weight_hh, {before} to {after}",
    "projection_slots": "slots of the projection, {before} to {after}",
    "projection_groups": "groups of a row of the projection, {before} to {after}",
}
_CAUSES = {
    "lanes": "multipliers of a PE, {before} to {after}",
    "units": "element-wise lanes, {before} to {after}",
    "projectors": "projectors, {before} to {after}",
    "head": "slots, groups, beats of the linear layers, {before} to {after}",
}


def causes(before: Counts, after: Counts, pes: int) -> tuple[str, ...]:
    """What changed between two sides of a step, for people; the weightiest first.

    Parameters
    ----------
    before, after : Counts
    pes : int
        M, of the array after it.
    """
    found = [text.format(before=getattr(before, n), after=getattr(after, n))
             for n, text in _CAUSES.items() if getattr(before, n) != getattr(after, n)]  # fmt: skip
    if len(before.layers) != len(after.layers):
        return (f"layers, {len(before.layers)} to {len(after.layers)}", *found)
    layers = list(_layer_causes(before, after, pes))
    return tuple(dict.fromkeys([*layers, *found]))


def _layer_causes(before: Counts, after: Counts, pes: int) -> Iterator[str]:
    for name, text in _LAYER_CAUSES.items():
        for old, new in zip(before.layers, after.layers, strict=True):
            was, now = _plain(getattr(old, name)), _plain(getattr(new, name))
            if was != now:
                yield text.format(PEs=pes, before=was, after=now)


def _plain(value: int | tuple[int, ...]) -> str:
    """A number, or those of gates and passes: one where they are alike."""
    if isinstance(value, int):
        return str(value)
    return str(value[0]) if len(set(value)) == 1 else "+".join(map(str, value))


def whole_units(units: int, lanes: int) -> int:
    """The largest layer that takes exactly the same cycles as one of so many units, or inputs.

    Elements lie in whole places of all N banks, so only at a multiple of N can a step begin.

    Parameters
    ----------
    units, lanes : int
        H (or X, or P), and N.

    Returns
    -------
    int
        A multiple of N, at least ``units``.
    """
    return -(-units // lanes) * lanes
