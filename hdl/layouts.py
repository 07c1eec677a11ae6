"""All record shapes of the accelerator, derived from the design in one place."""

from amaranth.hdl import signed
from amaranth.lib import data

from csb_format.design import Design, bits_for

__all__ = [
    "aligns_layout",
    "beats_bits",
    "bias_layout",
    "cell_write_layout",
    "context_bits",
    "entry_layout",
    "events_layout",
    "frame_layout",
    "gate_sums_layout",
    "group_layout",
    "instruction_layout",
    "lead_bits",
    "output_layout",
    "projected_layout",
    "shifts_layout",
    "states_layout",
    "unit_layout",
    "update_layout",
    "vector_write_layout",
    "writeback_layout",
]

SHIFT_BITS = 6


def entry_layout(design: Design) -> data.StructLayout:
    """One stored weight: value, then in-bank index above it."""
    return data.StructLayout({"value": signed(design.value_bits), "index": design.index_bits})


def vector_write_layout(design: Design) -> data.StructLayout:
    """One write to the vector banks of all PEs.

    ``write_ports`` places next to each other are one ``row``; ``en`` and ``data`` have one
    entry for each of its places in each bank, all banks of a place side by side.
    """
    elements = design.lanes * design.write_ports
    return data.StructLayout(
        {
            "en": elements,
            "row": bits_for(-(-design.vector_depth // design.write_ports)),
            "data": data.ArrayLayout(signed(design.act_bits), elements),
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
            "align": align_bits(design),
        }
    )


def align_bits(design: Design) -> int:
    """Bits of a left shift of sums."""
    return max(1, design.max_align.bit_length())


def aligns_layout(design: Design) -> data.ArrayLayout:
    """Left shift of the sums of gates i, f, g, o."""
    return data.ArrayLayout(align_bits(design), 4)


def shifts_layout() -> data.ArrayLayout:
    """Right shift of the sums of gates i, f, g, o to ``state`` format."""
    return data.ArrayLayout(SHIFT_BITS, 4)


def beats_bits(design: Design) -> int:
    """Bits of a count of beats of one pass."""
    per_slot = max(design.units_per_slot, design.results_per_slot)
    return bits_for(max(design.cells, design.slots * per_slot) + 1)


def update_layout(design: Design) -> data.StructLayout:
    """What is told of a pass, with each of its slots, to those who take its results.

    ``zero``: the old cell state is zero; ``beats`` in which results come home, from
    ``base`` on if ``write``; ``bias`` and ``cell``: first places in the memories; ``emit``:
    they leave the accelerator, ``final``: and end the frame.
    """
    return data.StructLayout(
        {
            "zero": 1,
            "write": 1,
            "emit": 1,
            "final": 1,
            "beats": beats_bits(design),
            "base": bits_for(design.vector_depth),
            "bias": bits_for(max(design.cells, design.linear)),
            "cell": bits_for(design.state_depth),
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
            "cell": bits_for(design.state_depth),
            "shift": shifts_layout(),
        }
    )


def writeback_layout(design: Design, beat: int) -> data.StructLayout:
    """Where ``beat`` results go: banks ``turn * beat`` and on, one row; and whether they leave."""
    return data.StructLayout(
        {
            "valid": 1,
            "write": 1,
            "emit": 1,
            "last": 1,
            "place": bits_for(design.vector_depth),
            "turn": bits_for(max(1, design.lanes // beat)),
        }
    )


def gate_sums_layout(design: Design) -> data.ArrayLayout:
    """Sums of products of gates i, f, g, o of one unit."""
    return data.ArrayLayout(signed(design.acc_bits), 4)


def bias_layout(design: Design) -> data.ArrayLayout:
    """Biases of gates i, f, g, o of one unit."""
    return data.ArrayLayout(signed(design.state.width), 4)


def cell_write_layout(design: Design) -> data.StructLayout:
    """One write to the cell memory of an element-wise lane."""
    return data.StructLayout(
        {
            "en": 1,
            "addr": bits_for(design.state_depth),
            "data": signed(design.state.width),
        }
    )


def frame_layout(design: Design) -> data.StructLayout:
    """A beat of input: one element for every bank, place 0 of all banks first.

    ``first`` marks the first frame of a sequence, ``context`` names its stream (both on all
    beats of the frame).
    """
    return data.StructLayout(
        {
            "data": data.ArrayLayout(signed(design.act_bits), design.lanes),
            "first": 1,
            "context": context_bits(design),
        }
    )


def context_bits(design: Design) -> int:
    """Bits that name a stream; one even if there is only one, as ports have no width of 0."""
    return bits_for(design.contexts)


def states_layout(design: Design) -> data.StructLayout:
    """Hidden and cell state of E units."""
    return data.StructLayout(
        {
            "hidden": data.ArrayLayout(signed(design.gate.width), design.units),
            "cell": data.ArrayLayout(signed(design.state.width), design.units),
        }
    )


def projected_layout(design: Design) -> data.ArrayLayout:
    """Q results of a projection, or Q exact sums of a linear layer."""
    bits = design.acc_bits if design.linear else design.act_bits
    return data.ArrayLayout(signed(bits), design.projectors)


def output_layout(design: Design) -> data.StructLayout:
    """A beat of output; ``last`` ends the frame.

    The program tells which of :func:`states_layout` and :func:`projected_layout` its
    ``bits`` are, in this order for each layer that leaves.
    """
    bits = max(states_layout(design).size, projected_layout(design).size)
    return data.StructLayout({"bits": bits, "last": 1})


def events_layout() -> data.StructLayout:
    """Pulses for performance counters."""
    return data.StructLayout(
        {
            "issued": 1,
            "wait_frame": 1,
            "wait_state": 1,
            "wait_room": 1,
            "wait_word": 1,
            "frame_taken": 1,
            "frame_done": 1,
            "saturated": 1,
        }
    )


def instruction_layout(design: Design) -> data.StructLayout:
    """An instruction; :mod:`hdl.program` gives the fields their meaning."""
    vector, program = bits_for(design.vector_depth), bits_for(design.program_depth)
    beats = beats_bits(design)
    per_slot = max(design.units_per_slot, design.results_per_slot)
    return data.StructLayout(
        {
            "op": 2,
            "next": program,
            "other": program,
            "frame": 2,
            "release_frame": 1,
            "advance": 1,
            "recurrent": 1,
            "parked": 1,
            "sink": 2,
            "write": 1,
            "emit": 1,
            "final": 1,
            "slot": bits_for(design.slots),
            "slots": bits_for(design.slots + 1),
            "groups": bits_for(design.row_cycles + 1),
            "interval": bits_for(max(design.lane_interval(design.row_cycles), per_slot) + 1),
            "matrix": bits_for(design.matrix_depth * design.pieces),
            "source": vector,
            "source_kind": 2,
            "source_span": bits_for(vector + 1),
            "target": vector,
            "target_kind": 2,
            "target_span": bits_for(vector + 1),
            "align": aligns_layout(design),
            "shift": shifts_layout(),
            "beats": beats,
            "bias": bits_for(max(design.cells, design.linear)),
            "lead": lead_bits(design),
            "lead_other": lead_bits(design),
            "frame_beats": bits_for(design.vector_depth + 1),
            "frame_bases": data.ArrayLayout(vector, 2),
        }
    )


def lead_bits(design: Design) -> int:
    """Bits of the count of beats on their way home: two passes, and what the lanes hold."""
    return bits_for((2 << beats_bits(design)) + 64)
