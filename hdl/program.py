"""Instructions: what the controller's fields mean, encoded and decoded in one place.

================  =====================================================================
op                ``HALT``, ``SETUP`` (input buffers), ``PASS`` (rows of one matrix)
next              address of the next instruction
frame             ``WAIT``: wait for an input frame and take it; ``TRY``: take it if one
                  is there, else go on at ``other``
release_frame     the frame's buffer may be overwritten after this pass
advance           the frame taken last becomes the current one
recurrent         the vector is the state of the step before: zero at a sequence's first
                  frame
parked            rows start from the parked sums
sink              ``PARK``: sums are parked; ``UNITS``: they go to the element-wise lanes;
                  ``PROJECT``: to the projectors
write             results are written to ``target``
emit, final       results leave the accelerator; they are the frame's last
slot, slots       first of the parked sums; rows of every PE
groups            CSB groups of a row
interval          cycles from row to row, at least ``groups`` and the beats of a slot
matrix            first word in the matrix memories
source, target    vector read, vector written: region in the banks; of the two state
                  regions of the context the ``OLD`` or the ``NEW`` one, in the frame's
                  buffer (``FRAME``) or as it is (``FIXED``)
source_span       binary logarithm of the size of the state regions; target_span as well
align             left shift of the sums of gates i, f, g, o
shift             for each gate: right shift from the accumulator
beats             beats in which the results come home
bias              first place in the bias and cell memories
lead, lead_other  the pass starts when no more beats than this are on their way home;
                  ``lead_other`` counts if the frame is of another context than the one
                  before, or the first of a sequence
frame_beats       SETUP: beats of a frame
frame_bases       SETUP: the two input buffers
================  =====================================================================
"""

import enum
from dataclasses import asdict, dataclass, fields
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

from csb_format.design import Design, DesignError, PerGate

from .layouts import instruction_layout

__all__ = ["Frame", "Instruction", "Op", "Place", "Sink"]


class Op(enum.IntEnum):
    """Operation codes; memory that was never loaded halts."""

    HALT = 0
    SETUP = 1
    PASS = 2


class Frame(enum.IntEnum):
    """What a pass has to do with the next input frame."""

    NONE = 0
    WAIT = 1
    TRY = 2


class Sink(enum.IntEnum):
    """Where the sums of a pass go."""

    PARK = 0
    UNITS = 1
    PROJECT = 2


class Place(enum.IntEnum):
    """How the region of a vector is found."""

    FIXED = 0
    FRAME = 1
    OLD = 2
    NEW = 3


_ENUMS = {"op": Op, "frame": Frame, "sink": Sink, "source_kind": Place, "target_kind": Place}


@dataclass(frozen=True)
class Instruction:
    """One instruction; the module's table gives the fields' meaning."""

    op: Op = Op.HALT
    next: int = 0
    other: int = 0
    frame: Frame = Frame.NONE
    release_frame: bool = False
    advance: bool = False
    recurrent: bool = False
    parked: bool = False
    sink: Sink = Sink.PARK
    write: bool = False
    emit: bool = False
    final: bool = False
    slot: int = 0
    slots: int = 0
    groups: int = 0
    interval: int = 0
    matrix: int = 0
    source: int = 0
    source_kind: Place = Place.FIXED
    source_span: int = 0
    target: int = 0
    target_kind: Place = Place.FIXED
    target_span: int = 0
    align: PerGate = (0, 0, 0, 0)
    shift: PerGate = (0, 0, 0, 0)
    beats: int = 0
    bias: int = 0
    lead: int = 0
    lead_other: int = 0
    frame_beats: int = 0
    frame_bases: tuple[int, int] = (0, 0)

    @property
    def cycles(self) -> int:
        """Cycles in which the pass issues."""
        return self.slots * self.interval

    def encode(self, design: Design) -> int:
        """The word of the program memory.

        Raises
        ------
        DesignError
            If a field does not fit; the message names it.
        """
        layout = instruction_layout(design)
        for name, value in asdict(self).items():
            shape = layout.members[name]
            limit = shape.elem_shape if isinstance(shape, data.ArrayLayout) else shape
            largest = (1 << Shape.cast(limit).width) - 1
            for part in value if isinstance(value, tuple) else (value,):
                if not 0 <= int(part) <= largest:
                    raise DesignError(
                        f"instruction field {name} = {part}: the design allows 0 to {largest}; "
                        "give the design more memory"
                    )
        values = {k: list(v) if isinstance(v, tuple) else int(v) for k, v in asdict(self).items()}
        return int(layout.const(values).as_value().value)

    @classmethod
    def decode(cls, word: int, design: Design) -> "Instruction":
        """The instruction of a program word."""
        layout = instruction_layout(design)
        constant = data.Const(layout, word)
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = constant[field.name]
            several = isinstance(layout.members[field.name], data.ArrayLayout)
            values[field.name] = tuple(map(int, value)) if several else int(value)
        return cls(**values | {name: kind(values[name]) for name, kind in _ENUMS.items()})
