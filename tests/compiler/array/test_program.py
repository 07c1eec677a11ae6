"""Instructions: encoded and decoded alike; a field that does not fit is refused by name."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.array.design import Design
from compiler.array.program import Frame, Instruction, Op, Place, Sink, instruction_fields
from compiler.array.widths import size_of
from csb_format.scales import DesignError
from hdl.core.layouts import instruction_layout

SMALL = Design(4, 2, 1, 5, 12, 16, 3, 6, 6, 2, 8, 8, program_depth=8)
LARGE = Design(64, 16, 4, 300, 70000, 1024, 64, 512, 1024, 8, 16, 16, program_depth=200)
# By hand from the meaning of each field, not from the layout.
LARGEST_PER_GATE = {"align": 7, "shift": 63}
LARGEST = {
    "next": 7,
    "other": 7,
    "slot": 3,
    "slots": 3,
    "groups": 7,
    "interval": 7,
    "matrix": 15,
    "source": 15,
    "source_span": 7,
    "target": 15,
    "target_span": 7,
    "beats": 7,
    "bias": 7,
    "lead": 127,
    "lead_other": 127,
    "frame_beats": 31,
}
FLAGS = ("release_frame", "advance", "recurrent", "parked", "write", "emit", "final")
KINDS = {"op": Op, "frame": Frame, "sink": Sink, "source_kind": Place, "target_kind": Place}


@st.composite
def instructions(draw: st.DrawFn, design: Design) -> Instruction:
    layout = instruction_layout(design)
    values: dict[str, Any] = {name: draw(st.sampled_from(kind)) for name, kind in KINDS.items()}
    values |= {name: draw(st.booleans()) for name in FLAGS}
    for name, largest in LARGEST_PER_GATE.items():
        values[name] = tuple(draw(st.integers(0, largest)) for _ in range(4))
    for name in LARGEST:
        values[name] = draw(st.integers(0, (1 << layout.members[name]) - 1))
    base = st.integers(0, (1 << layout.members["source"]) - 1)
    return Instruction(**values, frame_bases=(draw(base), draw(base)))


def test_every_field_is_tried() -> None:
    tried = {*LARGEST, *LARGEST_PER_GATE, *FLAGS, *KINDS, "frame_bases"}
    of_others = {"last_turn", "swapped", "kind", "lead_more", "reach", "rectify"}
    assert tried | of_others | {"opening", *BY_TURN} == {f.name for f in fields(Instruction)}


def test_fields_of_a_gru() -> None:
    """Three aligns, four shifts, and what only its passes have."""
    design = Design(3, 2, 1, 5, 12, 16, 3, 6, 6, 2, 8, 8, program_depth=8, cell="gru")
    given = Instruction(Op.PASS, last_turn=2, swapped=True, align=(1, 2, 7), shift=(1, 2, 3, 63))
    assert Instruction.decode(given.encode(design), design) == given
    assert Instruction.decode(Instruction().encode(design), design).align == (0, 0, 0)
    assert Instruction.decode(given.encode(SMALL), SMALL).last_turn == 0


def test_the_reach_of_a_layer() -> None:
    """A field of designs that have several, as wide as their number asks for."""
    design = replace(SMALL, wider=(32, 64))
    assert Instruction.decode(Instruction(reach=2).encode(design), design).reach == 2
    assert Instruction.decode(Instruction(reach=1).encode(SMALL), SMALL).reach == 0
    with pytest.raises(DesignError, match="instruction field reach = 4: the design allows 0 to 3"):
        Instruction(reach=4).encode(design)


def test_fields_of_a_cell_of_three_passes() -> None:
    """Each has the rows of one gate: one align, one shift, and its number."""
    design = Design(3, 2, 1, 5, 12, 16, 3, 6, 6, 2, 8, 8, program_depth=8, cell="gru0")
    given = Instruction(Op.PASS, kind=2, align=(7,), shift=(63,))
    assert Instruction.decode(given.encode(design), design) == given
    assert Instruction.decode(given.encode(SMALL), SMALL).kind == 0
    with pytest.raises(DesignError, match="field kind = 4: the design allows 0 to 3"):
        Instruction(Op.PASS, kind=4).encode(design)


BY_TURN = ("turn_groups", "turn_intervals", "opening_groups", "opening_intervals")


def test_fields_of_slots_of_one_gate() -> None:
    """Groups and cycles of each slot of a round; those of an LSTM may begin with fewer."""
    design = replace(SMALL, by_gate=True)
    more: dict[str, Any] = {"last_turn": 3, "opening": 3}
    more |= {"turn_groups": (1, 5, 2, 3), "turn_intervals": (1, 6, 2, 6)}
    more |= {"opening_groups": (5, 4, 3), "opening_intervals": (5, 4, 3)}
    given = Instruction(Op.PASS, slots=3, **more)
    assert Instruction.decode(given.encode(design), design) == given
    assert instruction_layout(design).size == size_of(instruction_fields(design))
    names = list(instruction_layout(design).members)
    assert [n for n in names if n in BY_TURN or n in ("groups", "interval")] == list(BY_TURN)
    gru = Design(3, 2, 1, 5, 12, 16, 3, 6, 6, 2, 8, 8, program_depth=8, cell="gru", by_gate=True)
    assert {"opening", *BY_TURN[2:], "groups"}.isdisjoint(instruction_layout(gru).members)
    assert Instruction.decode(Instruction().encode(gru), gru).turn_groups == (0, 0, 0)


def test_when_slots_of_one_gate_are_issued() -> None:
    turns: dict[str, Any] = {"turn_groups": (1, 5, 2, 3), "turn_intervals": (1, 6, 2, 3)}
    first: dict[str, Any] = {"opening_groups": (5, 4, 0), "opening_intervals": (6, 4, 0)}
    given = Instruction(Op.PASS, slots=6, last_turn=3, opening=2, **turns, **first)
    assert given.walk.starts.tolist() == [0, 6, 10, 11, 17, 19]
    assert (given.walk.ends.tolist(), given.cycles) == ([1, 5], 22)
    same = Instruction(Op.PASS, slots=4, last_turn=1, groups=2, interval=3)
    assert (same.walk.starts.tolist(), same.walk.ends.tolist()) == ([0, 3, 6, 9], [1, 3])


@given(instructions(SMALL))
def test_round_trip_small(instruction: Instruction) -> None:
    assert Instruction.decode(instruction.encode(SMALL), SMALL) == instruction


@given(instructions(LARGE))
def test_round_trip_large(instruction: Instruction) -> None:
    assert Instruction.decode(instruction.encode(LARGE), LARGE) == instruction


def test_word_is_as_wide_as_the_layout_and_halts_when_zero() -> None:
    width = instruction_layout(SMALL).size
    assert 0 <= Instruction(Op.PASS, frame_bases=(15, 15)).encode(SMALL) < 1 << width
    assert Instruction().encode(SMALL) == 0
    assert Instruction.decode(0, SMALL).op is Op.HALT
    assert Instruction(Op.PASS).encode(SMALL) == 2


def test_layout_has_the_instructions_fields() -> None:
    found = {"lstm": {"last_turn", "swapped", "kind"}, "gru": {"kind"}}
    found["gru0"] = {"last_turn", "swapped"}
    every = [
        f.name
        for f in fields(Instruction)
        if f.name not in ("opening", "lead_more", "reach", "rectify", *BY_TURN)
    ]
    for cell, without in found.items():
        sizes = 4, 2, 1, 5, 12, 16, 3, 6, 6, 2, 8, 8
        layout = instruction_layout(Design(*sizes, program_depth=8, cell=cell))
        assert list(layout.members) == [n for n in every if n not in without]


def with_field(name: str, value: Any) -> Instruction:
    fields: dict[str, Any] = {name: value}
    return Instruction(**fields)


@pytest.mark.parametrize(("name", "largest"), LARGEST.items())
def test_field_that_does_not_fit(name: str, largest: int) -> None:
    instruction = with_field(name, largest)
    assert Instruction.decode(instruction.encode(SMALL), SMALL) == instruction
    for value in (largest + 1, -1):
        message = f"instruction field {name} = {value}: the design allows 0 to {largest}; give"
        with pytest.raises(DesignError, match=re.escape(message)):
            with_field(name, value).encode(SMALL)


@pytest.mark.parametrize(("name", "largest"), LARGEST_PER_GATE.items())
@pytest.mark.parametrize("gate", range(4))
def test_gates_field_that_does_not_fit(name: str, largest: int, gate: int) -> None:
    values = [0, 1, 2, 3]
    values[gate] = largest
    instruction = with_field(name, tuple(values))
    assert Instruction.decode(instruction.encode(SMALL), SMALL) == instruction
    for value in (largest + 1, -1):
        values[gate] = value
        with pytest.raises(DesignError, match=rf"field {name} = {value}: .* 0 to {largest}; give"):
            with_field(name, tuple(values)).encode(SMALL)


@pytest.mark.parametrize("bases", [(16, 0), (0, 16), (0, -1)])
def test_base_that_does_not_fit(bases: tuple[int, int]) -> None:
    bad = next(base for base in bases if base)
    with pytest.raises(DesignError, match=rf"frame_bases = {bad}: the design allows 0 to 15"):
        Instruction(frame_bases=bases).encode(SMALL)


@pytest.mark.parametrize(("name", "kind"), [("op", Op), ("frame", Frame), ("sink", Sink)])
def test_unknown_code_is_not_decoded(name: str, kind: Any) -> None:
    member = instruction_layout(SMALL)[name]
    with pytest.raises(ValueError, match=f"3 is not a valid {kind.__name__}"):
        Instruction.decode(3 << member.offset, SMALL)


def test_a_pass_takes_an_interval_for_every_slot() -> None:
    assert Instruction(Op.PASS, slots=3, groups=2, interval=5).cycles == 15
