"""The passes that a frame takes through the network, before they are put in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from csb_format.csb import Csb
from csb_format.fixed import IntArray
from csb_format.model import DenseLayer, LstmLayer
from csb_format.scales import DesignError, Scales

from ..array.design import Design
from ..array.needs import LayerShape, Needs, merged
from ..array.placement import Placement
from ..array.program import Instruction, Op, Place, Sink
from ..array.regions import Regions

__all__ = ["LayerPasses", "Pass", "as_seen", "head_pass", "layer_passes"]

Vector = tuple[str, int]


@dataclass(frozen=True)
class Pass:
    """One matrix times one vector.

    Parameters
    ----------
    name : str
        For people: layer and matrix.
    matrix : Csb
        As the array sees it.
    placement : Placement
        Of its rows.
    instruction : Instruction
        Without addresses of matrix, bias and program, and without leads.
    reads : (str, int)
        The vector: ``("frame", part)``, ``("state", layer)`` or ``("hidden", layer)``.
    writes : (str, int) or None
    bias : int64 array (rows,) or None
        What its results meet in the lanes.
    """

    name: str
    matrix: Csb
    placement: Placement
    instruction: Instruction
    reads: Vector
    writes: Vector | None = None
    bias: IntArray | None = None

    @property
    def sink(self) -> Sink:
        """Who takes its results."""
        return self.instruction.sink

    @property
    def cycles(self) -> int:
        """Cycles in which it issues."""
        return self.instruction.cycles

    def chunk(self, first: int, slots: int) -> Pass:
        """Some of its slots."""
        now = self.instruction
        part = replace(
            now,
            slot=now.slot + first,
            slots=slots,
            matrix=now.matrix + first * now.groups,
        )
        return replace(self, instruction=part)

    def at(self, **fields: object) -> Pass:
        """The pass with other fields of its instruction."""
        return replace(self, instruction=replace(self.instruction, **fields))  # type: ignore[arg-type]


@dataclass(frozen=True)
class LayerPasses:
    """The passes of one layer.

    Parameters
    ----------
    park : Pass
        Its sums are parked: the one that can run early.
    finish : Pass
        Adds to them and feeds the element-wise lanes.
    project : Pass or None
    """

    park: Pass
    finish: Pass
    project: Pass | None

    def __iter__(self) -> Iterator[Pass]:
        return (p for p in (self.park, self.finish, self.project) if p is not None)

    @property
    def output(self) -> Pass:
        """The pass that writes the layer's state."""
        return self.project or self.finish


def layer_passes(
    needs: Needs,
    design: Design,
    program: int,
    index: int,
    layer: LstmLayer,
    matrices: tuple[Csb, ...],
    slot: int,
) -> LayerPasses:
    """Passes of a layer.

    An entry layer parks the input's sums, as the next frame is there early; a later layer
    parks those of its own last state.

    Parameters
    ----------
    needs : Needs
    design : Design
    program, index : int
        Number of the program, of the layer in it.
    layer : LstmLayer
    matrices : tuple of Csb
        ``weight_ih``, ``weight_hh`` and the projection's as the array sees them.
    slot : int
        First of its parked sums.
    """
    regions, shape = needs.regions(program), needs.programs[program][index]
    entry = index == 0 or needs.model.directions == 2
    scales = Scales.of(layer)
    placement = Placement(design, layer.hidden_size, shape.hidden)
    common = Instruction(Op.PASS, slot=slot, slots=placement.slots)
    recurrent = replace(
        common,
        source=regions.states[index],
        source_kind=Place.OLD,
        source_span=regions.span(index),
        recurrent=True,
        align=scales.align_hh,
    )
    if entry:
        part = index * regions.part
        given = replace(common, source=part, source_kind=Place.FRAME, align=scales.align_ih)
        feeds: Vector = ("frame", index)
    else:
        given = replace(
            common,
            source=regions.states[index - 1],
            source_kind=Place.NEW,
            source_span=regions.span(index - 1),
            align=scales.align_ih,
        )
        feeds = ("state", index - 1)
    ih = Pass(f"layer {index} weight_ih", matrices[0], placement, given, feeds)
    hh = Pass(f"layer {index} weight_hh", matrices[1], placement, recurrent, ("state", index))
    park, finish = (ih, hh) if entry else (hh, ih)
    return LayerPasses(
        _timed(park),
        _finishing(finish, layer, shape, scales, regions, index),
        _projection(layer, design, shape, matrices, regions, index),
    )


def _finishing(
    given: Pass,
    layer: LstmLayer,
    shape: LayerShape,
    scales: Scales,
    regions: Regions,
    index: int,
) -> Pass:
    """The pass that feeds the element-wise lanes."""
    vector: Vector = ("hidden" if shape.hr else "state", index)
    done = given.at(
        sink=Sink.UNITS,
        parked=True,
        write=True,
        target=regions.hidden[index] if shape.hr else regions.states[index],
        target_kind=Place.FIXED if shape.hr else Place.NEW,
        target_span=regions.span(index),
        beats=given.placement.beats,
        shift=scales.shift,
        advance=index == 0,
    )
    return _timed(replace(done, writes=vector, bias=layer.bias))


def _projection(
    layer: LstmLayer,
    design: Design,
    shape: LayerShape,
    matrices: tuple[Csb, ...],
    regions: Regions,
    index: int,
) -> Pass | None:
    if layer.projection is None:
        return None
    projection = layer.projection
    shift = projection.weight_format.frac + layer.hidden.frac - projection.output.frac
    if not 0 <= shift < 64:
        raise DesignError(
            f"the projection's products have {shift} more fraction bits than its output: "
            "the projectors shift right by 0 to 63; choose other formats"
        )
    placement = Placement(design, layer.output_size, shape.hh.bank_width, gates=1)
    instruction = Instruction(
        Op.PASS,
        sink=Sink.PROJECT,
        write=True,
        slots=placement.slots,
        source=regions.hidden[index],
        target=regions.states[index],
        target_kind=Place.NEW,
        target_span=regions.span(index),
        shift=(shift,) * 4,
        beats=placement.beats,
    )
    name = f"layer {index} weight_hr"
    reads, writes = ("hidden", index), ("state", index)
    return _timed(Pass(name, matrices[2], placement, instruction, reads, writes))


def head_pass(head: DenseLayer, matrix: Csb, design: Design, regions: Regions, index: int) -> Pass:
    """The pass of a linear layer on the state of layer ``index``; its exact sums leave."""
    width = -(-head.output_size // design.lanes)
    placement = Placement(design, head.output_size, width, gates=1)
    instruction = Instruction(
        Op.PASS,
        sink=Sink.PROJECT,
        slots=placement.slots,
        source=regions.states[index],
        source_kind=Place.NEW,
        source_span=regions.span(index),
        beats=placement.beats,
    )
    reads = ("state", index)
    return _timed(Pass("head", matrix, placement, instruction, reads, bias=head.bias))


def _timed(given: Pass) -> Pass:
    """With groups, and the cycles from row to row."""
    design = given.placement.design
    groups = given.matrix.geometry.nonzeros * design.pieces
    interval = {
        Sink.PARK: groups,
        Sink.UNITS: max(design.lane_interval(groups), design.units_per_slot),
        Sink.PROJECT: max(groups, design.results_per_slot),
    }
    return given.at(groups=groups, interval=interval[given.sink])


def as_seen(matrix: Csb, lanes: int) -> Csb:
    """The matrix as an array of ``lanes`` runs it: banks merged, at least one entry a bank."""
    geometry = merged(matrix.geometry, lanes)
    if matrix.geometry.nonzeros:
        return matrix.merge_banks(matrix.geometry.banks // lanes)
    dense = np.zeros((geometry.rows, geometry.columns), np.int64)
    return Csb.pack(dense, geometry, fill=True)
