"""Words of the matrix, bias and program memories."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np

from csb_format.csb import Csb
from csb_format.fixed import IntArray
from csb_format.scales import DesignError
from csb_format.words import join_fields, split_words

from ..array.design import Design
from ..array.program import Instruction, Sink, instruction_bits
from .packed import row_words
from .passes import HEAD, Pass

__all__ = [
    "Fields",
    "bias_words",
    "indexed_memories",
    "matrix_memories",
    "matrix_words",
    "program_words",
]

_BLOCK = 1 << 17  # entries that become words at a time


class Fields(enum.IntEnum):
    """What a word of a matrix has of every weight."""

    VALUES = 0
    INDICES = 1
    BOTH = 2


def matrix_words(
    groups: int, placed: Sequence[tuple[Pass, Csb]], fields: Fields = Fields.BOTH
) -> np.ndarray:
    """Words of all PEs, object array (groups, M); padding rows hold zeros.

    Parameters
    ----------
    groups : int
        Words of a PE.
    placed : sequence of (Pass, Csb)
        Whole passes with addresses, and their matrices as the array sees them.
    fields : Fields
    """
    design = placed[0][0].placement.design
    words = np.zeros((groups, design.pes), object)
    for given, matrix in placed:
        found = _pass_words(given, matrix, fields)
        at = given.instruction.matrix // design.pieces
        words[at : at + len(found)] = found
    return words


def matrix_memories(words: np.ndarray, design: Design) -> dict[str, list[int]]:
    """The memory of every PE, a word in so many pieces as it is read in."""
    return {
        f"matrix_{pe:03d}": split_words(words[:, pe].tolist(), design.word_bits, design.pieces)
        for pe in range(design.pes)
    }


def indexed_memories(
    groups: int, placed: Sequence[tuple[Pass, Csb]], design: Design
) -> dict[str, list[int]]:
    """Those of a design that has places without indices: values, and indices of the others."""
    values, indices = (matrix_words(groups, placed, f) for f in (Fields.VALUES, Fields.INDICES))
    found = {f"matrix_{pe:03d}": values[:, pe].tolist() for pe in range(design.pes)}
    kept = indices[: design.indexed]
    return found | {f"index_{pe:03d}": kept[:, pe].tolist() for pe in range(design.pes)}


def program_words(program: Sequence[Instruction], design: Design) -> list[int]:
    """Words of the whole program memory; what lies beyond the program halts."""
    unused = design.program_depth - len(program)
    words = [now.encode(design) for now in program] + [Instruction().encode(design)] * unused
    return split_words(words, instruction_bits(design), design.program_pieces)


def _pass_words(given: Pass, matrix: Csb, fields: Fields) -> np.ndarray:
    """Object array (groups, M) of memory words, made of some rows at a time to save memory."""
    design, rows, g = given.placement.design, given.placement.rows, matrix.geometry
    if design.row_bits and given.matrix == HEAD:
        values = np.where(rows[:, :, None, None] < 0, 0, matrix.values[rows]).swapaxes(1, 2)
        return row_words(values.reshape(-1, *values.shape[2:]), design)
    groups = given.instruction.walk.groups // design.pieces
    step = max(1, _BLOCK // (design.pes * g.nonzeros * g.banks))
    starts = range(0, len(rows), step)
    parts = (
        _slot_words(rows[n : n + step], groups[n : n + step], given.skips, matrix, fields, design)
        for n in starts
    )
    return np.concatenate(list(parts))


def _slot_words(
    rows: IntArray, groups: IntArray, skips: int, matrix: Csb, fields: Fields, design: Design
) -> np.ndarray:
    """Object array (n, M) of rows (slots, M) with so many groups of each behind those skipped.

    -1 is no row, whose words are zeros.
    """
    most = int(groups.max())
    taken_groups = slice(skips, skips + most)
    values = matrix.values[rows, taken_groups]
    indices = matrix.indices[rows, taken_groups].astype(np.int64)
    both = np.stack([values, indices], axis=-1)
    bits = [design.value_bits, design.index_bits]
    taken = slice(None) if fields is Fields.BOTH else slice(fields, fields + 1)
    placed = np.where(rows[..., None, None, None] < 0, 0, both[..., taken])
    flat = placed.reshape(*placed.shape[:3], -1)
    words = join_fields(flat, bits[taken] * design.lanes).swapaxes(1, 2)
    issued = np.arange(most) < groups[:, None]
    return np.asarray(words[issued])


def bias_words(
    biases: Sequence[tuple[Pass, IntArray]], design: Design, shifts: IntArray
) -> dict[str, list[int]]:
    """Words of the bias memories of lanes (the first sum lowest) and of projectors.

    Those of projectors have the row's shift above the bias in a design with ``row_shift``.
    """
    lanes = np.zeros((design.cells, design.units), object)
    linear = np.zeros((design.linear, design.projectors), object)
    for given, bias in biases:
        placement, base = given.placement, given.instruction.bias
        if given.sink == Sink.UNITS:
            by_unit = bias.reshape(design.sums, -1)
            placed = np.stack([placement.to_order(of_sum) for of_sum in by_unit], axis=-1)
            words = join_fields(placed, design.state.width).reshape(-1, design.units)
            lanes[base : base + len(words)] = words
        else:
            # what leaves the array is cut to these bits; between layers one more is kept
            bits = design.forward_bits
            _check_sum(given, bias, bits - (not given.instruction.rectify))
            fields, widths = [bias], [bits]
            if design.row_shift:
                fields, widths = [bias, shifts], [bits, design.row_shift.bit_length()]
            placed = np.stack([placement.to_order(field) for field in fields], axis=-1)
            words = join_fields(placed, widths)
            linear[base : base + placement.beats] = words.reshape(-1, design.projectors)
    parts = design.sums if design.compact else 1
    found = {
        f"bias_{e:03d}": split_words(lanes[:, e].tolist(), design.bias_bits, parts)
        for e in range(design.units)
    }
    if design.linear:
        found |= {f"linear_{q:03d}": linear[:, q].tolist() for q in range(design.projectors)}
    return found


def _check_sum(given: Pass, bias: IntArray, width: int) -> None:
    """Raise a :class:`.DesignError` if a bias, with its sum, may be wider than the array keeps."""
    if (most := int(np.abs(bias).max())) >> width - 1:
        raise DesignError(
            f"{given.name}: a bias of {most} has more bits than the {width} of its sums; train "
            "with smaller biases, or leave the head to the host (head=False)"
        )
