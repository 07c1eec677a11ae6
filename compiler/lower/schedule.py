"""From the shape of a model and a design to passes in order and a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from csb_format.model import Model
from csb_format.scales import DesignError, Scales
from csb_format.shape import ModelShape

from ..array.design import Design
from ..array.latency import Latencies, fetch_delay
from ..array.needs import Needs
from ..array.placement import InOrder
from ..array.program import Instruction, Op, Sink
from ..array.regions import span_of
from ..array.widths import lead_bits
from .order import Order, Timing, leads, parks_meet, put_in_order
from .passes import LayerPasses, Pass, head_passes, layer_passes, timed
from .plan import Emission, Part, Plan

__all__ = ["schedule"]


def schedule(model: Model | ModelShape, design: Design, *, head: bool = False) -> Plan:
    """Order rows and passes, lay out vectors, write the program; weights are not looked at.

    Parameters
    ----------
    model : Model or ModelShape
        Every matrix has banks that ``design.lanes`` divides.
    design : Design
    head : bool
        Whether the model's linear output layer runs on the array too.

    Returns
    -------
    Plan

    Raises
    ------
    DesignError
        If the model does not fit; the message names the memory and what it needs.
    """
    array = (design.pes, design.lanes, design.units, design.projectors, design.contexts)
    dense = head and design.indexed > 0
    rows = design.row_bits if head else 0
    needs = Needs(
        model.shape, *array, head, design.by_gate, dense, rows, design.batched,
        design.slot_units, design.slot_results,
    )  # fmt: skip
    _check_fit(model.shape, design, needs)
    builder = _Builder(needs, design)
    for number in range(len(needs.programs)):
        builder.add(number)
    return builder.plan()


def _check_fit(shape: ModelShape, design: Design, needs: Needs) -> None:
    """Everything a design can lack, by name."""
    sizes = needs.sizes
    if needs.dense:  # rows without indices begin behind all places with them
        sizes["matrix_depth"] += design.indexed - sizes["indexed"]
    for name, need in sizes.items():
        if getattr(design, name) < need:
            raise DesignError(
                f"the model needs {name} = {need}, the design has {getattr(design, name)}: "
                "generate a larger design, or prune the model further"
            )
    if len(needs.linear) > 1 and not design.rectified:
        raise DesignError(
            "the model needs rectified = True, for a head of several linear layers: generate a "
            "design for it, or leave the head to the host (head=False)"
        )
    most = max(map(Scales.largest, shape.layers))
    if most > design.max_align:
        raise DesignError(
            f"the model aligns its products by {most} bits, the design by up to "
            f"{design.max_align}: choose other weight formats, or another design"
        )
    needed = design.sum_bits(sizes["row_groups"], most)
    if design.forward and needed > design.forward:
        raise DesignError(
            f"the model's sums have up to {needed} bits, those of the design's forward pass "
            f"{design.forward}: generate a design for this model"
        )
    if shape.cell != design.cell:
        wanted = shape.layers[0].arithmetic.title
        raise DesignError(
            f"the model is of {wanted}, the lanes of the design are for "
            f"{design.arithmetic.title}: generate a design for this model"
        )
    for layer in shape.layers:
        states = [arithmetic.state for arithmetic in design.arithmetics]
        held = layer.hidden == design.gate and layer.state in states
        if not held or layer.input.width != design.act_bits:
            there = " or ".join(map(str, states))
            raise DesignError(
                f"the model's formats are x {layer.input}, h {layer.hidden}, c {layer.state}; "
                f"the design computes h {design.gate}, c {there}: quantise for act_bits = "
                f"{design.act_bits} and reach = {' or '.join(map(str, design.reaches))}"
            )


class _Builder:
    """Gathers the programs, one after the other."""

    def __init__(self, needs: Needs, design: Design):
        self._needs, self._design = needs, design
        self._program: list[Instruction] = []
        self._groups = self._cells = self._layers = 0
        self._parts: list[Part] = []

    def plan(self) -> Plan:
        """All of them."""
        return Plan(self._design, tuple(self._parts), tuple(self._program))

    def add(self, number: int) -> None:
        """Compile one program."""
        found, head, order = self._ordered(number, self._design.shallow)
        if parks_meet(order):
            found, head, order = self._ordered(number, False)
        bases = self._bases(order)
        whole = [*(given for layer in found for given in layer), *head]
        self._emit(number, _settled(order, bases), tuple(_settle(p, bases) for p in whole))
        self._layers += len(found)

    def _ordered(self, number: int, begins: bool) -> tuple[list[LayerPasses], list[Pass], Order]:
        """Passes of layers and of the head, and all in order."""
        needs, design = self._needs, self._design
        found = list(self._layers_of(number, begins))
        head = head_passes(needs, design, number, len(found) - 1) if needs.head else []
        parallel = needs.model.directions == 2
        return found, head, put_in_order(found, head, design, parallel=parallel)

    def _layers_of(self, number: int, begins: bool) -> Iterator[LayerPasses]:
        slot = 0
        for index in range(len(self._needs.programs[number])):
            made = layer_passes(self._needs, self._design, number, index, slot)
            slot += sum(park.instruction.slots for park in made.parks)
            yield _begun(made, slot) if begins else made

    def _bases(self, order: Order) -> _Bases:
        """Addresses of matrices and biases, in the order in which passes run."""
        bases: _Bases = {}
        cells: dict[int, int] = {}  # of layers, whatever the pass
        passes = [*order.entry, *order.frame]
        if self._design.indexed:
            passes.sort(key=lambda given: given.linear)
        sums = 0  # of linear layers, in the bias memories of projectors
        for given in passes:
            if given.key in bases:
                continue
            if self._design.indexed and given.linear:
                self._groups = max(self._groups, self._design.indexed)
            units = given.sink == Sink.UNITS
            if units and given.layer not in cells:
                cells[given.layer] = self._cells
                dealt = given.placement.blocks * self._design.units_per_slot
                self._cells += max(given.placement.beats, dealt)
            bias = cells[given.layer] if units else sums * given.linear
            sums += given.placement.beats if given.linear else 0
            bases[given.key] = (self._groups * self._design.pieces, bias)
            self._groups += given.words
        return bases

    def _emit(self, number: int, order: Order, whole: tuple[Pass, ...]) -> None:
        """Leads, addresses of instructions, and which passes' results leave."""
        directions, limit = self._needs.model.directions, (1 << lead_bits(self._design)) - 1
        frame = _led(_emitting(order.frame, directions), self._design, limit)
        tried = next((n for n, p in enumerate(frame) if p.instruction.frame), len(frame))
        late = _led(
            _emitting((*order.frame[:tried], *order.late), directions), self._design, limit
        )[tried:]
        part = Part(
            len(self._program),
            tuple(range(self._layers, self._layers + len(self._needs.programs[number]))),
            self._needs,
            number,
            tuple(frame),
            whole,
            _emissions(frame, self._layers) + self._largest(),
        )
        self._parts.append(part)
        # input passes read what no pass writes
        free = (limit,) * self._design.frames_back
        entry = [replace(p, instruction=p.instruction.at_lead(free)) for p in order.entry]
        linked = _linked_up(part, entry, frame, late)
        self._program += [now.sized(self._design) for now in linked]

    def _largest(self) -> tuple[Emission, ...]:
        """What a screen unit finds in the states."""
        if self._design.screen is None:
            return ()
        last = len(self._needs.model.layers) - 1
        return (Emission("largest", last, InOrder(self._design.screen.top)),)


def _begun(layer: LayerPasses, end: int) -> LayerPasses:
    """The layer with the first groups of all rows of its projection as a pass of their own.

    These read places that come home early, while other units are on their way. Projectors take no
    longer for the results of a slot than its other groups, and a pass is as long as a fetch.

    Parameters
    ----------
    layer : LayerPasses
    end : int
        Behind its last parked sum: the last ones have been taken when the projection begins.
    """
    given = layer.project
    if given is None or given.instruction.slots > layer.finishes[-1].instruction.slots:
        return layer
    design, (groups,), slots = given.placement.design, given.groups, given.instruction.slots
    timing = Timing(Latencies(design), layer.finishes[-1])
    least = -(-design.results_per_slot // design.pieces)
    short = -(-fetch_delay(design) // (slots * design.pieces))
    best, wait = layer, timing.readable(given)
    for first in range(short, min(groups - short, groups - least) + 1):
        begun, rest = _in_two(given, end - slots, first)
        needed = max(1, timing.readable(begun), timing.readable(rest) - begun.cycles)
        if needed < wait:
            best, wait = replace(layer, begun=begun, project=rest), needed
    return best


def _in_two(given: Pass, slot: int, first: int) -> tuple[Pass, Pass]:
    """So many groups of each row, whose sums are parked from a slot on, and the others."""
    begun = given.at(slot=slot, sink=Sink.PARK, write=False, beats=0)
    rest = given.at(slot=slot, parked=True)
    return (
        timed(replace(begun, writes=None, groups=(first,))),
        timed(replace(rest, groups=(given.groups[0] - first,), skips=first)),
    )


_Bases = dict[tuple[int, str, int, int], tuple[int, int]]


def _settle(given: Pass, bases: _Bases) -> Pass:
    """The pass with addresses of its matrix and its bias."""
    matrix, bias = bases[given.key]
    return given.at(matrix=given.instruction.matrix + matrix, bias=bias)


def _settled(order: Order, bases: _Bases) -> Order:
    entry, frame, late = (
        tuple(_settle(given, bases) for given in passes)
        for passes in (order.entry, order.frame, order.late)
    )
    return Order(entry, frame, late)


def _linked_up(
    part: Part, entry: Sequence[Pass], frame: Sequence[Pass], late: Sequence[Pass]
) -> Iterator[Instruction]:
    """The instructions of a program with their successors."""
    first = part.entry + 1
    top = first + len(entry)
    after = top + len(frame)
    takes = any(p.instruction.frame for p in frame)
    regions = part.needs.regions(part.number)
    span = span_of(regions.frame) if part.needs.batched else 0
    yield Instruction(
        Op.SETUP,
        next=first,
        source_span=span,
        frame_beats=part.frame_beats,
        frame_bases=regions.frames,
    )
    yield from _linked(entry, first, top)
    tried = [p.at(other=after) if p.instruction.frame else p for p in frame]
    yield from _linked(tried, top, top if takes else first)
    yield from _linked(late, after, first)


def _emitting(passes: tuple[Pass, ...], directions: int) -> list[Pass]:
    """Passes with their marks: the top layers' results leave, and linear layers'."""
    between = ("reset", "linear")  # vectors that nobody outside needs
    top = max(p.writes[1] for p in passes if p.writes and p.writes[0] not in between)
    chosen = {p.key for p in passes if p.sink == Sink.PROJECT and not p.writes}
    for p in passes:
        if not p.writes or p.writes[0] in between:
            continue
        everything = directions == 2 or p.placement.design.backward
        if everything or p.writes[1] == top:
            chosen.add(p.key)
    out = [p.at(emit=p.key in chosen) for p in passes]
    final = max(n for n, p in enumerate(out) if p.instruction.emit)
    out[final] = out[final].at(final=True)
    return out


def _led(passes: list[Pass], design: Design, limit: int) -> list[Pass]:
    """Passes with their leads."""
    found = leads(passes, design)
    return [
        replace(p, instruction=p.instruction.at_lead([min(lead, limit) for lead in each]))
        for p, each in zip(passes, found, strict=True)
    ]


def _emissions(passes: list[Pass], first: int) -> tuple[Emission, ...]:
    kinds = {Sink.UNITS: "states", Sink.PROJECT: "output"}
    return tuple(
        Emission(
            kinds[p.sink] if p.writes else "linear",
            first + p.layer,
            p.placement,
        )
        for p in passes
        if p.instruction.emit
    )


def _linked(passes: Sequence[Pass], start: int, after: int) -> Iterator[Instruction]:
    """Each leads to the one behind it, the last to ``after``."""
    for n, given in enumerate(passes, start + 1):
        last = n == start + len(passes)
        yield replace(given.instruction, next=after if last else n)
