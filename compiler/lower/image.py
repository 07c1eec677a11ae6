"""Contents of all memories of a design, for one model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from csb_format.csb import Csb
from csb_format.fixed import IntArray, row_shifts
from csb_format.heads.dense import DenseLayer
from csb_format.heads.mlp import layers_of
from csb_format.model import Model
from csb_format.screening.layer import ScreenedLayer
from csb_format.words import join_fields, split_fields

from ..array.design import Design
from ..array.program import Sink
from ..array.screen.behind import states_of
from ..array.screen.design import ScreenDesign
from .learning.masters import master_memories
from .load import Space, header, packet, sealed, space_widths
from .packed import packed_words
from .parity import evened
from .passes import Pass, linear_number
from .plan import Plan
from .screen import ScreenImage, kept_here, plane_bytes, screen_image, screen_widths
from .walk import memory_name, walk_words
from .words import bias_words as bias_memories
from .words import indexed_memories, matrix_memories, matrix_words, program_words

__all__ = ["SCREEN", "Image", "image_of"]

SCREEN = "screen_"  # what names of memories of a screen unit begin with


@dataclass(frozen=True)
class Image(Plan):
    """What an array runs, with the contents of all its memories.

    Parameters
    ----------
    model : Model
    memories : Mapping
        Memory name (``matrix_000``, ``bias_000``, ``program``) to its words from 0 on; written
        when it is first looked into, for the cycles of a model need none.
    """

    model: Model
    memories: Mapping[str, list[int]] = field(repr=False)

    @cached_property
    def matrices(self) -> dict[tuple[int, int, str], Csb]:
        """Of each program, layer in it and matrix name the matrix as the array sees it."""
        return {
            (number, given.layer, given.matrix): _as_seen(self.model, self, number, given)
            for number, given in _whole(self)
        }

    @cached_property
    def matrix_words(self) -> np.ndarray:
        """The PEs' words (groups, M) in the order in which a streamed design takes them."""
        return matrix_words(self.groups, self.placed)

    @property
    def placed(self) -> list[tuple[Pass, Csb]]:
        """Whole passes and their matrices, of all programs."""
        return [(given, self.matrix(number, given)) for number, given in _whole(self)]

    def matrix(self, part: int, given: Pass) -> Csb:
        """The matrix of a pass of one of the programs, as the array sees it."""
        return self.matrices[part, given.layer, given.matrix]

    def bias(self, part: int, given: Pass) -> IntArray | None:
        """What its results meet in the lanes, int64 (rows,); None if nothing."""
        return _bias(self.model, self, part, given)

    @cached_property
    def screen(self) -> ScreenImage | None:
        """Of the screen unit behind the array, in the order in which states come."""
        head, screen = self.model.head, self.design.screen
        if screen is None:
            return None
        assert isinstance(head, ScreenedLayer)
        states = states_of(self.shape, self.design)
        order = states.to_order(np.arange(1, states.size + 1)) - 1
        return screen_image(screen, head, order)

    @cached_property
    def planes(self) -> bytes:
        """Of a screen unit with its planes outside: what lies there, at a multiple of 4,096."""
        bits = self.design.plane_bits
        return plane_bytes(self.screen, bits) if self.screen and bits else b""

    def width(self, name: str) -> int:
        """Bits of a word of a memory."""
        if self.design.screen and name.startswith(SCREEN):
            return screen_widths(self.design.screen)[name.removeprefix(SCREEN)]
        return space_widths(self.design)[self._space(name)[0]]

    def stream_payloads(self, part: int = 0) -> list[int]:
        """What a streamed design takes from ``matrix`` for a frame, in order.

        Returns
        -------
        list of int
            For each group the words of all PEs, that of PE 0 lowest; above them a bit that marks
            the first.
        """
        width = self.design.word_bits  # may be wider than a field of `join_fields`
        groups = [
            sum(int(word) << pe * width for pe, word in enumerate(row))
            for row in self.part_words(part)
        ]
        groups[0] |= 1 << self.design.pes * width
        return groups

    def part_words(self, part: int = 0) -> np.ndarray:
        """Words (groups, M) that a frame of a program takes, in order.

        Those of :attr:`matrix_words`, in a design with ``indexed`` fewer; see
        :mod:`compiler.lower.packed`.
        """
        if self.design.indexed:
            return self._packed(part)
        passes = self.parts[part].whole
        size = sum(given.words for given in passes)
        at = min(given.instruction.matrix for given in passes) // self.design.pieces
        return self.matrix_words[at : at + size]

    def _packed(self, part: int) -> np.ndarray:
        """Of each pass the words, or fewer where they need no indices; the output layer is last."""
        passes = sorted(self.parts[part].whole, key=lambda given: given.instruction.matrix)
        return np.concatenate([self._stream_of(part, given) for given in passes])

    def _stream_of(self, part: int, given: Pass) -> np.ndarray:
        at, design = given.instruction.matrix, self.design
        words = self.matrix_words[at : at + given.words]
        if at < design.indexed or design.row_bits:
            return words
        widths = [design.value_bits, design.index_bits] * design.lanes
        fields = split_fields(words.ravel().tolist(), widths)
        return packed_words(fields[:, ::2].reshape(*words.shape, design.lanes), design)

    def load_words(self, part: int = 0, *, matrix: bool = True) -> list[int]:
        """The packets that load everything and start a program; see :mod:`hdl.core.loader`.

        Parameters
        ----------
        part : int
            Number of the program.
        matrix : bool
            False: without the matrix memories, which are filled in another way.

        Raises
        ------
        DesignError
            If a memory has more words than a packet's header can address.
        """
        words: list[int] = []
        for name, contents in self.memories.items():
            space, target = self._space(name)
            if matrix or space is not Space.MATRIX:
                words += packet(self.design, space, target, 0, contents, name)
        return [*words, *self.start_words(part)]

    def start_words(self, part: int = 0) -> list[int]:
        """The packet that starts a program, with all contexts at their first region."""
        return sealed(self.design, [header(Space.START, 0, self.parts[part].entry)])

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
            words += packet(design, Space.CELL, lane, base, values, "cell")
        padded = np.zeros(design.lanes * shape.hh.bank_width, np.int64)
        padded[: len(output)] = output
        places = padded.reshape(design.lanes, -1).T
        at = regions.states[index] + (context << 1 << regions.span(index))
        bits = design.act_bits + design.checked
        if design.checked:
            elements = (places & (1 << design.act_bits) - 1).ravel().tolist()
            places = np.array(evened(elements, design.act_bits)).reshape(places.shape)
        rows = [int(row) for row in join_fields(places, bits)]
        return words + packet(design, Space.VECTOR, 0, at, rows, "vector")

    def _finishing(self, number: int, index: int) -> Pass:
        """The pass of a layer that feeds the element-wise lanes."""
        found = (p for p in self.parts[number].whole if p.sink == Sink.UNITS)
        return next(given for given in found if given.layer == index)

    def _space(self, name: str) -> tuple[Space, int]:
        if self.design.screen and name.startswith(SCREEN):
            name = _screen_spaces(self.design.screen)[name.removeprefix(SCREEN)]
        kind, _, target = name.partition("_")
        return Space[kind.upper()], int(target or 0)


def image_of(plan: Plan, model: Model) -> Image:
    """Write the memories of a plan.

    Parameters
    ----------
    plan : Plan
        Made for the shape of the model.
    model : Model

    Raises
    ------
    ValueError
        If the plan was made for another shape.
    """
    if plan.shape != model.shape:
        raise ValueError("the plan was made for a model of another shape: schedule this one")
    contents = _Contents()
    image = Image(plan.design, plan.parts, plan.program, model, contents)
    contents.make = partial(_memories, image)
    return image


class _Contents(Mapping[str, list[int]]):
    """Memories that are written when one of them is first asked for."""

    make: Callable[[], dict[str, list[int]]]

    @cached_property
    def _made(self) -> dict[str, list[int]]:
        return self.make()

    def __getitem__(self, name: str) -> list[int]:
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def _memories(image: Image) -> dict[str, list[int]]:
    design = image.design
    memories: dict[str, list[int]] = {}
    if design.indexed and not design.streamed:
        memories = indexed_memories(image.groups, image.placed, design)
    elif not design.streamed:
        memories = matrix_memories(image.matrix_words, design)
    biases = [(given, image.bias(number, given)) for number, given in _whole(image)]
    shifts = _row_shifts(image.model, design)
    memories |= bias_memories([(p, b) for p, b in biases if b is not None], design, shifts)
    memories |= {"program": program_words(image.program, design)}
    if design.train:
        memories |= master_memories(image, image.matrix_words)
    if image.screen:
        here = _screen_spaces(image.screen.design)
        memories |= {SCREEN + n: words for n, words in image.screen.memories.items() if n in here}
    if not design.checked:
        return memories
    memories = {name: evened(words, image.width(name) - 1) for name, words in memories.items()}
    if design.walk:
        memories[memory_name(Space.WALK, 0)] = walk_words(memories, design)
    return memories


def _screen_spaces(design: ScreenDesign) -> dict[str, str]:
    """Of each of its memories the kind and the number that a load packet names."""
    kept = kept_here(design).items()
    each = ((kind, n, name) for kind, names in kept for n, name in enumerate(names))
    return {name: f"{kind}_{n}" for kind, n, name in each}


def _whole(plan: Plan) -> Iterator[tuple[int, Pass]]:
    """Number of the program and pass, of all."""
    return ((number, given) for number, part in enumerate(plan.parts) for given in part.whole)


def _as_seen(model: Model, plan: Plan, number: int, given: Pass) -> Csb:
    """The matrix of a pass with its banks merged; a linear layer dense, all places kept."""
    if given.linear:
        weight = _linear(model, given).weight
        if plan.design.row_bits:
            weight = weight >> _row_shifts(model, plan.design)[:, None]
        return Csb.pack(weight, given.geometry, mask=np.ones(weight.shape, bool), fill=True)
    layer = model.layers[plan.parts[number].layers[given.layer]]
    matrix = next(m.matrix for m in layer.matrices if m.name == given.matrix)
    if matrix.geometry.nonzeros:
        return matrix.merge_banks(matrix.geometry.banks // plan.design.lanes)
    # a matrix without a weight keeps one entry a bank, of value 0
    dense = np.zeros((given.geometry.rows, given.geometry.columns), np.int64)
    return Csb.pack(dense, given.geometry, fill=True)


def _linear(model: Model, given: Pass) -> DenseLayer:
    assert model.head is not None
    return layers_of(model.head)[linear_number(given.matrix)]


def _row_shifts(model: Model, design: Design) -> IntArray:
    """Of the rows of the linear output layer: int64 (O,), or none."""
    if not design.row_bits or model.head is None:
        return np.zeros(0, np.int64)
    return row_shifts(model.head.weight, design.row_bits)


def _bias(model: Model, plan: Plan, number: int, given: Pass) -> IntArray | None:
    if not given.biased:
        return None
    if given.linear:
        return _linear(model, given).bias
    return model.layers[plan.parts[number].layers[given.layer]].bias
