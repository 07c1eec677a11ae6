"""Packets of the ``load`` stream: how memories are filled and a program is started.

A packet is a header, a count and data:

=========  =============  ==================================================
header     bits 31..28    space: 1 matrix, 2 bias, 3 program, 4 start, 5 linear,
                          6 vector, 7 cell, 8 walk, 9 master, 10 learn,
                          11 screen, 12 digits, 13 middle, 14 low, 15 index,
                          0 gradients
           bits 27..16    which memory: PE, element-wise lane, projector, of
                          screen 0 marks, 1 second, 2 whole, 3 blocks; else 0
           bits 15..0     first word written; for *start*, program address
count      32 bits        memory words that follow (not for *start*); of
                          *gradients* 24 bits, above them a shift
data       ...            each memory word in ``ceil(width / 32)`` words,
                          lowest first
check      32 bits        of a checked design: the exclusive or of all words
                          before it in the packet
=========  =============  ==================================================
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

from csb_format.scales import DesignError

from ..array.design import Design
from ..array.program import instruction_bits
from ..array.screen.design import ScreenDesign
from ..array.widths import LOW_BITS
from .parity import check_word
from .screen import MEMORIES, screen_depths, screen_widths

__all__ = [
    "COUNT_BITS",
    "MAX_LOADED",
    "WALK_WORDS",
    "WORD",
    "Space",
    "header",
    "packet",
    "sealed",
    "space_depths",
    "space_targets",
    "space_widths",
]


WORD = 32
COUNT_BITS = 24  # of a packet of gradients
LEARN_WORDS = 16  # places for registers of the learner
WALK_WORDS = 2  # what a walk is told: the last row of the matrix memories, and the check


class Space(enum.IntEnum):
    """Kinds of memory that a packet can address, and the start command."""

    GRADIENTS = 0  # words of matrix memories without indices, in whose places one shift comes
    MATRIX = 1
    BIAS = 2
    PROGRAM = 3
    START = 4
    LINEAR = 5
    VECTOR = 6
    CELL = 7
    WALK = 8
    MASTER = 9
    LEARN = 10  # registers of the learner; see :mod:`compiler.learn.commands`
    SCREEN = 11  # of a screen unit, :mod:`compiler.lower.screen`: a word a row, or a block of rows
    DIGITS = 12  # its first planes
    MIDDLE = 13  # first and second planes
    LOW = 14  # all that is left
    INDEX = 15  # of a design whose matrix memories have places without indices


def header(space: Space, target: int = 0, address: int = 0) -> int:
    """The first word of a packet."""
    return int(space) << 28 | target << 16 | address


def space_widths(design: Design) -> dict[Space, int]:
    """Bits of a memory word in each space, with those of parity."""
    parity = int(design.checked)
    values, indices = design.lanes * design.value_bits, design.lanes * design.index_bits
    return {
        Space.MATRIX: values if design.indexed else design.piece_bits + parity,
        Space.BIAS: (design.state.width if design.compact else design.bias_bits) + parity,
        Space.PROGRAM: -(-instruction_bits(design) // design.program_pieces) + parity,
        Space.LINEAR: design.forward_bits + design.row_shift.bit_length() + parity,
        Space.VECTOR: design.lanes * (design.act_bits + parity),
        Space.CELL: design.state.width,
        **(
            {Space.MASTER: LOW_BITS, Space.LEARN: WORD, Space.GRADIENTS: values}
            if design.train
            else {}
        ),
        **({Space.WALK: WORD} if design.walk else {}),
        **_screen(design, screen_widths),
        **({Space.INDEX: indices} if design.indexed else {}),
    }


def space_targets(design: Design) -> dict[Space, int]:
    """Memories in each space."""
    return {
        Space.MATRIX: 0 if design.streamed else design.pes,
        Space.BIAS: design.units,
        Space.PROGRAM: 1,
        Space.LINEAR: design.projectors if design.linear else 0,
        Space.VECTOR: 1,
        Space.CELL: design.units,
        **(
            {Space.MASTER: design.pes, Space.LEARN: 1, Space.GRADIENTS: design.pes}
            if design.train
            else {}
        ),
        **({Space.WALK: 1} if design.walk else {}),
        **(
            {Space[kind.upper()]: len(of) for kind, of in MEMORIES.items()} if design.screen else {}
        ),
        **({Space.INDEX: design.pes * (not design.streamed)} if design.indexed else {}),
    }


def space_depths(design: Design) -> dict[Space, int]:
    """Words of the memories of each space."""
    return {
        Space.MATRIX: design.matrix_depth * design.pieces,
        Space.BIAS: design.cells * (design.sums if design.compact else 1),
        Space.PROGRAM: design.program_depth * design.program_pieces,
        Space.LINEAR: design.linear,
        Space.VECTOR: design.vector_depth,
        Space.CELL: design.state_depth,
        **(
            {
                Space.MASTER: design.train,
                Space.LEARN: LEARN_WORDS,
                Space.GRADIENTS: design.matrix_depth,
            }
            if design.train
            else {}
        ),
        **({Space.WALK: WALK_WORDS} if design.walk else {}),
        **_screen(design, screen_depths),
        **({Space.INDEX: design.indexed} if design.indexed else {}),
    }


def _screen(design: Design, of: Callable[[ScreenDesign], dict[str, int]]) -> dict[Space, int]:
    """The most that memories of a screen unit have, by space."""
    if design.screen is None:
        return {}
    each = of(design.screen)
    return {Space[kind.upper()]: max(each[n] for n in names) for kind, names in MEMORIES.items()}


MAX_LOADED = 1 << 16  # words: address bits of a load packet


def packet(
    design: Design,
    space: Space,
    target: int,
    address: int,
    contents: list[int],
    name: str,
    shift: int = 0,
) -> list[int]:
    """Header, count and data of a load packet, and its check word where the design has them.

    Parameters
    ----------
    design : Design
    space : Space
    target, address : int
        Which memory, and the first word that is written.
    contents : list of int
        Memory words, of ``space_widths`` bits.
    name : str
        Of the memory, for an error.
    shift : int
        Of gradients.

    Raises
    ------
    DesignError
        If the last word lies beyond what a header can address.
    """
    if address + len(contents) > MAX_LOADED:
        more = "lanes of the screen unit" if space >= Space.SCREEN else "PEs"
        raise DesignError(
            f"{name} has {len(contents)} words: the load stream reaches {MAX_LOADED}; take more "
            f"{more}, or start from memory images"
        )
    chunks = _chunks(contents, space_widths(design)[space])
    count = len(contents) | shift << COUNT_BITS
    return sealed(design, [header(space, target, address), count, *chunks])


def sealed(design: Design, words: list[int]) -> list[int]:
    """A packet with its check word, where the design has them."""
    return [*words, check_word(words)] if design.checked else words


def _chunks(words: list[int], width: int) -> Iterator[int]:
    """Each word as 32-bit words, lowest first."""
    for word in words:
        for i in range(-(-width // WORD)):
            yield word >> (WORD * i) & 0xFFFFFFFF
