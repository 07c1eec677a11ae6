"""Instructions: what the controller's fields mean, encoded and decoded in one place.

================= =====================================================================
op                ``HALT``, ``SETUP`` (input buffers), ``PASS`` (rows of one matrix)
next              address of the next instruction
frame             ``WAIT``: wait for an input frame and take it; ``TRY``: take it if one
                  is there, else go on at ``other``
release_frame     the frame's buffer may be overwritten after this pass
advance           the frame taken last becomes the current one
recurrent         the vector is the state of the step before: zero at a sequence's first
                  frame
parked            rows start from the parked sums
swapped           these are of the recurrent matrix; only in designs whose cell takes sums of the
                  two matrices apart
sink              ``PARK``: sums are parked; ``UNITS``: they go to the element-wise lanes;
                  ``PROJECT``: to the projectors
write             results are written to ``target``
rectify           they are what the next linear layer takes: with their bias, through a ReLU; only
                  in designs with ``rectified``
emit, final       results leave the accelerator; they are the frame's last
slot, slots       first of the parked sums; rows of every PE
groups            CSB groups of a row
interval          cycles from row to row, at least ``groups`` and the beats of a slot; in a batched
                  design for each stream that is there, see :mod:`compiler.array.batch`
turn_groups       in the place of groups in a design with ``by_gate``: of each slot of a round
turn_intervals    in the place of the interval, as well
opening           slots of the first round, if these are fewer than those of the others, else 0;
                  only in designs whose PEs keep the sums of a unit, as what follows
opening_groups    of each of these slots
opening_intervals of each of these slots
matrix            first word in the matrix memories
source, target    vector read, vector written: region in the banks; of the two state
                  regions of the context the ``OLD`` or the ``NEW`` one, in the frame's
                  buffer (``FRAME``) or as it is (``FIXED``)
source_span       binary logarithm of the size of the state regions; target_span as well. In a
                  batched design of any region that each stream has one of; of SETUP that of a frame
kind              which of the cell's passes over a matrix, each with the rows of its gates; only in
                  designs whose cell makes several
reach             which of the design's reaches the layer has; only in designs of several
last_turn         last of the slots, from 0 on, in which the rows of a unit follow each other;
                  only in designs whose cell has several
align             left shift of the sums of each gate of the pass
shift             for each sum of the pass: right shift from the accumulator
beats             beats in which the results come home
bias              first place in the bias and cell memories
lead, lead_other  the pass starts when no more beats than this are on their way home;
                  ``lead_other`` counts if the frame is of another context than the one
                  before, or the first of a sequence
lead_more         of designs of more contexts than two, where ``lead_other`` is only for a frame
                  whose context's last one is two back: for those that are three back and more,
                  the last for all further ones and the first of a sequence
frame_beats       SETUP: beats of a frame
frame_bases       SETUP: the two input buffers
================= =====================================================================
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any

from csb_format.scales import DesignError, PerGate

from .batch import row_interval
from .design import Design, bits_for
from .rounds import Walk
from .widths import SHIFT_BITS, Field, align_bits, beats_bits, lead_bits, reach_bits, size_of

__all__ = ["Frame", "Instruction", "Op", "Place", "Sink", "instruction_bits", "instruction_fields"]


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
    swapped: bool = False
    sink: Sink = Sink.PARK
    write: bool = False
    rectify: bool = False
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
    kind: int = 0
    reach: int = 0
    last_turn: int = 0
    opening: int = 0
    turn_groups: tuple[int, ...] = ()
    turn_intervals: tuple[int, ...] = ()
    opening_groups: tuple[int, ...] = ()
    opening_intervals: tuple[int, ...] = ()
    align: PerGate = (0, 0, 0, 0)
    shift: PerGate = (0, 0, 0, 0)
    beats: int = 0
    bias: int = 0
    lead: int = 0
    lead_other: int = 0
    lead_more: tuple[int, ...] = ()
    frame_beats: int = 0
    frame_bases: tuple[int, int] = (0, 0)

    @cached_property
    def walk(self) -> Walk:
        """When it issues what."""
        whole = list(zip(self.turn_groups, self.turn_intervals, strict=True))[: self.turns]
        opening = list(zip(self.opening_groups, self.opening_intervals, strict=True))
        same = [(self.groups, self.interval)] * self.turns
        return Walk.of(self.slots, opening[: self.opening], whole or same)

    @property
    def leads(self) -> tuple[int, ...]:
        """By how many frames back, less one, the last frame of the stream is."""
        return self.lead, self.lead_other, *self.lead_more

    def at_lead(self, leads: Sequence[int]) -> Instruction:
        """With other leads."""
        same, other, *more = leads
        return replace(self, lead=same, lead_other=other, lead_more=tuple(more))

    @property
    def cycles(self) -> int:
        """Cycles in which the pass issues."""
        return self.walk.cycles

    @property
    def turns(self) -> int:
        """Slots of a round, in which the rows of a unit follow each other."""
        return self.last_turn + 1

    def sized(self, design: Design) -> Instruction:
        """With as many of all arrays as a design has, zeros where none are said."""
        sizes = {field.name: field.count for field in instruction_fields(design) if field.is_array}
        arrays: dict[str, Any] = {
            name: (*getattr(self, name), *[0] * size)[:size] for name, size in sizes.items()
        }
        return replace(self, **arrays)

    def encode(self, design: Design) -> int:
        """The word of the program memory.

        Raises
        ------
        DesignError
            If a field does not fit; the message names it.
        """
        word = place = 0
        given = self.sized(design)
        for field in instruction_fields(design):
            value = getattr(given, field.name)
            for part in value if field.is_array else (value,):
                number = int(part)
                if number < 0 or number >> field.width:
                    raise DesignError(
                        f"instruction field {field.name} = {part}: the design allows 0 to "
                        f"{(1 << field.width) - 1}; give the design more memory"
                    )
                word |= number << place
                place += field.width
        return word

    @classmethod
    def decode(cls, word: int, design: Design) -> Instruction:
        """The instruction of a program word."""
        values: dict[str, Any] = {}
        for field in instruction_fields(design):
            parts = tuple(_parts(word, field))
            values[field.name] = parts if field.is_array else parts[0]
            word >>= field.size
        for name, kind in _KINDS.items():
            if name in values:  # of some cells there are fewer fields
                values[name] = kind(values[name])
        return cls(**values)


_KINDS = _ENUMS | {f.name: bool for f in fields(Instruction) if f.default is False}


def _parts(word: int, field: Field) -> Iterator[int]:
    """Elements of the field that is lowest in a word."""
    for n in range(field.count or 1):
        yield word >> field.width * n & ((1 << field.width) - 1)


@lru_cache
def instruction_fields(design: Design) -> tuple[Field, ...]:
    """Fields of an instruction, the lowest first; the module's table has their meaning."""
    vector, program = bits_for(design.vector_depth), bits_for(design.program_depth)
    more = design.frames_back - 2
    return (
        Field("op", 2),
        Field("next", program),
        Field("other", program),
        Field("frame", 2),
        Field("release_frame", 1),
        Field("advance", 1),
        Field("recurrent", 1),
        Field("parked", 1),
        *([Field("swapped", 1)] if design.arithmetic.apart else []),
        Field("sink", 2),
        Field("write", 1),
        *([Field("rectify", 1)] if design.rectified else []),
        Field("emit", 1),
        Field("final", 1),
        Field("slot", bits_for(design.slots)),
        Field("slots", bits_for(design.slots + 1)),
        *_row_fields(design),
        Field("matrix", bits_for(design.matrix_depth * design.pieces)),
        Field("source", vector),
        Field("source_kind", 2),
        Field("source_span", bits_for(vector + 1)),
        Field("target", vector),
        Field("target_kind", 2),
        Field("target_span", bits_for(vector + 1)),
        *([Field("kind", bits_for(design.passes))] if design.passes > 1 else []),
        *([Field("reach", reach_bits(design))] if design.wider else []),
        *([Field("last_turn", bits_for(design.turns))] if design.turns > 1 else []),
        *([Field("opening", bits_for(design.turns))] if design.collects else []),
        Field("align", align_bits(design), design.aligns),
        Field("shift", SHIFT_BITS, design.shifts),
        Field("beats", beats_bits(design)),
        Field("bias", bits_for(max(design.cells, design.linear))),
        Field("lead", lead_bits(design)),
        Field("lead_other", lead_bits(design)),
        *([Field("lead_more", lead_bits(design), more)] if more else []),
        Field("frame_beats", bits_for(design.vector_depth + 1)),
        Field("frame_bases", vector, 2),
    )


def _row_fields(design: Design) -> list[Field]:
    """Groups of a row, and cycles from row to row."""
    per_slot = max(design.units_per_round, design.results_per_slot)
    longest = design.row_cycles + per_slot if design.by_gate else per_slot
    interval = max(design.lane_interval(design.row_cycles), longest)
    if design.batched:
        interval = row_interval(design.row_cycles, per_slot)
    sizes = {"groups": bits_for(design.row_cycles + 1), "interval": bits_for(interval + 1)}
    if not design.by_gate:
        return [Field(name, size) for name, size in sizes.items()]
    counts = {"turn": design.turns}
    if design.collects:
        counts["opening"] = design.turns - 1
    many = {"groups": "groups", "interval": "intervals"}
    return [
        Field(f"{of}_{many[name]}", size, count)
        for of, count in counts.items()
        for name, size in sizes.items()
    ]


def instruction_bits(design: Design) -> int:
    """Bits of an instruction."""
    return size_of(instruction_fields(design))
