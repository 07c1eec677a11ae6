"""Contents of all memories of a design, for one model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csb_format.fixed import IntArray
from csb_format.model import Model
from csb_format.words import join_fields

from ..array.design import Design
from ..array.needs import Needs
from ..array.placement import Placement
from ..array.program import Instruction, Sink
from .load import Space, header, packet, space_widths
from .passes import Pass

__all__ = ["Emission", "Image", "Part"]


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
    def directions(self) -> int:
        """Inputs that a frame has: 2 where two layers run side by side."""
        return self.needs.model.directions

    @property
    def input_size(self) -> int:
        """Elements of one part of a frame."""
        return self.needs.programs[self.number][0].ih.columns

    @property
    def input_width(self) -> int:
        """Places that one part of a frame takes in a bank."""
        return self.needs.programs[self.number][0].ih.bank_width

    @property
    def input_places(self) -> range:
        """First beat of each part of a frame."""
        part = self.needs.regions(self.number).part
        return range(0, part * self.directions, part)

    @property
    def frame_beats(self) -> int:
        """Beats of a frame: those between its parts carry nothing."""
        return self.input_places[-1] + self.input_width


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
        """The packets that load everything and start a program; see :mod:`hdl.core.loader`.

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
