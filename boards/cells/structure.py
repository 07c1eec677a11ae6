"""Cells counted from the structure of a design: a form for every part of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from math import ceil
from typing import NamedTuple

from compiler.array.design import Design
from compiler.lower.load import Space, space_widths
from csb_format.cells import LSTM, cell_named

from ..board import Board, Part
from ..families.family import Costs, LutRam
from ..memories import Memory, large_rams, memories, working_pes
from .usage import Usage

__all__ = ["LINK_BLOCKS", "NARROW", "Count", "Product", "counted", "estimate", "products"]

NARROW = 9  # bits of the operands of half a multiplier
# LUT4 sites per bit, fitted to counts of synthesis for ECP5 (tests/boards/test_resources.py)
TREE, ACCUMULATE, READ = 2.2, 5.2, 1.0
LANE, SUMS, CONTROL, LINK = 80, 8, 1200, 3000
REACHES = 2.5  # of a table that takes arguments of several reaches (reaches.json)
SUMS_CHOSEN, SUMS_KEPT = 0.5, 0.75  # of more a choice takes more for each (gates.json)
# of a screen unit, of each of its digit lanes and of each lane that multiplies; multipliers of
# bounds, each in two halves
SCREEN_UNIT, SCREEN_BOUNDS = (4700, 25, 55), 8
COMPACT_PE, COMPACT_LANE, COMPACT_SUMS, COMPACT_CONTROL = 1.27, 45, 20, 0
# Flip-flops but those of memories: of any design with a link, and per bit of an instruction, of a
# lane's activations, of the operands of a multiplier, of a PE's sum. Fitted to what nextpnr counts.
DEEP_REGISTERS = (0, 33.4, 46.0, 5.53, 6.27)
REGISTERS = (2932, 5.8, 81.0, 4.21, 0.0)
COMPACT_REGISTERS = (1212, 28.8, 0.0, 1.26, 0.0)
GUARD = 2  # per bit of a vector bank in blocks: Yosys lets it be read where it is written
DEEP = 1.06  # copies of what many cells read
LINK_BLOCKS = 2
APART = ("link", "control", "guards", "small memories", "choices of memories", "soft products",
         "screen")  # fmt: skip
REGISTERED = ("any design", "program", "lanes", "operands", "sums")


class Count(NamedTuple):
    """Cells of a design, and what takes them.

    Parameters
    ----------
    usage : Usage
    sites : dict of str to float
        LUT4 sites, before copies and what a family's sites are worth.
    registers : dict of str to float
        Flip-flops, the link's with them.
    """

    usage: Usage
    sites: dict[str, float]
    registers: dict[str, float]


def estimate(design: Design, board: Board, *, link: bool = True) -> Usage:
    """Cells that a design takes on a board, with or without its link."""
    return counted(design, board, link=link).usage


def counted(design: Design, board: Board, *, link: bool = True) -> Count:
    """The same with the parts of all sums."""
    part = board.has
    large = large_rams(design) if part.large_rams else 0
    # vector banks first; matrices where they are not in memories of a single port
    every = memories(design, matrices=not large)
    blocks = LINK_BLOCKS * ceil(32 / part.ram_shapes[0][1]) * link
    blocks += sum(memory.blocks(part) * memory.number for memory in every)
    logic = [memory for memory in every if not memory.blocks(part)]
    tables, choosing, logic = _tables(logic, board.family.costs.lut_ram)
    distributed = sum(memory.number * memory.distributed for memory in logic)
    multipliers, instead = _multipliers(design, board)
    parts = {
        "link": LINK * link,
        "soft products": instead,
        "small memories": distributed * board.family.costs.distributed,
        "choices of memories": sum(m.number * round(READ * m.chosen) for m in logic),
        **_sites(design, part, every[0]),
    }
    registers = _registers(design, part, every)
    usage = Usage(
        multipliers,
        blocks,
        round(_whole(parts) * (DEEP if design.deep else 1) * board.family.costs.sites)
        + tables
        + choosing,
        large,
        distributed + tables,
        round(sum(registers.values())) if link else None,
    )
    return Count(usage, parts, registers)


def _tables(every: list[Memory], kind: LutRam | None) -> tuple[int, int, list[Memory]]:
    """Look-up tables that are memories, those that choose among them, and all other memories."""
    if kind is None:
        return 0, 0, every
    made = [memory for memory in every if memory.logic]
    tables = sum(m.number * kind.count(m.width, m.depth) for m in made)
    choosing = sum(m.number * kind.choice(m.width, m.depth) for m in made)
    return tables, choosing, [memory for memory in every if not memory.logic]


def _whole(parts: dict[str, float]) -> float:
    """Their sum; that of the array is rounded by itself."""
    array = round(sum(n for name, n in parts.items() if name not in APART))
    return array + sum(parts.get(name, 0) for name in APART)


def _sites(design: Design, part: Part, banks: Memory) -> dict[str, float]:
    """Of everything but memories and products that are logic."""
    guarded = banks.guarded and banks.blocks(part) and not design.compact
    return {
        "control": COMPACT_CONTROL if design.compact else CONTROL,
        "guards": GUARD * banks.width * banks.number if guarded else 0,
        "screen": _screen(design),
        **_array(design),
    }


def _registers(design: Design, part: Part, every: Iterable[Memory]) -> dict[str, float]:
    """Flip-flops by what takes them: what is left once blocks have taken theirs."""
    costs = DEEP_REGISTERS if design.deep else COMPACT_REGISTERS if design.compact else REGISTERS
    pes = working_pes(design)
    operands = pes * design.lanes * (design.value_bits + design.act_bits)
    program, sums = space_widths(design)[Space.PROGRAM], pes * design.acc_bits
    bits = (1, program, design.units * design.act_bits, operands, sums)
    parts = {name: cost * n for name, cost, n in zip(REGISTERED, costs, bits, strict=True)}
    if design.collects:  # sums of each gate, kept and shown, in the place of one
        parts["sums"] += sums * (2 * design.abreast - 1)
    parts["guards"] = sum(memory.number * memory.guards(part) for memory in every)
    # others than deep ones take none in at all
    parts["late words"] = sum(m.number * m.late(part) for m in every) if design.deep else 0
    return parts


class Product(NamedTuple):
    """Products of one kind: bits of both operands, how many, whether they are the lanes'."""

    a: int
    b: int
    number: int
    lane: bool = True

    def hard(self, costs: Costs) -> bool:
        """Whether Yosys takes a multiplier; few bits are logic, whatever there is."""
        least, product = costs.least
        return min(self.a, self.b) >= least and self.a + self.b >= product


def products(design: Design) -> list[Product]:
    """Of the array, and of the element-wise lanes."""
    multipliers = working_pes(design) * design.lanes
    rise, offset = _interpolation(design.cell, design.act_bits, design.reaches)
    cell = cell_named(design.cell)
    tables = 1 if design.compact else cell.tables
    found = [
        Product(design.value_bits, design.act_bits, multipliers, lane=False),
        Product(rise, offset, tables * design.units),
    ]
    if screen := design.screen:
        lowest = max(8, screen.low_bits)
        found.append(Product(lowest, screen.act_bits, screen.lanes, lane=False))
        found.append(Product(screen.act_bits, screen.act_bits, 3 * screen.elements, lane=False))
        found.append(Product(8, 18, SCREEN_BOUNDS, lane=False))
    if not design.compact:  # whose other products are made of adders
        narrow, wide = (n * design.units for n in (cell.narrow_products, cell.wide_products))
        found.append(Product(design.act_bits, design.act_bits, narrow))
        found.append(Product(design.act_bits, design.state.width, wide))
    return found


@cache
def _interpolation(cell: str, act_bits: int, reaches: tuple[int, ...]) -> tuple[int, int]:
    """Bits of the operands of a table's product: the finest argument's, of the fewest segments."""
    lines = [cell_named(cell)(act_bits, reach).piecewise for reach in reaches]
    rise = max(int(line.table[1].max()) for line in lines)
    fewest = min(line.index_bits for line in lines)
    return rise.bit_length(), lines[0].magnitude_bits - fewest


def _multipliers(design: Design, board: Board) -> tuple[int, int]:
    """DSP blocks, and LUT4 sites of products that there are none for."""
    part, costs, every = board.has, board.family.costs, products(design)
    hard = [p for p in every if p.hard(costs)]
    spare = part.multipliers - sum(p.number for p in hard if not p.lane)
    if costs.soft_lanes and sum(p.number for p in hard if p.lane) > spare >= 0:
        hard = [p for p in hard if not p.lane]  # the lanes' multipliers become adders
    halves = sum(p.number for p in hard if part.halves and max(p.a, p.b) <= NARROW)
    whole = sum(p.number for p in hard) - halves
    return whole + ceil(halves / 2), sum(p.a * p.b * p.number for p in every if p not in hard)


def _screen(design: Design) -> int:
    """Of a screen unit: what any has, its digit lanes, and its lanes that multiply."""
    if (screen := design.screen) is None:
        return 0
    fixed, digit, lane = SCREEN_UNIT
    return fixed + digit * screen.digits + lane * screen.lanes


def _array(design: Design) -> dict[str, float]:
    """Of the array and what takes its results."""
    product = design.value_bits + design.act_bits
    pes = working_pes(design)
    tree = pes * (design.lanes - 1) * TREE * product
    accumulate = pes * ACCUMULATE * design.acc_bits
    if design.compact:  # registers alone in a cell count as well
        small = COMPACT_LANE * design.act_bits + COMPACT_SUMS * design.acc_bits
        parts = {"trees": tree * COMPACT_PE, "accumulators": accumulate * COMPACT_PE}
        return parts | {"lanes": design.units * small}
    if design.arithmetic.apart:
        accumulate += pes * design.acc_bits  # the register beside the result
    return {
        "trees": tree,
        "accumulators": accumulate,
        **_lanes(design),
        "projectors": design.projectors * 6 * design.forward_bits,
    }


def _lanes(design: Design) -> dict[str, float]:
    """Of element-wise lanes: fitted to an LSTM's, and taken for a share of it that others have."""
    cell, lstm = cell_named(design.cell), cell_named(LSTM)
    sums = design.abreast * (2 if design.arithmetic.apart else 1) * design.forward_bits
    lane = LANE * design.act_bits * cell.tables / lstm.tables
    lane += REACHES * design.act_bits * cell.tables * bool(design.wider)
    choice = SUMS_KEPT if design.collects else SUMS_CHOSEN
    chosen = choice * sums * (design.units_per_round - 1)
    return {"lanes": design.units * lane, "sums": design.units * (SUMS * sums + chosen)}
