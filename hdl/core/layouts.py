"""All record shapes of the accelerator, derived from the design in one place."""

from collections.abc import Iterable

from amaranth.hdl import Shape, signed
from amaranth.lib import data

from compiler.abi.wire import frame_fields, output_fields, projected_bits, state_fields
from compiler.array.design import Design, bits_for
from compiler.array.program import instruction_fields
from compiler.array.widths import (
    SHIFT_BITS,
    Field,
    align_bits,
    beats_bits,
    reach_bits,
    row_left,
)
from compiler.lower.load import Space, space_widths

__all__ = [
    "aligns_layout",
    "back_layout",
    "bank_write_layout",
    "bias_layout",
    "cell_write_layout",
    "damage_layout",
    "entry_layout",
    "events_layout",
    "frame_layout",
    "gate_sums_layout",
    "gates_layout",
    "group_layout",
    "instruction_layout",
    "output_layout",
    "projected_layout",
    "reach_fields",
    "result_layout",
    "rows_layout",
    "shifts_layout",
    "states_layout",
    "turn_fields",
    "unit_layout",
    "update_layout",
    "vector_write_layout",
    "words_layout",
    "writeback_layout",
]


def entry_layout(design: Design) -> data.StructLayout:
    """One stored weight: value, then in-bank index above it."""
    return data.StructLayout({"value": signed(design.value_bits), "index": design.index_bits})


def words_layout(bits: int) -> data.StructLayout:
    """A streamed word of all PEs, that of PE 0 lowest; ``first`` marks the first of a frame."""
    return data.StructLayout({"words": bits, "first": 1})


def rows_layout(design: Design) -> data.StructLayout:
    """Words for one address of all matrix memories at once, that of PE 0 lowest."""
    depth = design.matrix_depth * design.pieces
    words = design.pes * space_widths(design)[Space.MATRIX]
    return data.StructLayout({"en": 1, "row": bits_for(depth), "words": words})


def damage_layout(design: Design) -> data.StructLayout:
    """What a checked design has found changed: a word of a memory, of a frame, a load packet.

    With ``walk``, memories that nobody was reading.
    """
    walk = {"walk": 1} if design.walk else {}
    return data.StructLayout({"memory": 1, "frame": 1, "packet": 1, **walk})


def bank_write_layout(design: Design) -> data.StructLayout:
    """A write as a PE takes it: ``en`` of each element tells the parts of its bank apart.

    Where a bank is one memory this is :func:`vector_write_layout`.
    """
    fields = {name: field.shape for name, field in vector_write_layout(design)}
    if design.parts:
        elements = design.lanes * design.write_ports
        fields["en"] = data.ArrayLayout(len(design.bank_parts), elements)
    return data.StructLayout(fields)


def vector_write_layout(design: Design) -> data.StructLayout:
    """One write to the vector banks of all PEs.

    ``write_ports`` places next to each other are one ``row``; ``en`` and ``data`` have one
    entry for each of its places in each bank, all banks of a place side by side; in a checked
    design the parity of an element above it.
    """
    elements = design.lanes * design.write_ports
    element = design.act_bits + 1 if design.checked else signed(design.act_bits)
    return data.StructLayout(
        {
            "en": elements,
            "row": bits_for(design.bank_depth),
            "data": data.ArrayLayout(element, elements),
        }
    )


def group_layout(design: Design) -> data.StructLayout:
    """What a PE is told about a CSB group.

    ``first`` and ``last`` frame a row; ``parked`` starts it from the parked sum, ``park``
    parks its result instead of presenting it; ``zero`` takes the vector as zero. Where the cell
    takes sums of the two matrices apart, ``apart`` starts a parked row from zero all the same
    and presents the parked sum beside it. Where PEs keep the sums of a unit, ``gate`` says which
    of them a row is, and ``ready`` presents all with the last row of a round. In a batched design
    ``stream`` is the one whose vector it meets.
    """
    apart = {"apart": 1} if design.arithmetic.apart else {}
    kept = {"gate": bits_for(design.abreast), "ready": 1} if design.collects else {}
    streams = {"stream": design.stream_bits} if design.batched else {}
    return data.StructLayout(
        {
            "valid": 1,
            "first": 1,
            "last": 1,
            "parked": 1,
            **apart,
            "park": 1,
            "zero": 1,
            "base": bits_for(design.vector_depth),
            "slot": bits_for(design.slots),
            "align": align_bits(design),
            **kept,
            **streams,
        }
    )


def back_layout(design: Design) -> data.StructLayout:
    """How a PE multiplies on the way back.

    ``on``: all lanes take ``weight`` for their element; ``keep``: their values stay what they are.
    The weight is shifted by its row's format, :func:`~compiler.array.widths.row_left`.
    """
    bits = design.value_bits + row_left(design)
    return data.StructLayout({"on": 1, "keep": 1, "weight": signed(bits)})


def gates_layout(design: Design) -> data.ArrayLayout:
    """Gates of the rows that PEs side by side work on, or which of these PEs has each gate."""
    return data.ArrayLayout(bits_for(design.abreast), design.abreast)


def result_layout(design: Design) -> Shape | data.ArrayLayout:
    """What a PE presents: the sum of a row, or the sums of all gates where it keeps them."""
    shape = signed(design.acc_bits)
    return data.ArrayLayout(shape, design.abreast) if design.collects else shape


def aligns_layout(design: Design) -> data.ArrayLayout:
    """Left shift of the sums of the rows of a unit that PEs side by side work on."""
    return data.ArrayLayout(align_bits(design), design.abreast)


def shifts_layout(design: Design) -> data.ArrayLayout:
    """Right shift of the sums of a unit that come in a pass, to ``state`` format."""
    return data.ArrayLayout(SHIFT_BITS, design.shifts)


def turn_fields(design: Design) -> dict[str, int]:
    """What is told of a slot where the rows of a unit follow each other, or come in more passes.

    ``turn``: which of the unit's rows; ``ready``: the last of them; ``swapped``: where sums of
    the two matrices come apart, the parked ones are of the recurrent matrix; ``kind``: which of the
    cell's passes it is.
    """
    if design.passes > 1:
        return {"kind": bits_for(design.passes)}
    if not design.takes_rows:
        return {}
    return {"turn": bits_for(design.turns), "ready": 1, "swapped": 1}


def reach_fields(design: Design) -> dict[str, int]:
    """Which of the design's reaches a unit's layer has; nothing where there is one for all."""
    return {"reach": reach_bits(design)} if design.wider else {}


def update_layout(design: Design) -> data.StructLayout:
    """What is told of a pass, with each of its slots, to those who take its results.

    ``zero``: the old cell state is zero; ``beats`` in which results come home, from
    ``base`` on if ``write``, as the next linear layer takes them if ``rectify``; ``bias`` and
    ``cell``: first places in the memories; ``emit``: they leave the accelerator, ``final``: and
    end the frame. Where PEs keep the sums of a unit, ``block`` is the last of the blocks that a
    round makes ready. In a batched design ``stream`` is whose results they are, and with ``again``
    those of another stream came for the same rows.
    """
    return data.StructLayout(
        {
            "zero": 1,
            "write": 1,
            **({"rectify": 1} if design.rectified else {}),
            "emit": 1,
            "final": 1,
            "beats": beats_bits(design),
            "base": bits_for(design.vector_depth),
            "bias": bits_for(max(design.cells, design.linear)),
            "cell": bits_for(design.state_depth),
            "shift": shifts_layout(design),
            **turn_fields(design),
            **reach_fields(design),
            **({"block": bits_for(design.blocks)} if design.collects else {}),
            **({"again": 1, "stream": design.stream_bits} if design.batched else {}),
        }
    )


def unit_layout(design: Design) -> data.StructLayout:
    """What an element-wise lane is told about a unit.

    Where PEs keep the sums of a unit, ``places`` says which of those side by side has each gate.
    """
    return data.StructLayout(
        {
            "valid": 1,
            "zero": 1,
            "select": bits_for(design.units_per_slot),
            "cell": bits_for(design.state_depth),
            "shift": shifts_layout(design),
            **turn_fields(design),
            **reach_fields(design),
            **({"places": gates_layout(design)} if design.collects else {}),
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
            **({"stream": design.stream_bits} if design.batched else {}),
        }
    )


def gate_sums_layout(design: Design) -> data.ArrayLayout:
    """Sums that PEs side by side present at once: of a unit, those beside them last.

    Where PEs keep the sums of a unit, all of each PE: those of as many units.
    """
    if design.collects:
        return data.ArrayLayout(result_layout(design), design.abreast)
    count = design.abreast * (2 if design.arithmetic.apart else 1)
    return data.ArrayLayout(signed(design.forward_bits), count)


def bias_layout(design: Design) -> data.ArrayLayout:
    """Biases of the sums of one unit."""
    return data.ArrayLayout(signed(design.state.width), design.sums)


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
    """A beat of input; see :func:`compiler.abi.wire.frame_fields`."""
    return layout_of(frame_fields(design))


def states_layout(design: Design) -> data.StructLayout:
    """Hidden and cell state of E units; see :func:`compiler.abi.wire.state_fields`."""
    return layout_of(state_fields(design))


def projected_layout(design: Design) -> data.ArrayLayout:
    """Q results of a projection, or Q exact sums of a linear layer."""
    return data.ArrayLayout(signed(projected_bits(design)), design.projectors)


def output_layout(design: Design) -> data.StructLayout:
    """A beat of output; see :func:`compiler.abi.wire.output_fields`."""
    return layout_of(output_fields(design))


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
    """An instruction; :mod:`compiler.array.program` gives the fields their meaning."""
    return layout_of(instruction_fields(design))


def layout_of(fields: Iterable[Field]) -> data.StructLayout:
    """A record of the compiler as Amaranth has it."""
    return data.StructLayout({field.name: _shape(field) for field in fields})


def _shape(field: Field) -> Shape | int | data.ArrayLayout:
    shape = signed(field.width) if field.signed else field.width
    return data.ArrayLayout(shape, field.count) if field.is_array else shape
