"""From a model and a design to memory contents and a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from csb_format.csb import Csb
from csb_format.geometry import Geometry
from csb_format.model import Model
from csb_format.scales import DesignError, Scales
from csb_format.words import split_words

from ..array.design import Design
from ..array.needs import Needs, programs
from ..array.program import Instruction, Op, Sink, instruction_bits
from ..array.widths import lead_bits
from .image import Emission, Image, Part
from .order import Order, leads, put_in_order
from .passes import Pass, as_seen, head_pass, layer_passes
from .words import bias_words, pass_words

__all__ = ["compile_model"]


def compile_model(model: Model, design: Design, *, head: bool = False) -> Image:
    """Order rows and passes, lay out vectors, write memories and program.

    Parameters
    ----------
    model : Model
        Every matrix has banks that ``design.lanes`` divides.
    design : Design
    head : bool
        Whether the model's linear output layer runs on the array too.

    Returns
    -------
    Image

    Raises
    ------
    DesignError
        If the model does not fit; the message names the memory and what it needs.
    """
    needs = Needs(
        model, design.pes, design.lanes, design.units, design.projectors, design.contexts, head
    )
    _check_fit(model, design, needs)
    builder = _Builder(needs, design)
    for number in range(len(needs.programs)):
        builder.add(number)
    return builder.image()


def _check_fit(model: Model, design: Design, needs: Needs) -> None:
    """Everything a design can lack, by name."""
    for name, need in needs.sizes.items():
        if getattr(design, name) < need:
            raise DesignError(
                f"the model needs {name} = {need}, the design has {getattr(design, name)}: "
                "generate a larger design, or prune the model further"
            )
    most = max(map(Scales.largest, model.layers))
    if most > design.max_align:
        raise DesignError(
            f"the model aligns its products by {most} bits, the design by up to "
            f"{design.max_align}: choose other weight formats, or another design"
        )
    for layer in model.layers:
        formats = (layer.hidden, layer.state)
        if formats != (design.gate, design.state) or layer.input.width != design.act_bits:
            raise DesignError(
                f"the model's formats are x {layer.input}, h {layer.hidden}, c {layer.state}; "
                f"the design computes h {design.gate}, c {design.state}: quantise for "
                f"act_bits = {design.act_bits}"
            )


class _Builder:
    """Gathers the memories and the program, one of the model's programs after the other."""

    def __init__(self, needs: Needs, design: Design):
        self._needs, self._design = needs, design
        self._program: list[Instruction] = []
        self._words: list[np.ndarray] = []  # (groups, M) of each matrix
        self._groups = self._cells = self._layers = 0
        self._biases: list[tuple[Pass, int]] = []
        self._parts: list[Part] = []

    def add(self, number: int) -> None:
        """Compile one program."""
        needs, design = self._needs, self._design
        layers = programs(needs.model)[number]
        found, slot = [], 0
        for index, layer in enumerate(layers):
            matrices = tuple(as_seen(m.matrix, design.lanes) for m in layer.matrices)
            made = layer_passes(needs, design, number, index, layer, matrices, slot)
            slot += made.park.instruction.slots
            found.append(made)
        head = self._head(number, len(layers) - 1) if needs.head else None
        parallel = needs.model.directions == 2
        self._emit(number, self._placed(put_in_order(found, head, design, parallel=parallel)))
        self._layers += len(layers)

    def _head(self, number: int, index: int) -> Pass:
        head = self._needs.model.head
        assert head is not None
        lanes, width = self._design.lanes, self._needs.head_groups
        bits = head.weight_format.width
        geometry = Geometry(head.output_size, head.input_size, lanes, width, bits, width)
        dense = np.ones(head.weight.shape, bool)
        matrix = Csb.pack(head.weight, geometry, mask=dense, fill=True)
        return head_pass(head, matrix, self._design, self._needs.regions(number), index)

    def _placed(self, order: Order) -> Order:
        """Give matrices and biases their addresses, in the order in which passes run."""
        bases: dict[str, tuple[int, int]] = {}
        for given in (*order.entry, *order.frame):
            if given.name in bases:
                continue
            words = pass_words(given)
            bias = 0
            if given.bias is not None:
                bias = self._cells if given.sink == Sink.UNITS else 0
                self._biases.append((given, bias))
            if given.sink == Sink.UNITS:
                dealt = given.instruction.slots * self._design.units_per_slot
                self._cells += max(given.placement.beats, dealt)
            bases[given.name] = (self._groups * self._design.pieces, bias)
            self._words.append(words)
            self._groups += len(words)

        def settle(given: Pass) -> Pass:
            matrix, bias = bases[given.name]
            return given.at(matrix=given.instruction.matrix + matrix, bias=bias)

        entry, frame, late = (
            tuple(map(settle, passes)) for passes in (order.entry, order.frame, order.late)
        )
        return Order(entry, frame, late)

    def _emit(self, number: int, order: Order) -> None:
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
            _emissions(frame, self._layers),
        )
        self._parts.append(part)
        # input passes read what no pass writes
        entry = [p.at(lead=limit, lead_other=limit) for p in order.entry]
        self._program += _linked_up(part, entry, frame, late)

    def image(self) -> Image:
        """Everything, in its memories."""
        design = self._design
        words = np.concatenate(self._words)
        memories: dict[str, list[int]] = {}
        if not design.streamed:
            memories = {
                f"matrix_{pe:03d}": split_words(
                    words[:, pe].tolist(), design.word_bits, design.pieces
                )
                for pe in range(design.pes)
            }
        memories |= bias_words(self._biases, design)
        unused = [Instruction()] * (design.program_depth - len(self._program))
        encoded = [word.encode(design) for word in (*self._program, *unused)]
        size = instruction_bits(design)
        memories["program"] = split_words(encoded, size, design.program_pieces)
        model = self._needs.model
        return Image(design, model, tuple(self._parts), memories, tuple(self._program), words)


def _linked_up(
    part: Part, entry: Sequence[Pass], frame: Sequence[Pass], late: Sequence[Pass]
) -> Iterator[Instruction]:
    """The instructions of a program with their successors."""
    first = part.entry + 1
    top = first + len(entry)
    after = top + len(frame)
    takes = any(p.instruction.frame for p in frame)
    bases = part.needs.regions(part.number).frames
    yield Instruction(Op.SETUP, next=first, frame_beats=part.frame_beats, frame_bases=bases)
    yield from _linked(entry, first, top)
    tried = [p.at(other=after) if p.instruction.frame else p for p in frame]
    yield from _linked(tried, top, top if takes else first)
    yield from _linked(late, after, first)


def _emitting(passes: tuple[Pass, ...], directions: int) -> list[Pass]:
    """Passes with their marks: the top layers' results leave, and linear layers'."""
    top = max(p.writes[1] for p in passes if p.writes)
    chosen = {p.name for p in passes if p.sink != Sink.PARK and not p.writes}
    for p in passes:
        if p.writes and (directions == 2 or p.writes[1] == top):
            chosen.add(p.name)
    out = [p.at(emit=p.name in chosen) for p in passes]
    final = max(n for n, p in enumerate(out) if p.instruction.emit)
    out[final] = out[final].at(final=True)
    return out


def _led(passes: list[Pass], design: Design, limit: int) -> list[Pass]:
    """Passes with their leads."""
    found = leads(passes, design)
    return [
        p.at(lead=min(same, limit), lead_other=min(other, limit))
        for p, (same, other) in zip(passes, found, strict=True)
    ]


def _emissions(passes: list[Pass], first: int) -> tuple[Emission, ...]:
    kinds = {Sink.UNITS: "states", Sink.PROJECT: "output"}
    return tuple(
        Emission(
            kinds[p.sink] if p.writes else "linear",
            first + (p.writes[1] if p.writes else p.reads[1]),
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
