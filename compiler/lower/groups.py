"""The bytes of groups in memory: what is read as a matrix is used, or to fill memories with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from csb_format.scales import DesignError

from ..array.design import Design
from .image import Image
from .load import Space, space_widths

__all__ = ["MatrixImage", "group_bits", "lay_out", "rows_of"]


def group_bits(design: Design) -> int:
    """Bits that all PEs take in a cycle: one word each."""
    return design.pes * design.word_bits


@dataclass(frozen=True)
class MatrixImage:
    """The bytes of a streamed matrix, and what the reader must be told of them.

    Parameters
    ----------
    data : bytes
        Groups in the order in which they are issued, without a bit between them; in a group
        the word of PE 0 lowest; bit i of the stream is bit ``i % 8`` of byte ``i // 8``.
        Zeros fill the last bus word. It should lie in memory at a multiple of 4 KiB: at any
        other multiple of the bus width only its first burst is shorter.
    groups : int
        Groups of a frame.
    group_bits, data_bits : int
        Width of a group and of the bus.
    """

    data: bytes
    groups: int
    group_bits: int
    data_bits: int

    @property
    def length(self) -> int:
        """Bytes, a multiple of the bus width: the reader's ``length``."""
        return len(self.data)

    @property
    def beats(self) -> int:
        """Bus words of a frame, the floor of its cycles: bytes / (bus bytes a cycle)."""
        return self.length * 8 // self.data_bits

    @property
    def padding(self) -> int:
        """Bits at its end that belong to no group: the reader's ``padding``."""
        return self.length * 8 - self.groups * self.group_bits

    def payload(self, number: int) -> int:
        """Group ``number`` of a frame as the core takes it: above it a bit that marks group 0."""
        return self.group(number) | int(number == 0) << self.group_bits

    def group(self, number: int) -> int:
        """Group ``number`` of a frame."""
        low, high = (n * self.group_bits for n in (number, number + 1))
        part = self.data[low // 8 : -(-high // 8)]
        mask = (1 << self.group_bits) - 1
        return int.from_bytes(part, "little") >> low % 8 & mask


def lay_out(words: Iterable[Sequence[int]], design: Design, data_bits: int) -> MatrixImage:
    """The image of a streamed matrix.

    Parameters
    ----------
    words : iterable of M ints
        For every group that a frame issues, in order, the words of PEs 0..M-1, each of
        ``design.word_bits``.
    design : Design
    data_bits : int
        Width of the bus.

    Raises
    ------
    DesignError
        If there is no group, or one that has not M words of that width.
    """
    return _packed(words, design, design.word_bits, data_bits)


def rows_of(image: Image, data_bits: int) -> MatrixImage:
    """What fills the matrix memories of a design that has them, row by row of all PEs.

    Parameters
    ----------
    image : Image
    data_bits : int
        Width of the bus.

    Returns
    -------
    MatrixImage
        Its groups are words of the same address, one of each PE.
    """
    design = image.design
    memories = [image.memories[f"matrix_{pe:03d}"] for pe in range(design.pes)]
    width = space_widths(design)[Space.MATRIX]
    return _packed(zip(*memories, strict=True), design, width, data_bits)


def _packed(
    words: Iterable[Sequence[int]], design: Design, width: int, data_bits: int
) -> MatrixImage:
    rows = [_checked(n, row, design, width) for n, row in enumerate(words)]
    if not rows:
        raise DesignError("the frame issues no group: a streamed matrix needs at least one")
    size = -(-width // 8)
    raw = b"".join(word.to_bytes(size, "little") for row in rows for word in row)
    table = np.frombuffer(raw, np.uint8).reshape(-1, size)
    bits = np.unpackbits(table, axis=1, count=width, bitorder="little")
    data = np.packbits(bits.ravel(), bitorder="little").tobytes()
    data += bytes(-len(data) % (data_bits // 8))
    return MatrixImage(data, len(rows), design.pes * width, data_bits)


def _checked(number: int, row: Sequence[int], design: Design, width: int) -> list[int]:
    words = [int(word) for word in row]
    if len(words) != design.pes:
        raise DesignError(
            f"group {number} has {len(words)} words: must be one for each PE, {design.pes}"
        )
    for pe, word in enumerate(words):
        if word < 0 or word >> width:
            raise DesignError(
                f"word {word:#x} of PE {pe} in group {number} must have "
                f"{width} bits: is the image of another design?"
            )
    return words
