"""The passes that a frame takes through the network, before they are put in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

from csb_format.geometry import Geometry
from csb_format.heads.mlp import layer_names
from csb_format.scales import DesignError, Scales
from csb_format.shape import LstmShape

from ..array.batch import row_interval
from ..array.design import Design
from ..array.needs import Needs
from ..array.placement import Placement
from ..array.program import Instruction, Op, Place, Sink
from ..array.regions import Regions, span_of
from ..array.rounds import Round
from ..array.shapes import LayerShape, programs

__all__ = [
    *("HEAD", "LayerPasses", "Pass"),
    *("head_passes", "layer_passes", "linear_number", "timed"),
]

Vector = tuple[str, int]
(HEAD,) = layer_names(1)  # the name of the linear output layer's matrix
_HIDDEN = f"{HEAD}."  # what those of layers before it begin with


@dataclass(frozen=True)
class Pass:
    """One matrix times one vector.

    Parameters
    ----------
    layer : int
        Of the program: whose matrix it is; of a linear layer the one that it reads.
    matrix : {"weight_ih", "weight_hh", "weight_hr", "head", "head.hidden.0", ...}
    geometry : Geometry
        Of the matrix as the array sees it.
    placement : Placement
        Of its rows.
    instruction : Instruction
        Without addresses of matrix, bias and program, and without leads.
    reads : (str, int)
        The vector: ``("frame", part)``, ``("state", layer)``, ``("hidden", layer)`` or
        ``("reset", layer)``, which is ``r * h``; ``("linear", n)``, of hidden linear layer n.
    writes : (str, int) or None
    groups : tuple of int
        CSB groups in which the rows of each gate are run; one of a matrix that has none.
    skips : int
        Groups of each row that a pass before it has run, whose sums are parked.
    """

    layer: int
    matrix: str
    geometry: Geometry
    placement: Placement
    instruction: Instruction
    reads: Vector
    writes: Vector | None = None
    groups: tuple[int, ...] = (1,)
    skips: int = 0

    @property
    def kind(self) -> int:
        """Which of the cell's passes over the matrix; 0 of other matrices."""
        return self.placement.kind

    @property
    def key(self) -> tuple[int, str, int, int]:
        """Of layer, matrix, kind, groups: the same of all chunks of a pass, and of no other."""
        return self.layer, self.matrix, self.kind, self.skips

    @property
    def name(self) -> str:
        """For people: layer and matrix, and the gates where these have passes of their own."""
        if self.linear:
            return self.matrix
        gates = self.placement.design.arithmetic.passes
        rows = f" {gates[self.kind]}" if len(gates) > 1 else ""
        return f"layer {self.layer} {self.matrix}{rows}"

    @property
    def biased(self) -> bool:
        """Whether its results meet a bias in the lanes."""
        return self.sink == Sink.UNITS or self.linear

    @property
    def linear(self) -> bool:
        """Whether the matrix is that of a linear layer of the head, whose rows are dense."""
        return self.matrix == HEAD or self.matrix.startswith(_HIDDEN)

    @property
    def sink(self) -> Sink:
        """Who takes its results."""
        return self.instruction.sink

    @property
    def below(self) -> bool:
        """Whether it reads what the layer before gives for the same frame."""
        return self.matrix == "weight_ih" and self.reads[0] == "state"

    @property
    def kept(self) -> list[set[int]]:
        """Of each slot of its first round the numbers of weights that rows keep in a bank."""
        rounds, now = self.placement.rounds, self.instruction
        first = rounds.opening if now.opening and rounds.opening else rounds.whole
        parts = self.geometry.parts or (self.geometry.nonzeros,) * (1 + max(first.rows))
        return [{parts[gate] for gate in gates} for gates in first.gates.tolist()]

    @property
    def words(self) -> int:
        """Words of a PE that the whole pass takes: one a CSB group, or fewer of the head."""
        return -(-self.placement.rounds.groups(self.groups) // self.per_word)

    @property
    def per_word(self) -> int:
        """CSB groups in a word of a PE."""
        return self.placement.design.groups_per_word if self.matrix == HEAD else 1

    @property
    def cycles(self) -> int:
        """Cycles in which it issues."""
        return self.instruction.cycles

    def chunk(self, first: int, slots: int) -> Pass:
        """Some of its rounds, by their slots."""
        now = self.instruction
        part = replace(
            now,
            slot=now.slot + first,
            slots=slots,
            matrix=now.matrix + int(now.walk.groups[:first].sum()),
            opening=now.opening * (first == 0),
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
    parks : tuple of Pass
        Their sums are parked; one for each of the cell's passes over a matrix.
    finishes : tuple of Pass
        Each adds to those of one of them and feeds the element-wise lanes.
    project : Pass or None
    begun : Pass or None
        The first groups of the projection's rows, where these are parked until the others come.
    """

    parks: tuple[Pass, ...]
    finishes: tuple[Pass, ...]
    project: Pass | None
    begun: Pass | None = None

    def __iter__(self) -> Iterator[Pass]:
        pairs = zip(self.parks, self.finishes, strict=True)
        every = (*(p for pair in pairs for p in pair), self.begun, self.project)
        return (p for p in every if p is not None)

    @property
    def early(self) -> dict[int, Pass]:
        """Passes that can run early, by the ``id`` of the one that takes their sums."""
        pairs = zip(self.parks, self.finishes, strict=True)
        return {id(finish): park for park, finish in pairs if not park.below}

    @property
    def chain(self) -> list[Pass]:
        """The others, each of which may read what one before it writes."""
        early = {id(park) for park in self.early.values()}
        return [given for given in self if id(given) not in early]

    @property
    def output(self) -> Pass:
        """The pass that writes the layer's state."""
        return self.project or self.finishes[-1]


def layer_passes(needs: Needs, design: Design, program: int, index: int, slot: int) -> LayerPasses:
    """Passes of a layer.

    An entry layer parks the input's sums, as the next frame is there early; a later layer
    parks those of its own last state, and of the input where the state's wait for ``r * h``.

    Parameters
    ----------
    needs : Needs
    design : Design
    program, index : int
        Number of the program, of the layer in it.
    slot : int
        First of its parked sums.
    """
    layer, shape = programs(needs.model.shape)[program][index], needs.programs[program][index]
    made = _Making(layer, shape, design, needs.regions(program), index)
    entry = index == 0 or needs.model.directions == 2
    pairs = []
    for kind in range(design.passes):
        ih, hh, waits = made.input(kind, slot, entry), *made.recurrent(kind, slot)
        pairs.append((ih, hh) if entry or waits else (hh, ih))
        slot += ih.instruction.slots
    return LayerPasses(
        tuple(timed(park) for park, _ in pairs),
        tuple(made.finishing(finish) for _, finish in pairs),
        _projection(layer, design, shape, needs.regions(program), index),
    )


@dataclass(frozen=True)
class _Making:
    """The passes over ``weight_ih`` and ``weight_hh`` of a layer."""

    layer: LstmShape
    shape: LayerShape
    design: Design
    regions: Regions
    index: int

    def _pass(self, matrix: str, kind: int, slot: int, reads: Vector, **fields: object) -> Pass:
        """One of the cell's passes over a matrix."""
        cell, scales = self.design.arithmetic, Scales.of(self.layer)
        placement = Placement(self.design, self.layer.hidden_size, self.shape.hidden, kind=kind)
        geometry, align = {
            "weight_ih": (self.shape.ih, scales.align_ih),
            "weight_hh": (self.shape.hh, scales.align_hh),
        }[matrix]
        common = Instruction(
            Op.PASS,
            slot=slot,
            slots=placement.slots,
            kind=kind,
            last_turn=placement.rounds.whole.turns - 1,
            align=tuple(align[gate] for gate in cell.kinds[kind]),
        )
        groups = self.shape.kept(geometry)
        made = Pass(self.index, matrix, geometry, placement, common, reads, groups=groups)
        return made.at(**fields)

    def input(self, kind: int, slot: int, entry: bool) -> Pass:
        """Over the layer's input."""
        given, before = partial(self._pass, "weight_ih", kind, slot), self.index - 1
        if entry:
            part = self.index * self.regions.part
            given = partial(given, ("frame", self.index), source=part, source_kind=Place.FRAME)
            return given(source_span=span_of(self.regions.frame) if self.design.batched else 0)
        return given(
            ("state", before),
            source=self.regions.states[before],
            source_kind=Place.NEW,
            source_span=self.regions.span(before),
        )

    def recurrent(self, kind: int, slot: int) -> tuple[Pass, bool]:
        """Over the layer's own state, or over ``r * h``; and whether it is that."""
        given, index = partial(self._pass, "weight_hh", kind, slot), self.index
        cell = self.design.arithmetic
        if set(cell.resets) & set(cell.kinds[kind]):
            return given(("reset", index), source=self.regions.reset[index]), True
        state = given(
            ("state", index),
            source=self.regions.states[index],
            source_kind=Place.OLD,
            source_span=self.regions.span(index),
            recurrent=True,
        )
        return state, False

    def finishing(self, given: Pass) -> Pass:
        """The pass as the one that feeds the element-wise lanes."""
        cell, kind = self.design.arithmetic, given.kind
        shift = Scales.of(self.layer).shift
        done = given.at(
            sink=Sink.UNITS,
            parked=True,
            swapped=bool(cell.apart) and given.matrix == "weight_ih",
            beats=given.placement.beats,
            shift=tuple(shift[n] for n in cell.sums_of(kind)),
            advance=self.index == 0 and kind == 0,
            reach=self.design.reaches.index(self.layer.arithmetic.reach),
        )
        return timed(self._writing(done, cell.gives(kind)))

    def _writing(self, given: Pass, what: str) -> Pass:
        """With the vector that it writes, if any."""
        regions, index = self.regions, self.index
        fixed = {"hidden": regions.hidden, "reset": regions.reset}
        name = "hidden" if what == "state" and self.shape.hr else what
        if not name:
            return given
        place = Place.FIXED if name in fixed else Place.NEW
        target = fixed.get(name, regions.states)[index]
        span = regions.span(index)
        if self.design.batched and name == "hidden":
            span = span_of(regions.spaces[index])
        written = given.at(write=True, target=target, target_kind=place, target_span=span)
        return replace(written, writes=(name, index))


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
        source_span=span_of(regions.spaces[index]) if design.batched else 0,
        target=regions.states[index],
        target_kind=Place.NEW,
        target_span=regions.span(index),
        shift=(shift,) * design.shifts,
        beats=placement.beats,
    )
    reads, writes = ("hidden", index), ("state", index)
    groups = (shape.hr.nonzeros,)
    return timed(Pass(index, "weight_hr", shape.hr, placement, instruction, reads, writes, groups))


def linear_number(matrix: str) -> int:
    """Which of the linear layers of a head a matrix is, as an index: -1 is the output layer."""
    return -1 if matrix == HEAD else int(matrix.rpartition(".")[2])


def head_passes(needs: Needs, design: Design, program: int, index: int) -> list[Pass]:
    """The passes of the linear layers on the state of layer ``index``.

    Exact sums of the last one leave; what a hidden one gives is the vector of the next. They are
    dense: every bank keeps all of its places.
    """
    head, regions = needs.model.head, needs.regions(program)
    if head is None:
        raise DesignError("the model has no linear output layer: pack it with its classifier")
    shapes, last = head.shape.layers, len(needs.linear) - 1
    made, names = [], layer_names(len(shapes))
    reads: Vector = ("state", index)
    source: dict[str, Any] = {
        "source": regions.states[index],
        "source_kind": Place.NEW,
        "source_span": regions.span(index),
    }
    for n, (shape, linear, name) in enumerate(zip(shapes, needs.linear, names, strict=True)):
        bits, groups = design.row_bits or shape.weight_format.width, linear.groups
        geometry = Geometry(shape.output_size, shape.input_size, design.lanes, groups, bits, groups)
        placement = Placement(design, shape.output_size, linear.width, gates=1)
        now = Instruction(
            Op.PASS,
            sink=Sink.PROJECT,
            slots=placement.slots,
            beats=placement.beats,
            **source,
        )
        given = Pass(index, name, geometry, placement, now, reads, groups=(groups,))
        if n < last:
            shift, _ = head.shape.between[n]
            given = given.at(
                write=True, rectify=True, target=regions.linear[n], shift=(shift,) * design.shifts
            )
            given = replace(given, writes=("linear", n))
            reads, source = ("linear", n), {"source": regions.linear[n]}
        made.append(timed(given))
    return made


def timed(given: Pass) -> Pass:
    """With groups, and the cycles from row to row."""
    design, rounds = given.placement.design, given.placement.rounds
    opening = _of_round(given, rounds.opening) if rounds.opening else []
    whole = _of_round(given, rounds.whole)
    if not design.by_gate:
        (groups, interval), *_ = whole
        return given.at(groups=groups, interval=interval)
    return given.at(
        opening=len(opening),
        turn_groups=tuple(groups for groups, _ in whole),
        turn_intervals=tuple(interval for _, interval in whole),
        opening_groups=tuple(groups for groups, _ in opening),
        opening_intervals=tuple(interval for _, interval in opening),
    )


def _of_round(given: Pass, dealt: Round) -> list[tuple[int, int]]:
    """Groups and cycles of each slot of a round."""
    design = given.placement.design
    groups = [n * design.pieces for n in dealt.groups(given.groups)]
    if design.batched:
        beats = {Sink.UNITS: design.units_per_slot, Sink.PROJECT: design.results_per_slot}
        return [(n, row_interval(n, beats.get(given.sink, 0))) for n in groups]
    if given.sink == Sink.PARK:
        return [(n, n) for n in groups]
    if given.sink == Sink.PROJECT:
        return [(n, max(n, design.results_per_slot)) for n in groups]
    if design.collects:
        # lanes take the units of the round before, at most those of a whole one
        waits = design.units_per_round - sum(groups) if dealt.blocks == design.blocks else 0
        return [(groups[0], groups[0] + max(0, waits)), *((n, n) for n in groups[1:])]
    # ... the rows of a slot, until the last groups of the next
    least = [design.units_per_slot + now - then for now, then in pairwise([*groups, groups[0]])]
    paired = zip(groups, least, strict=True)
    return [(now, max(design.lane_interval(now), wanted)) for now, wanted in paired]
