"""All record shapes of the accelerator, derived from the design in one place."""

from amaranth.hdl import signed
from amaranth.lib import data

from csb_format.design import MAX_ALIGN, Design, bits_for

__all__ = [
    "aligns_layout",
    "entry_layout",
    "frame_layout",
    "gate_sums_layout",
    "group_layout",
    "instruction_layout",
    "output_layout",
    "shifts_layout",
    "unit_layout",
    "update_layout",
    "vector_write_layout",
    "writeback_layout",
]

ALIGN_BITS = MAX_ALIGN.bit_length()
SHIFT_BITS = 6


def entry_layout(design: Design) -> data.StructLayout:
    """One stored weight: value, then in-bank index above it."""
    return data.StructLayout({"value": signed(design.value_bits), "index": design.index_bits})


def vector_write_layout(design: Design) -> data.StructLayout:
    """One write to the vector banks of all PEs: same address, banks chosen by ``en``."""
    return data.StructLayout(
        {
            "en": design.lanes,
            "addr": bits_for(design.vector_depth),
            "data": data.ArrayLayout(signed(design.act_bits), design.lanes),
        }
    )


def group_layout(design: Design) -> data.StructLayout:
    """What a PE is told about a CSB group.

    ``first`` and ``last`` frame a row; ``parked`` starts it from the parked sum, ``park``
    parks its result instead of presenting it; ``zero`` takes the vector as zero.
    """
    return data.StructLayout(
        {
            "valid": 1,
            "first": 1,
            "last": 1,
            "parked": 1,
            "park": 1,
            "zero": 1,
            "base": bits_for(design.vector_depth),
            "slot": bits_for(design.slots),
            "align": ALIGN_BITS,
        }
    )


def aligns_layout() -> data.ArrayLayout:
    """Left shift of the sums of gates i, f, g, o."""
    return data.ArrayLayout(ALIGN_BITS, 4)


def shifts_layout() -> data.ArrayLayout:
    """Right shift of the sums of gates i, f, g, o to ``state`` format."""
    return data.ArrayLayout(SHIFT_BITS, 4)


def update_layout(design: Design) -> data.StructLayout:
    """What the element-wise lanes are told about a pass, with its first slot."""
    return data.StructLayout(
        {
            "zero": 1,
            "units": bits_for(design.cells + 1),
            "base": bits_for(design.vector_depth),
            "shift": shifts_layout(),
        }
    )


def unit_layout(design: Design) -> data.StructLayout:
    """What an element-wise lane is told about a unit."""
    return data.StructLayout(
        {
            "valid": 1,
            "zero": 1,
            "select": bits_for(design.units_per_slot),
            "addr": bits_for(design.cells),
            "shift": shifts_layout(),
        }
    )


def writeback_layout(design: Design) -> data.StructLayout:
    """Where the units that leave the lanes go: banks ``turn * E + lane``, one address."""
    return data.StructLayout(
        {
            "valid": 1,
            "last": 1,
            "addr": bits_for(design.vector_depth),
            "turn": bits_for(design.lanes // design.units),
        }
    )


def gate_sums_layout(design: Design) -> data.ArrayLayout:
    """Sums of products of gates i, f, g, o of one unit."""
    return data.ArrayLayout(signed(design.acc_bits), 4)


def frame_layout(design: Design) -> data.StructLayout:
    """A beat of input: one element for every bank, place 0 of all banks first.

    ``first`` marks the first frame of a sequence (on all its beats).
    """
    return data.StructLayout(
        {"data": data.ArrayLayout(signed(design.act_bits), design.lanes), "first": 1}
    )


def output_layout(design: Design) -> data.StructLayout:
    """A beat of output: hidden and cell state of E units; ``last`` ends the frame."""
    return data.StructLayout(
        {
            "hidden": data.ArrayLayout(signed(design.gate.width), design.units),
            "cell": data.ArrayLayout(signed(design.state.width), design.units),
            "last": 1,
        }
    )


def instruction_layout(design: Design) -> data.StructLayout:
    """An instruction; :mod:`hdl.program` gives the fields their meaning."""
    vector = bits_for(design.vector_depth)
    return data.StructLayout(
        {
            "op": 2,
            "next": bits_for(design.program_depth),
            "wait_frame": 1,
            "release_frame": 1,
            "elementwise": 1,
            "parked": 1,
            "slots": bits_for(design.slots + 1),
            "groups": bits_for(design.row_groups + 1),
            "interval": bits_for(max(design.row_groups, design.units_per_slot) + 1),
            "matrix": bits_for(design.matrix_depth),
            "source": vector,
            "align": aligns_layout(),
            "target": vector,
            "units": bits_for(design.cells + 1),
            "shift": shifts_layout(),
            "frame_beats": vector,
            "frame_bases": data.ArrayLayout(vector, 2),
        }
    )
