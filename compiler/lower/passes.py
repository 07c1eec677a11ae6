"""The passes that a frame takes through the network, before they are put in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from csb_format.geometry import Geometry
from csb_format.scales import DesignError, Scales
from csb_format.shape import LstmShape

from ..array.design import Design
from ..array.needs import LayerShape, Needs, programs
from ..array.placement import Placement
from ..array.program import Instruction, Op, Place, Sink
from ..array.regions import Regions

__all__ = ["HEAD", "LayerPasses", "Pass", "head_pass", "layer_passes"]

Vector = tuple[str, int]
HEAD = "head"  # the name of the linear output layer's matrix


@dataclass(frozen=True)
class Pass:
    """One matrix times one vector.

    Parameters
    ----------
    layer : int
        Of the program: whose matrix it is; of a linear layer the one that it reads.
    matrix : {"weight_ih", "weight_hh", "weight_hr", "head"}
    geometry : Geometry
        Of the matrix as the array sees it.
    placement : Placement
        Of its rows.
    instruction : Instruction
        Without addresses of matrix, bias and program, and without leads.
    reads : (str, int)
        The vector: ``("frame", part)``, ``("state", layer)`` or ``("hidden", layer)``.
    writes : (str, int) or None
    """

    layer: int
    matrix: str
    geometry: Geometry
    placement: Placement
    instruction: Instruction
    reads: Vector
    writes: Vector | None = None

    @property
    def key(self) -> tuple[int, str]:
        """Layer and matrix: the same of all chunks of a pass, and of no other in a program."""
        return self.layer, self.matrix

    @property
    def name(self) -> str:
        """For people: layer and matrix."""
        return self.matrix if self.matrix == HEAD else f"layer {self.layer} {self.matrix}"

    @property
    def biased(self) -> bool:
        """Whether its results meet a bias in the lanes."""
        return self.sink == Sink.UNITS or self.matrix == HEAD

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


def layer_passes(needs: Needs, design: Design, program: int, index: int, slot: int) -> LayerPasses:
    """Passes of a layer.

    An entry layer parks the input's sums, as the next frame is there early; a later layer
    parks those of its own last state.

    Parameters
    ----------
    needs : Needs
    design : Design
    program, index : int
        Number of the program, of the layer in it.
    slot : int
        First of its parked sums.
    """
    layer = programs(needs.model.shape)[program][index]
    regions, shape = needs.regions(program), needs.programs[program][index]
    entry = index == 0 or needs.model.directions == 2
    scales = Scales.of(layer)
    placement = Placement(design, layer.hidden_size, shape.hidden)
    common = Instruction(Op.PASS, slot=slot, slots=placement.slots, last_turn=placement.turns - 1)
    recurrent = replace(
        common,
        source=regions.states[index],
        source_kind=Place.OLD,
        source_span=regions.span(index),
        recurrent=True,
        align=scales.align_hh,
    )
    given, feeds = _feeding(replace(common, align=scales.align_ih), regions, index, entry)
    ih = Pass(index, "weight_ih", shape.ih, placement, given, feeds)
    hh = Pass(index, "weight_hh", shape.hh, placement, recurrent, ("state", index))
    park, finish = (ih, hh) if entry else (hh, ih)
    return LayerPasses(
        _timed(park),
        _finishing(finish, shape, scales, regions, index),
        _projection(layer, design, shape, regions, index),
    )


def _feeding(
    common: Instruction, regions: Regions, index: int, entry: bool
) -> tuple[Instruction, Vector]:
    """The instruction of a pass over a layer's input, and the vector that this is."""
    if entry:
        part = index * regions.part
        return replace(common, source=part, source_kind=Place.FRAME), ("frame", index)
    before = index - 1
    given = replace(
        common,
        source=regions.states[before],
        source_kind=Place.NEW,
        source_span=regions.span(before),
    )
    return given, ("state", before)


def _finishing(
    given: Pass, shape: LayerShape, scales: Scales, regions: Regions, index: int
) -> Pass:
    """The pass that feeds the element-wise lanes."""
    vector: Vector = ("hidden" if shape.hr else "state", index)
    done = given.at(
        sink=Sink.UNITS,
        parked=True,
        swapped=bool(given.placement.design.arithmetic.apart) and given.matrix == "weight_ih",
        write=True,
        target=regions.hidden[index] if shape.hr else regions.states[index],
        target_kind=Place.FIXED if shape.hr else Place.NEW,
        target_span=regions.span(index),
        beats=given.placement.beats,
        shift=scales.shift,
        advance=index == 0,
    )
    return _timed(replace(done, writes=vector))


def _projection(
    layer: LstmShape, design: Design, shape: LayerShape, regions: Regions, index: int
) -> Pass | None:
    if layer.weight_hr_format is None or shape.hr is None:
        return None
    shift = layer.weight_hr_format.frac + layer.hidden.frac - layer.output.frac
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
        shift=(shift,) * design.sums,
        beats=placement.beats,
    )
    reads, writes = ("hidden", index), ("state", index)
    return _timed(Pass(index, "weight_hr", shape.hr, placement, instruction, reads, writes))


def head_pass(needs: Needs, design: Design, program: int, index: int) -> Pass:
    """The pass of the linear output layer on the state of layer ``index``; its exact sums leave.

    The layer is dense: every bank keeps all of its places.
    """
    head, regions = needs.model.head, needs.regions(program)
    if head is None:
        raise DesignError("the model has no linear output layer: pack it with its classifier")
    width, groups = -(-head.output_size // design.lanes), needs.head_groups
    bits = head.weight_format.width
    geometry = Geometry(head.output_size, head.input_size, design.lanes, groups, bits, groups)
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
    return _timed(Pass(index, HEAD, geometry, placement, instruction, ("state", index)))


def _timed(given: Pass) -> Pass:
    """With groups, and the cycles from row to row."""
    design = given.placement.design
    groups = given.geometry.nonzeros * design.pieces
    interval = {
        Sink.PARK: groups,
        Sink.UNITS: max(design.lane_interval(groups), design.units_per_slot),
        Sink.PROJECT: max(groups, design.results_per_slot),
    }
    return given.at(groups=groups, interval=interval[given.sink])
