"""Instructions: what the controller's fields mean, encoded and decoded in one place.

================  =====================================================================
op                ``HALT``, ``SETUP`` (input buffers), ``PASS`` (rows of one matrix)
next              address of the next instruction
wait_frame        wait for an input frame and take it
release_frame     the frame may be overwritten after this pass
elementwise       results go to the element-wise lanes (else they are parked); the pass
                  waits for the previous such pass and for room for its output
parked            rows start from the parked sums; with a sequence's first frame the
                  vector of an element-wise pass counts as zero
slots, groups     rows of every PE; CSB groups of a row
interval          cycles from row to row: ``max(groups, units_per_slot)``
matrix            first word in the matrix memories
source, align     region of the vector; left shift of the sums of gates i, f, g, o
target, units     region for h; units of a lane
shift             for each gate: right shift from the accumulator to ``state`` format
frame_beats       SETUP: beats of a frame
frame_bases       SETUP: the two x regions
================  =====================================================================
"""

import enum
from dataclasses import asdict, dataclass, fields
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

from csb_format.design import Design, DesignError, PerGate

from .layouts import instruction_layout

__all__ = ["Instruction", "Op"]


class Op(enum.IntEnum):
    """Operation codes; memory that was never loaded halts."""

    HALT = 0
    SETUP = 1
    PASS = 2


@dataclass(frozen=True)
class Instruction:
    """One instruction; the module's table gives the fields' meaning."""

    op: Op = Op.HALT
    next: int = 0
    wait_frame: bool = False
    release_frame: bool = False
    elementwise: bool = False
    parked: bool = False
    slots: int = 0
    groups: int = 0
    interval: int = 0
    matrix: int = 0
    source: int = 0
    align: PerGate = (0, 0, 0, 0)
    target: int = 0
    units: int = 0
    shift: PerGate = (0, 0, 0, 0)
    frame_beats: int = 0
    frame_bases: tuple[int, int] = (0, 0)

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
        constant = data.Const(instruction_layout(design), word)
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = constant[field.name]
            several = isinstance(instruction_layout(design).members[field.name], data.ArrayLayout)
            values[field.name] = tuple(map(int, value)) if several else int(value)
        values["op"] = Op(values["op"])
        return cls(**values)
