"""Registers of an accelerator that reads memory, and the entries of its lists."""

from __future__ import annotations

import enum

from .register_types import Access, BitField, Register

__all__ = ["DMA", "DMA_REGISTERS", "ENTRY", "ENTRY_BYTES", "TAIL", "Kind"]

DMA = "dma"  # the feature
ENTRY_BYTES = 64  # of an entry of a list: whole beats of the widest bus
TAIL = 8  # words that come after all rows at least: the packet of the walk, and the start


class Kind(enum.IntEnum):
    """What a transfer does with what it reads."""

    WORDS = 0
    ROWS = 1
    MATRIX = 2
    LIST = 3


def _register(
    name: str, text: str, address: int, *fields: BitField, access: Access = Access.BOTH
) -> Register:
    writes = access is Access.WRITE
    return Register(name, text, fields, address, access, writes, writes, DMA)


DMA_REGISTERS = (
    _register(
        "dma_start",
        "Starts a transfer as the registers up to `dma_row` say. The first word of an entry "
        "of a list.",
        0x080,
        BitField(
            "kind",
            0,
            2,
            "0: packets of `load`; 1: rows of the matrix memories; 2: the matrix of a streamed "
            "design, again and again; 3: a list of transfers.",
        ),
        BitField("last", 8, 1, "Of an entry: the list ends with it. Not looked at here."),
        access=Access.WRITE,
    ),
    _register("dma_base", "First byte.", 0x084, BitField("low", 0, 32, "Bits 31..0.")),
    _register("dma_base_high", "First byte.", 0x088, BitField("high", 0, 32, "Bits 63..32.")),
    _register(
        "dma_length",
        "How much is read; of a list not looked at.",
        0x08C,
        BitField("bytes", 0, 32, "A multiple of the bus width, as the first byte is."),
    ),
    _register(
        "dma_padding",
        "What is left of the last beat.",
        0x090,
        BitField("bits", 0, 10, "Bits at its top that are thrown away; less than the bus width."),
    ),
    _register(
        "dma_row",
        "Where rows go.",
        0x094,
        BitField("row", 0, 24, "First word of the matrix memories that is written."),
    ),
    _register(
        "dma_words",
        "Packets of `load` among rows, as `compiler.abi.dma.weave` has them; of other kinds 0.",
        0x0A4,
        BitField("count", 0, 24, "Words of 32 bits; 0: rows alone."),
    ),
    Register(
        "dma_stop",
        "Gives up the transfer that is under way.",
        (BitField("stop", 0, 1, "Acts when 1 is written."),),
        0x098,
        Access.WRITE,
        whole=True,
        feature=DMA,
    ),
    Register(
        "dma_status",
        "What the transfer does, and why the last one failed.",
        (
            BitField("loading", 0, 1, "Memories are being filled; packets on `s_axis` wait."),
            BitField("streaming", 1, 1, "The matrix is being read, for every frame again."),
            BitField("slave", 8, 1, "The memory answered with SLVERR."),
            BitField("decode", 9, 1, "It answered with DECERR: there is no memory."),
            BitField("protocol", 10, 1, "A beat came that nobody asked for, or `rlast` elsewhere."),
            BitField(
                "setup",
                11,
                1,
                "Nothing to read, not whole beats, or beyond the last address.",
            ),
            BitField("entry", 12, 1, "A kind the design has not; rows, base or padding beyond it."),
        ),
        0x09C,
        feature=DMA,
    ),
    Register(
        "dma_bus",
        "The bus to memory.",
        (
            BitField("data_bits", 0, 16, "Bits of a beat."),
            BitField("address_bits", 16, 8, "Bits of an address."),
        ),
        0x0A0,
        feature=DMA,
    ),
)
ENTRY = DMA_REGISTERS[: [register.name for register in DMA_REGISTERS].index("dma_stop")]
"""An entry of a list: words with the fields of these registers, in their order; then zeros."""
