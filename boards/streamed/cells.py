"""Cells of what brings a matrix from memory: the reader, its buffer, and the gearbox."""

from __future__ import annotations

from dataclasses import replace

from compiler.array.design import Design
from compiler.lower.groups import group_bits
from hdl.dram.gearbox import ROWS, Ratio
from hdl.dram.reader import ReadBus

from ..board import Board
from ..cells.structure import estimate
from ..cells.usage import Usage
from ..memories import Memory

__all__ = ["estimate_streamed", "port"]

# Look-up tables of six inputs of any port, of each bit of its bus, of each bit that a stage of the
# rotation turns, and of each column of a ring that words are turned into; registers of any port, of
# each bit. Fitted to what Yosys 0.70 counts for xcup (tests/boards/test_streamed.py).
READER, BIT, TURN, COLUMN = 71, 3.42, 0.76, 28.6
REGISTERS = (408, 4.89)


def estimate_streamed(design: Design, board: Board, bus: ReadBus) -> Usage:
    """Cells of an accelerator with a port to memory, its link or registers included.

    Parameters
    ----------
    design : Design
        Streamed.
    board : Board
    bus : ReadBus
    """
    core, beside = estimate(design, board), port(design, board, bus)
    return replace(
        core,
        block_rams=core.block_rams + beside.block_rams,
        luts=core.luts + beside.luts,
        distributed=core.distributed + beside.distributed,
        registers=(core.registers or 0) + (beside.registers or 0),
    )


def port(design: Design, board: Board, bus: ReadBus) -> Usage:
    """Cells of the reader, its buffer and the gearbox, on devices of memories in look-up tables.

    Parameters
    ----------
    design : Design
        Streamed: its groups are what the ring is wide.
    board : Board
    bus : ReadBus
    """
    ratio = Ratio(group_bits(design), bus.data_bits)
    stages = ratio.word.bit_length() - 1
    kind = board.family.costs.lut_ram
    ring = kind.count(ratio.piece, ROWS) * ratio.row if kind else 0
    ring += kind.count(1, ROWS) * ratio.groups_a_row if kind else 0  # marks of first groups
    luts = READER + (BIT + TURN * stages) * bus.data_bits
    luts += COLUMN * ratio.row * (ratio.word > 1)
    fixed, each = REGISTERS
    registers = round(fixed + each * bus.data_bits)
    blocks = Memory(bus.data_bits + 1, bus.fifo_beats).blocks(board.has)
    return Usage(0, blocks, round(luts) + ring, 0, ring, registers)
