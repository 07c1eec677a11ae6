"""Memories of a design: which become block RAM and which logic, as Yosys reckons."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from math import ceil
from typing import NamedTuple

from compiler.abi.wire import output_fields
from compiler.array.design import Design, bits_for
from compiler.array.screen.design import ScreenDesign
from compiler.array.widths import size_of
from compiler.lower.load import Space, space_depths, space_widths
from compiler.lower.screen import kept_here, screen_depths, screen_widths
from csb_format.cells import cell_named

from .board import Part

__all__ = ["Memory", "large_rams", "memories", "working_pes"]

# What Yosys 0.70 (memory_libmap) reckons with on ECP5 and Gowin: a block, a bit of 16 words in
# logic, a bit of every further 16 words to choose from, their enables, and each thing that is made
# beside a memory. Beside logic that is the register that the word comes from; beside blocks one
# thing, and seven where a word may be read in the cycle that writes it.
BLOCK_COST, BIT_COST, CHOICE_COST, ENABLE_COST, BESIDE_COST = 128, 1.0, 0.5, 0.5, 2.0
BESIDE, BESIDE_GUARDED = 1, 7
LARGE_WORDS, LARGE_BITS = 16384, 16  # of a memory with one port


class Memory(NamedTuple):
    """Memories of one kind.

    Parameters
    ----------
    width, depth : int
        Bits of a word, and words.
    number : int
    guarded : bool
        A word may be read in the cycle that writes it.
    logic : bool
        It is read within a cycle, as blocks are not.
    hard : bool
        It is to be made of blocks, whatever its size.
    """

    width: int
    depth: int
    number: int = 1
    guarded: bool = False
    logic: bool = False
    hard: bool = False

    def blocks(self, part: Part) -> int:
        """Block RAMs of one; 0 if Yosys makes it of logic."""
        return _blocks(self, part)

    def _counted(self, part: Part) -> int:
        blocks = min(self._shaped(*shape) for shape in part.ram_shapes)
        if part.distributed == 0 or self.hard:
            return blocks
        if self.logic:
            return 0
        beside = BESIDE_GUARDED if self.guarded else BESIDE
        paid = BLOCK_COST * blocks + BESIDE_COST * beside
        return blocks if paid < int(self._logic_cost(part.ram_step)) else 0  # whole numbers

    def _logic_cost(self, step: int) -> float:
        """Of logic, whose width grows by ``step`` bits."""
        paid = ceil(self.width / step) * step * self._rows
        enables = self._rows if self._rows > 1 else 0
        chosen = self.width * (self._rows - 1)
        return BIT_COST * paid + CHOICE_COST * chosen + ENABLE_COST * enables + BESIDE_COST

    @property
    def _rows(self) -> int:
        return ceil(self.depth / 16)

    def guards(self, part: Part) -> int:
        """Registers beside the blocks of one whose words may be read in the cycle that writes them.

        The write waits a cycle, address and enable with it; its word is kept for the reader.
        """
        if not self.guarded or not self.blocks(part):
            return 0
        return 2 * self.width + bits_for(self.depth) + 2

    def late(self, part: Part) -> int:
        """Registers of words that blocks do not take in: chosen from several, or made of logic."""
        if not self.blocks(part):
            return self.width
        if self.guarded:
            return 0
        least = self.blocks(part)
        words = max(words for words, bits in part.ram_shapes if self._shaped(words, bits) == least)
        return self.width if self.depth > words else 0

    def _shaped(self, words: int, bits: int) -> int:
        """Blocks of one shape that one takes."""
        return ceil(self.width / bits) * ceil(self.depth / words)

    @property
    def distributed(self) -> int:
        """Memories of 16 words of 4 bits in the place of one."""
        return ceil(self.width / 4) * self._rows

    @property
    def chosen(self) -> int:
        """Bits that are chosen from those."""
        return self.width * (self._rows - 1)


@lru_cache(maxsize=1 << 16)
def _blocks(memory: Memory, part: Part) -> int:
    """Those of a memory: spaces of designs ask for the same ones again and again."""
    return memory._counted(part)


def working_pes(design: Design) -> int:
    """PEs that have rows, of units or of projections: nothing is left of the others."""
    units = design.abreast * design.units * design.units_per_slot
    return max(units, design.projectors * design.results_per_slot)


def large_rams(design: Design) -> int:
    """Memories of a single port: the matrices of a compact design, whatever their size."""
    if not design.compact:
        return 0
    depth = space_depths(design)[Space.MATRIX]
    return design.pes * ceil(design.piece_bits / LARGE_BITS) * ceil(depth / LARGE_WORDS)


def memories(design: Design, *, matrices: bool) -> list[Memory]:
    """Vector banks first, then all others, or all but matrices."""
    pes = working_pes(design)
    banks = pes * design.lanes * design.write_ports
    return [
        _bank(design, banks),
        Memory(design.forward_bits, design.slots << design.stream_bits, pes, not design.train),
        Memory(design.state.width, design.state_depth, design.units, True),
        *_between_turns(design),
        Memory(size_of(output_fields(design)), design.output_depth, 1, True),
        *_loaded(design, matrices),
    ]


def _bank(design: Design, number: int) -> Memory:
    """Of vectors, so many alike."""
    kinds = {"logic": design.parts, "hard": design.block_banks}
    return Memory(design.act_bits, design.bank_depth, number, not design.unguarded, **kinds)


def _between_turns(design: Design) -> Iterator[Memory]:
    """Gates that a lane keeps until the last row of a unit comes, in this pass or a later one."""
    cell = design.arithmetic
    if waiting := sum(not cell.gives(kind) for kind in range(design.passes)):
        yield Memory(design.act_bits, design.cells, waiting * design.units, True)
    if design.takes_rows:
        depth = max(2, design.units_per_slot)
        yield Memory(design.act_bits, depth, (design.turns - 1) * design.units, True)


def _loaded(design: Design, matrices: bool) -> Iterator[Memory]:
    """Those that nothing writes while an array runs, and tables."""
    widths, depths = space_widths(design), space_depths(design)
    tables = 1 if design.compact else cell_named(design.cell).tables
    yield Memory(widths[Space.BIAS], depths[Space.BIAS], design.units)
    yield Memory(*_table(design.cell, design.act_bits, design.reaches), tables * design.units)
    yield Memory(widths[Space.PROGRAM], depths[Space.PROGRAM])
    if matrices and not design.streamed:
        words, pes = (widths[Space.MATRIX], depths[Space.MATRIX]), working_pes(design)
        spread = max(0, design.spread - (design.pes - pes))  # the last PEs, with rows or without
        yield Memory(*words, pes - spread)
        if spread:
            yield Memory(*words, spread, logic=True)
    if matrices and design.indexed:
        yield Memory(widths[Space.INDEX], depths[Space.INDEX], working_pes(design))
    if design.linear:
        yield Memory(widths[Space.LINEAR], design.linear, design.projectors)
    if design.screen:
        yield from _screen(design.screen)


@cache
def _table(cell: str, act_bits: int, reaches: tuple[int, ...]) -> tuple[int, int]:
    """Bits of a word of a lane's table, those of base and rise that are not always 0; its words."""
    lines = [cell_named(cell)(act_bits, reach).piecewise for reach in reaches]
    width = sum(max(int(line.table[n].max()) for line in lines).bit_length() for n in (0, 1))
    return width, sum(1 << bits for bits in {line.index_bits for line in lines})


def _screen(screen: ScreenDesign) -> Iterator[Memory]:
    """Those of a screen unit: of the head, and of the elements that its multipliers take."""
    widths, depths = screen_widths(screen), screen_depths(screen)
    kept = {name for names in kept_here(screen).values() for name in names}
    yield from (Memory(bits, depths[name]) for name, bits in widths.items() if name in kept)
    yield Memory(screen.act_bits, 2 << bits_for(screen.words), screen.lanes)
