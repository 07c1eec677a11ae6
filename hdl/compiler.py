"""From a model and a design to memory contents and a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from csb_format.csb import Csb
from csb_format.design import GATES, Design, DesignError, Scales
from csb_format.fixed import IntArray
from csb_format.geometry import Geometry
from csb_format.model import LstmLayer, Model
from csb_format.needs import Needs, merged, programs
from csb_format.words import join_fields, split_words

from .layouts import instruction_layout, lead_bits
from .loader import WORD, Space, header, space_widths
from .passes import Pass, head_pass, layer_passes
from .placement import Placement
from .program import Instruction, Op, Sink
from .schedule import Order, leads, put_in_order

__all__ = ["Emission", "Image", "Part", "as_seen", "compile_model"]

MAX_LOADED = 1 << 16  # words: address bits of a load packet


@dataclass(frozen=True)
class Emission:
    """Beats that leave for each frame, from one pass.

    Parameters
    ----------
    kind : {"states", "output", "linear"}
        Hidden and cell state; projected state; exact sums of a linear layer.
    layer : int
        Among the model's layers.
    placement : Placement
    """

    kind: str
    layer: int
    placement: Placement


@dataclass(frozen=True)
class Part:
    """One program: all layers, or the two directions of one level.

    Parameters
    ----------
    entry : int
        Address of its first instruction.
    layers : tuple of int
        Of the model.
    needs : Needs
    number : int
        Among the model's programs.
    passes : tuple of Pass
        Of a frame, in the order of the program.
    emissions : tuple of Emission
        In the order in which beats leave for a frame.
    """

    entry: int
    layers: tuple[int, ...]
    needs: Needs
    number: int
    passes: tuple[Pass, ...]
    emissions: tuple[Emission, ...]

    @property
    def beats_out(self) -> int:
        """Beats that leave for a frame."""
        return sum(emission.placement.beats for emission in self.emissions)

    @property
    def input_size(self) -> int:
        """Elements of one part of a frame."""
        return self.needs.programs[self.number][0].ih.columns

    @property
    def input_width(self) -> int:
        """Places that one part of a frame takes in a bank."""
        return self.needs.programs[self.number][0].ih.bank_width

    @property
    def frame_beats(self) -> int:
        """Beats of a frame: those between its parts carry nothing."""
        regions, parts = self.needs.regions(self.number), self.needs.model.directions
        return regions.part * (parts - 1) + self.input_width

    def beats(self, frames: IntArray) -> IntArray:
        """Input frames as beats (T, beats, N): bank b of a part holds x[b * w : b * w + w].

        Parameters
        ----------
        frames : int64 array (T, X) or, for two directions, (T, 2, X)
        """
        lanes, parts = self.needs.lanes, self.needs.model.directions
        regions = self.needs.regions(self.number)
        given = np.asarray(frames, np.int64).reshape(len(frames), parts, self.input_size)
        padded = np.zeros((len(given), parts, lanes * self.input_width), np.int64)
        padded[..., : self.input_size] = given
        banks = padded.reshape(len(given), parts, lanes, self.input_width).swapaxes(2, 3)
        out = np.zeros((len(given), parts * regions.part, lanes), np.int64)
        for part in range(parts):
            at = part * regions.part
            out[:, at : at + self.input_width] = banks[:, part]
        return out[:, : self.frame_beats]


@dataclass(frozen=True)
class Image:
    """Contents of all memories of a design, for one model.

    Parameters
    ----------
    design : Design
    model : Model
    parts : tuple of Part
        One for each program.
    memories : dict
        Memory name (``matrix_000``, ``bias_000``, ``program``) to its words from 0 on.
    program : tuple of Instruction
    matrix_words : object array (groups, M)
        The PEs' words in the order in which a streamed design takes them.
    """

    design: Design
    model: Model
    parts: tuple[Part, ...]
    memories: dict[str, list[int]]
    program: tuple[Instruction, ...]
    matrix_words: np.ndarray

    def width(self, name: str) -> int:
        """Bits of a word of a memory."""
        return space_widths(self.design)[self._space(name)[0]]

    def load_words(self, part: int = 0) -> list[int]:
        """The packets that load everything and start a program; see :mod:`hdl.loader`.

        Raises
        ------
        DesignError
            If a memory has more words than a packet's header can address.
        """
        words: list[int] = []
        for name, contents in self.memories.items():
            space, target = self._space(name)
            words += packet(space, target, 0, contents, self.width(name), name)
        return [*words, *self.start_words(part)]

    def start_words(self, part: int = 0) -> list[int]:
        """The packet that starts a program, with all contexts at their first region."""
        return [header(Space.START, 0, self.parts[part].entry)]

    def state_words(
        self,
        layer: int,
        cell: IntArray,
        output: IntArray,
        context: int = 0,
    ) -> list[int]:
        """Packets that give a layer its state, for frames after the next start.

        Parameters
        ----------
        layer : int
            Of the model.
        cell : int64 array (H,)
            In ``state`` format.
        output : int64 array (R,)
            What is fed back: h, or what the projection makes of it.
        context : int
        """
        design = self.design
        number = next(n for n, part in enumerate(self.parts) if layer in part.layers)
        part = self.parts[number]
        index, needs = part.layers.index(layer), part.needs
        shape, regions = needs.programs[number][index], needs.regions(number)
        finish = self._finishing(number, index)
        cells = finish.placement.to_order(np.asarray(cell, np.int64)).reshape(-1, design.units)
        base = finish.instruction.bias
        base |= context << (design.cells - 1).bit_length() if design.contexts > 1 else 0
        words: list[int] = []
        for lane in range(design.units):
            mask = (1 << design.state.width) - 1
            values = [int(v) & mask for v in cells[:, lane]]
            words += packet(Space.CELL, lane, base, values, design.state.width, "cell")
        padded = np.zeros(design.lanes * shape.hh.bank_width, np.int64)
        padded[: len(output)] = output
        places = padded.reshape(design.lanes, -1).T
        at = regions.states[index] + (context << 1 << regions.span(index))
        rows = [int(row) for row in join_fields(places, design.act_bits)]
        width = design.lanes * design.act_bits
        return words + packet(Space.VECTOR, 0, at, rows, width, "vector")

    def _finishing(self, number: int, index: int) -> Pass:
        """The pass of a layer that feeds the element-wise lanes."""
        found = [p for p in self.parts[number].passes if p.sink == Sink.UNITS]
        return found[index]

    @staticmethod
    def _space(name: str) -> tuple[Space, int]:
        kind, _, target = name.partition("_")
        return Space[kind.upper()], int(target or 0)


def packet(
    space: Space, target: int, address: int, contents: list[int], width: int, name: str
) -> list[int]:
    """Header, count and data of a load packet.

    Raises
    ------
    DesignError
        If the last word lies beyond what a header can address.
    """
    if address + len(contents) > MAX_LOADED:
        raise DesignError(
            f"{name} has {len(contents)} words: the load stream reaches {MAX_LOADED}; "
            "take more PEs, or start from memory images"
        )
    return [header(space, target, address), len(contents), *_chunks(contents, width)]


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


def as_seen(matrix: Csb, lanes: int) -> Csb:
    """The matrix as an array of ``lanes`` runs it: banks merged, at least one entry a bank."""
    geometry = merged(matrix.geometry, lanes)
    if matrix.geometry.nonzeros:
        return matrix.merge_banks(matrix.geometry.banks // lanes)
    dense = np.zeros((geometry.rows, geometry.columns), np.int64)
    return Csb.pack(dense, geometry, fill=True)


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
            matrices = tuple(as_seen(m, design.lanes) for m in _matrices(layer))
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
            words = _pass_words(given)
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
        memories |= _bias_words(self._biases, design)
        unused = [Instruction()] * (design.program_depth - len(self._program))
        encoded = [word.encode(design) for word in (*self._program, *unused)]
        size = instruction_layout(design).size
        memories["program"] = split_words(encoded, size, design.program_pieces)
        model = self._needs.model
        return Image(design, model, tuple(self._parts), memories, tuple(self._program), words)


def _matrices(layer: LstmLayer) -> tuple[Csb, ...]:
    gates = (layer.weight_ih, layer.weight_hh)
    return gates if layer.projection is None else (*gates, layer.projection.weight)


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


def _pass_words(given: Pass) -> np.ndarray:
    """Object array (slots * k, M) of memory words; padding rows hold zeros."""
    design, rows, matrix = given.placement.design, given.placement.rows, given.matrix
    entries = np.stack([matrix.values, matrix.indices.astype(np.int64)], axis=-1)
    placed = np.where(rows[..., None, None, None] < 0, 0, entries[rows])
    widths = [design.value_bits, design.index_bits] * design.lanes
    words = join_fields(placed.reshape(*placed.shape[:3], -1), widths)
    return words.swapaxes(1, 2).reshape(-1, design.pes)


def _bias_words(biases: list[tuple[Pass, int]], design: Design) -> dict[str, list[int]]:
    """Words of the bias memories of lanes (gate i lowest) and of projectors."""
    lanes = np.zeros((design.cells, design.units), object)
    linear = np.zeros((design.linear, design.projectors), object)
    for given, base in biases:
        assert given.bias is not None
        placement = given.placement
        if given.sink == Sink.UNITS:
            by_unit = given.bias.reshape(GATES, -1)
            placed = np.stack([placement.to_order(gate) for gate in by_unit], axis=-1)
            words = join_fields(placed, design.state.width).reshape(-1, design.units)
            lanes[base : base + len(words)] = words
        else:
            placed = placement.to_order(given.bias)
            words = join_fields(placed[:, None], design.acc_bits)
            linear[base : base + placement.beats] = words.reshape(-1, design.projectors)
    parts = GATES if design.compact else 1
    found = {
        f"bias_{e:03d}": split_words(lanes[:, e].tolist(), design.bias_bits, parts)
        for e in range(design.units)
    }
    if design.linear:
        found |= {f"linear_{q:03d}": linear[:, q].tolist() for q in range(design.projectors)}
    return found


def _chunks(words: list[int], width: int) -> Iterator[int]:
    """Each word as 32-bit words, lowest first."""
    for word in words:
        for i in range(-(-width // WORD)):
            yield word >> (WORD * i) & 0xFFFFFFFF
