"""What a walk over the memories that a program only reads finds there, and how long it takes.

Parity sees a changed bit of a word as it is used. It does not see two in one word, nor any in a
word that no step uses. Of a design with ``walk`` all words of the program, bias and matrix
memories are read in cycles in which nobody else reads that memory, 32 bits a cycle, again and
again, and the CRC-32 of them is held against that of the model: the polynomial of ISO 3309 and
IEEE 802.3, as zlib computes it. Two changed bits show however far they are apart, as its period is
2**32 - 1 bits, and so does any change within 32 bits in a row (Peterson and Brown, Cyclic codes for
error detection, Proceedings of the IRE, 1961); of all others one in 2**32 does not.

A walk is told the last row of the matrix memories and the CRC, in a memory of its own that is
loaded as all others are; the CRC is over that row, as a word of 32 bits, and all that is walked.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence

from ..array.design import Design
from ..array.latency import RAM, WALK_DATA, issue_delay
from .load import WORD, Space, space_depths, space_targets, space_widths

__all__ = ["WALKED", "memory_name", "walk_chunks", "walk_cycles", "walk_words"]

WALKED = (Space.PROGRAM, Space.BIAS, Space.LINEAR, Space.MATRIX)
"""In the order of a walk: those whose words come soonest first."""


def memory_name(space: Space, target: int) -> str:
    """The name that a memory has in an image."""
    return "program" if space is Space.PROGRAM else f"{space.name.lower()}_{target:03d}"


def walk_chunks(design: Design, space: Space) -> int:
    """Steps of a walk at one address of the memories of a space: parts of 32 bits."""
    return space_targets(design)[space] * -(-space_widths(design)[space] // WORD)


def walk_words(memories: Mapping[str, Sequence[int]], design: Design) -> list[int]:
    """What the walk is told of an image: the last row of the matrix memories, the CRC.

    Parameters
    ----------
    memories : Mapping
        Memory name to its words, with their parity.
    design : Design
    """
    last = len(memories[memory_name(Space.MATRIX, 0)]) - 1
    check = zlib.crc32(last.to_bytes(WORD // 8, "little"))
    for part in _walked(memories, design):
        check = zlib.crc32(part, check)
    return [last, check]


def _walked(memories: Mapping[str, Sequence[int]], design: Design) -> Iterator[bytes]:
    """The bytes of each space: of each address the words of all targets, in whole 32 bits."""
    for space in WALKED:
        size = -(-space_widths(design)[space] // WORD) * WORD // 8
        names = [memory_name(space, n) for n in range(space_targets(design)[space])]
        rows = zip(*(memories[name] for name in names), strict=True)
        yield b"".join(int(word).to_bytes(size, "little") for row in rows for word in row)


def walk_cycles(design: Design, rows: int) -> int:
    """Cycles of a whole walk, and so from one to the next, where nobody else reads the memories.

    Parameters
    ----------
    design : Design
    rows : int
        Words of a matrix memory that the image fills.
    """
    depths = space_depths(design) | {Space.MATRIX: rows}
    steps = sum(depths[space] * walk_chunks(design, space) for space in WALKED)
    return RAM + steps + issue_delay(design) + WALK_DATA
