"""What an array runs for a model, whatever its weights are."""

from __future__ import annotations

from dataclasses import dataclass

from csb_format.shape import ModelShape

from ..array.design import Design
from ..array.needs import Needs
from ..array.placement import InOrder, Placement
from ..array.program import Instruction
from .passes import Pass

__all__ = ["Emission", "Part", "Plan"]


@dataclass(frozen=True)
class Emission:
    """Beats that leave for each frame, from one pass.

    Parameters
    ----------
    kind : {"states", "output", "linear", "largest"}
        Hidden and cell state; projected state; exact sums of a linear layer; the largest logits,
        which a screen unit finds.
    layer : int
        Among the model's layers.
    placement : Placement or InOrder
    """

    kind: str
    layer: int
    placement: Placement | InOrder


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
        Of a frame, in the order of the program; long ones may be in pieces.
    whole : tuple of Pass
        Each of them whole, by layer, the linear output layer's last.
    emissions : tuple of Emission
        In the order in which beats leave for a frame.
    """

    entry: int
    layers: tuple[int, ...]
    needs: Needs
    number: int
    passes: tuple[Pass, ...]
    whole: tuple[Pass, ...]
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
    def frame_ports(self) -> int:
        """Places that a beat fills."""
        return max(1, self.needs.units // self.needs.lanes)

    @property
    def frame_beats(self) -> int:
        """Beats of a frame: those between its parts carry nothing."""
        return -(-(self.input_places[-1] + self.input_width) // self.frame_ports)


@dataclass(frozen=True)
class Plan:
    """Passes in their order, with all addresses, and the program that runs them.

    Cycles, instructions and what leaves when follow from it; only the words of the matrix and
    bias memories need weights (:class:`~compiler.lower.image.Image`).

    Parameters
    ----------
    design : Design
    parts : tuple of Part
        One for each program.
    program : tuple of Instruction
    """

    design: Design
    parts: tuple[Part, ...]
    program: tuple[Instruction, ...]

    @property
    def shape(self) -> ModelShape:
        """Of the model."""
        return self.parts[0].needs.model.shape

    @property
    def groups(self) -> int:
        """Words of the matrix memories of a PE, whole CSB groups."""
        passes = (given for part in self.parts for given in part.whole)
        pieces = self.design.pieces
        return max(given.instruction.matrix // pieces + given.words for given in passes)
