"""Models in memory: the bytes that an accelerator with a port to it loads by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from csb_format.scales import DesignError

from ..lower.groups import lay_out, rows_of
from ..lower.image import Image
from ..lower.load import WORD
from .dma_registers import ENTRY, ENTRY_BYTES, TAIL, Kind

__all__ = ["PAGE", "Entry", "Placed", "place", "weave"]

PAGE = 4096  # bytes: no burst is cut short where data begin at a multiple of it
ADDRESS_BITS = 64  # of an entry of a list


@dataclass(frozen=True)
class Entry:
    """A transfer, as an entry of a list or as registers.

    Parameters
    ----------
    kind : Kind
    base, length : int
        First byte and bytes, multiples of the bus width.
    padding : int
        Bits at the top of the last beat that are thrown away.
    row : int
        Of the matrix memories, the first that is written.
    woven : int
        Words of load packets among rows, see :func:`weave`.
    last : bool
        Whether the list ends with it.
    """

    kind: Kind
    base: int
    length: int = 0
    padding: int = 0
    row: int = 0
    woven: int = 0
    last: bool = False

    def words(self) -> dict[str, int]:
        """Name of each register of the transfer and the word that it gets, that of the start first.

        Raises
        ------
        RegisterError
            If a number does not fit.
        """
        fields = {
            "dma_start": {"kind": int(self.kind), "last": int(self.last)},
            "dma_base": {"low": self.base & 0xFFFFFFFF},
            "dma_base_high": {"high": self.base >> 32},
            "dma_length": {"bytes": self.length},
            "dma_padding": {"bits": self.padding},
            "dma_row": {"row": self.row},
            "dma_words": {"count": self.woven},
        }
        return {register.name: register.encode(**fields[register.name]) for register in ENTRY}

    def encode(self) -> bytes:
        """The bytes of an entry of a list, ``ENTRY_BYTES``."""
        data = np.array(list(self.words().values()), "<u4").tobytes()
        return data + bytes(ENTRY_BYTES - len(data))


@dataclass(frozen=True)
class Placed:
    """Models in memory.

    Parameters
    ----------
    base : int
        Address of the first byte.
    data : bytes
    lists : tuple of tuple of int
        Of each model and each of its programs the address of the list that starts it. The first
        program's list loads the model too.
    planes : tuple of int
        Of each model the address of its planes, for the registers ``planes_base``; none of a design
        that has them on the chip.
    """

    base: int
    data: bytes
    lists: tuple[tuple[int, ...], ...]
    planes: tuple[int, ...] = ()


def weave(rows: bytes, words: Sequence[int], data_bits: int) -> bytes:
    """Beats of rows with beats of load packets among them, so that neither waits for the other.

    A word of packets is loaded in each cycle, a beat has several: so the first beat of every
    ``data_bits / 32`` is one of words. The last ones, ``TAIL`` words or a beat
    at most, come after all rows; so a program is started when all is there.

    Parameters
    ----------
    rows : bytes
        Whole beats.
    words : sequence of int
        Of 32 bits, none for the matrix memories.
    data_bits : int
        Width of the bus.
    """
    size, each = data_bits // 8, data_bits // WORD
    data = np.array(words, "<u4").tobytes()
    data += bytes(-len(data) % size)
    early = max(0, -(-(len(words) - max(TAIL, each)) // each))  # beats of words among rows
    between = (each - 1) * size
    woven = (
        data[n * size : (n + 1) * size] + rows[n * between : (n + 1) * between]
        for n in range(early)
    )
    return b"".join([*woven, rows[early * between :], data[early * size :]])


def place(
    images: Sequence[Image], base: int, data_bits: int, address_bits: int = ADDRESS_BITS
) -> Placed:
    """Lay out models one behind the other.

    Parameters
    ----------
    images : sequence of Image
        All of one design.
    base : int
        Where they will lie, a multiple of ``PAGE``.
    data_bits, address_bits : int
        Widths of the bus to memory.

    Raises
    ------
    DesignError
        If the images are of different designs, or do not lie within the bus' addresses.
    """
    if base % PAGE or not 0 <= base < 1 << address_bits:
        raise DesignError(f"base = {base:#x}: must be a multiple of {PAGE} below 2**{address_bits}")
    if any(image.design != images[0].design for image in images):
        raise DesignError("the images are of different designs: one accelerator runs one design")
    memory = _Memory(base, data_bits)
    lists = tuple(
        tuple(memory.program(image, n) for n in range(len(image.parts))) for image in images
    )
    planes = tuple(memory.put(image.planes) for image in images if image.planes)
    if base + len(memory.data) > 1 << address_bits:
        raise DesignError(
            f"base = {base:#x}: {len(memory.data):,} bytes from there end behind the "
            f"{address_bits} bits of an address; take a lower one"
        )
    return Placed(base, bytes(memory.data), lists, planes)


class _Memory:
    """Bytes from an address on, page by page."""

    def __init__(self, base: int, data_bits: int):
        self.base, self.data_bits, self.data = base, data_bits, bytearray()

    def program(self, image: Image, part: int) -> int:
        """Put what loads a program there, and its list; address of the list."""
        entries = list(self._entries(image, part))
        return self.put(
            b"".join(
                replace(entry, last=n == len(entries) - 1).encode()
                for n, entry in enumerate(entries)
            )
        )

    def _entries(self, image: Image, part: int) -> Iterator[Entry]:
        streamed = image.design.streamed
        words = image.load_words(part, matrix=False) if part == 0 else image.start_words(part)
        if not streamed and part == 0:
            rows = rows_of(image, self.data_bits)
            woven = weave(rows.data, words, self.data_bits)
            yield Entry(Kind.ROWS, self.put(woven), len(woven), rows.padding, woven=len(words))
            return
        yield self._words(words)
        if streamed:
            matrix = lay_out(image.part_words(part), image.design, self.data_bits)
            yield Entry(Kind.MATRIX, self.put(matrix.data), matrix.length, matrix.padding)

    def _words(self, words: Sequence[int]) -> Entry:
        data = np.array(words, "<u4").tobytes()
        padding = -len(data) % (self.data_bits // 8)
        at = self.put(data + bytes(padding))
        return Entry(Kind.WORDS, at, len(data) + padding, padding * 8)

    def put(self, data: bytes) -> int:
        """Address of the bytes, at the start of a page."""
        self.data += bytes(-len(self.data) % PAGE)
        at = self.base + len(self.data)
        self.data += data
        return at
