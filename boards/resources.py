"""Which arrays fit a board, before any synthesis: what each takes, what limits, how fast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from typing import Any, NamedTuple

from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.load import Space, space_depths, space_widths
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from csb_format.cells import LSTM, cell_named
from csb_format.model import Model
from csb_format.scales import DesignError
from csb_format.shape import ModelShape

from .board import Board, BoardError, Part, reachable
from .families.family import Costs
from .memories import Memory, large_rams, memories

__all__ = [
    "LINK_BLOCKS",
    "RESOURCES",
    "SCREEN_MEND",
    "Choice",
    "Product",
    "Resource",
    "Usage",
    "cheaper",
    "choice",
    "choices",
    "clock_of",
    "estimate",
    "fastest",
    "products",
]

PES = (4, 8, 16, 32, 64, 128)
SCREEN_MEND = ", or leave the screened head to the host (largest = 0, --largest 0)"
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


@dataclass(frozen=True)
class Resource:
    """A kind of cells that designs take and devices have.

    Parameters
    ----------
    name, short : str
        For people; for the head of a column.
    field : str
        Of :class:`Usage`.
    count : str
        What rows of results call it.
    capacity : str
        Field of :class:`~boards.families.family.Part`.
    """

    name: str
    short: str
    field: str
    count: str
    capacity: str

    def of(self, part: Part) -> int:
        """How many a device has; 0 where it has none, or more than any design takes."""
        if self.capacity == "registers" and part.registers is None:
            return part.luts
        return getattr(part, self.capacity) or 0


RESOURCES = (
    Resource("multipliers", "DSP", "multipliers", "dsp", "multipliers"),
    Resource("block RAM", "RAM", "block_rams", "ram", "block_rams"),
    Resource("LUT", "LUT", "luts", "lut", "luts"),
    Resource("registers", "FF", "registers", "ff", "registers"),
    Resource("large RAM", "SPRAM", "large_rams", "spram", "large_rams"),
    Resource("distributed RAM", "LUTRAM", "distributed", "distributed", "distributed"),
)
"""All kinds: estimates, capacities, reports and tables are lined up by these."""


@dataclass(frozen=True)
class Usage:
    """Cells of a design.

    Parameters
    ----------
    multipliers, block_rams, luts : int
    large_rams : int
        Memories of a single port, where the device has them.
    distributed : int
        Memories of 64 bits made of logic: 16 words of 4, or what a look-up table holds.
    registers : int, optional
        Flip-flops; None: not counted.
    """

    multipliers: int
    block_rams: int
    luts: int
    large_rams: int = 0
    distributed: int = 0
    registers: int | None = None

    def limits(self, part: Part) -> dict[str, float]:
        """Share of the device that each takes; it fits where none is above 1."""
        counts = self.counts(part)
        shares = {r.name: counts[r.count] / r.of(part) for r in RESOURCES if r.count in counts}
        if self.large_rams <= part.large_rams:  # every PE has one: all taken is no limit
            shares.pop("large RAM", None)
        return shares

    def counts(self, part: Part) -> dict[str, int]:
        """Cells by the names of results, of every kind that the device has."""
        given = {r.count: getattr(self, r.field) for r in RESOURCES if r.of(part)}
        return {name: count for name, count in given.items() if count is not None}

    def limit(self, part: Part) -> tuple[str, float]:
        """What the device has least of, and the share taken."""
        shares = self.limits(part)
        name = max(shares, key=lambda n: shares[n])
        return name, shares[name]


@dataclass(frozen=True)
class Choice:
    """An array on a board.

    Parameters
    ----------
    design : Design
    usage : Usage
    cycles : int
        From step to step, steady state.
    megahertz : float
        Clock: the board's, or what its device is predicted to reach if that is less.
    fits : bool
    limit : str
        What it has least of, with the share taken.
    """

    design: Design
    usage: Usage
    cycles: float
    megahertz: float
    fits: bool
    limit: str

    @property
    def largest(self) -> int:
        """Logits that its screen unit finds, 0 without one; makes designs like it."""
        return self.design.screen.top if self.design.screen else 0

    @property
    def microseconds(self) -> float:
        """Of a step."""
        return self.cycles / self.megahertz


def estimate(design: Design, board: Board, *, link: bool = True) -> Usage:
    """Cells that a design takes on a board, with or without its link."""
    part = board.has
    luts, blocks = LINK * link, LINK_BLOCKS * ceil(32 / part.ram_shapes[0][1]) * link
    large, distributed = large_rams(design) if part.large_rams else 0, 0
    banks, *others = memories(design, matrices=not large)
    if banks.blocks(part) and banks.guarded and not design.compact:
        luts += GUARD * banks.width * banks.number
    made, tables, lut_ram = 0, 0, board.family.costs.lut_ram
    for memory in (banks, *others):
        if memory.logic and lut_ram:
            tables += memory.number * lut_ram.count(memory.width, memory.depth)
            made += memory.number * lut_ram.choice(memory.width, memory.depth)
            continue
        used = memory.blocks(part)
        blocks += used * memory.number
        distributed += 0 if used else memory.number * memory.distributed
        luts += 0 if used else memory.number * round(READ * memory.chosen)
    luts += distributed * board.family.costs.distributed
    multipliers, instead = _multipliers(design, board)
    logic = (luts + _logic(design) + instead) * (DEEP if design.deep else 1)
    sites, registers = round(logic * board.family.costs.sites) + made + tables, None
    if link:
        registers = _registers(design, part, (banks, *others))
    return Usage(multipliers, blocks, sites, large, distributed + tables, registers)


def _registers(design: Design, part: Part, every: Iterable[Memory]) -> int:
    """Flip-flops, the link's with them: what is left once blocks have taken theirs."""
    costs = DEEP_REGISTERS if design.deep else COMPACT_REGISTERS if design.compact else REGISTERS
    operands = design.multipliers * (design.value_bits + design.act_bits)
    program, sums = space_widths(design)[Space.PROGRAM], design.pes * design.acc_bits
    bits = (1, program, design.units * design.act_bits, operands, sums)
    found = sum(cost * n for cost, n in zip(costs, bits, strict=True))
    if design.collects:  # sums of each gate, kept and shown, in the place of one
        found += sums * (2 * design.abreast - 1)
    for memory in every:
        found += memory.number * memory.guards(part)
        found += memory.number * memory.late(part) * design.deep  # others take none in at all
    return round(found)


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
    rise, offset = _interpolation(design.cell, design.act_bits, design.reaches)
    cell = cell_named(design.cell)
    tables = 1 if design.compact else cell.tables
    found = [
        Product(design.value_bits, design.act_bits, design.multipliers, lane=False),
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


def _logic(design: Design) -> int:
    """LUT4 sites of everything but memories."""
    return _array(design) + _screen(design)


def _screen(design: Design) -> int:
    """Of a screen unit: what any has, its digit lanes, and its lanes that multiply."""
    if (screen := design.screen) is None:
        return 0
    fixed, digit, lane = SCREEN_UNIT
    return fixed + digit * screen.digits + lane * screen.lanes


def _array(design: Design) -> int:
    """Of the array and what takes its results."""
    product = design.value_bits + design.act_bits
    pe = (design.lanes - 1) * TREE * product + ACCUMULATE * design.acc_bits
    if design.compact:  # registers alone in a cell count as well
        small = COMPACT_LANE * design.act_bits + COMPACT_SUMS * design.acc_bits
        return round(design.pes * pe * COMPACT_PE + design.units * small) + COMPACT_CONTROL
    # fitted to an LSTM's lane, and taken for a share of it that others have tables and sums of
    cell, lstm = cell_named(design.cell), cell_named(LSTM)
    sums = design.abreast * (2 if design.arithmetic.apart else 1)
    lane: float = LANE * design.act_bits * cell.tables / lstm.tables
    lane += SUMS * sums * design.acc_bits
    lane += REACHES * design.act_bits * cell.tables * bool(design.wider)
    choice = SUMS_KEPT if design.collects else SUMS_CHOSEN
    lane += choice * sums * design.acc_bits * (design.units_per_round - 1)
    if design.arithmetic.apart:
        pe += design.acc_bits  # the register beside the result
    projectors = design.projectors * 6 * design.acc_bits
    return round(design.pes * pe + design.units * lane + projectors) + CONTROL


def choices(
    model: Model | ModelShape, board: Board, contexts: int = 1, largest: int | None = None
) -> list[Choice]:
    """Every array of a usual shape that can carry the model, the fastest that fits first.

    Where slots of one gate, or more element-wise lanes than banks, do not fit, the array without
    them is among these as well. The first is what :func:`fastest`, and with it every command that
    is given no array, takes. Cycles are those of as many streams as there are ``contexts``. A model
    with a screened head has a unit for the ``largest`` logits behind each, as ``design_for`` says.
    """
    clock, found = clock_of(board), list[Choice]()
    for design in _designs(model, board, contexts, largest):
        found.append(_choice(model, board, design, clock))
        if not found[-1].fits:
            smaller = cheaper(model, board, design)
            found += (_choice(model, board, each, clock) for each in smaller)
    return sorted(found, key=lambda c: (not c.fits, c.microseconds, c.usage.multipliers))


def cheaper(model: Model | ModelShape, board: Board, design: Design) -> Iterator[Design]:
    """Arrays of the same size that take less of a device, and more cycles."""
    less: list[dict[str, Any]] = [{"by_gate": False}] if design.by_gate else []
    if design.units > design.lanes:
        less += [{"units": design.lanes}, *({"units": design.lanes, **each} for each in less)]
    same: dict[str, Any] = {"contexts": design.contexts, **board.options, "largest": _top(design)}
    for options in less:
        yield design_for(model, design.pes, design.lanes, **same, **options)


def _top(design: Design) -> int:
    """What makes a design with the same screen unit, or without one."""
    return design.screen.top if design.screen else 0


def _designs(
    model: Model | ModelShape, board: Board, contexts: int, largest: int | None
) -> Iterator[Design]:
    """Arrays of a usual shape that can carry the model."""
    banks = {g.banks for x in model.shape.layers for g in (x.weight_ih, x.weight_hh)}
    for pes in PES:
        for lanes in range(1, min(banks) + 1):
            if any(b % lanes for b in banks) or pes * lanes > 4 * board.has.multipliers:
                continue
            try:
                yield design_for(
                    model, pes, lanes, contexts=contexts, largest=largest, **board.options
                )
            except DesignError:
                continue


def choice(
    model: Model,
    board: Board,
    pes: int,
    lanes: int,
    contexts: int = 1,
    largest: int | None = None,
) -> Choice:
    """One array; where it does not fit, the first cheaper one of its size that does.

    Raises
    ------
    BoardError
        If no array of the board is made for such models.
    DesignError
        If this one cannot carry the model.
    """
    _check_kind(model, board)
    design = design_for(model, pes, lanes, contexts=contexts, largest=largest, **board.options)
    clock = clock_of(board)
    found = _choice(model, board, design, clock)
    if found.fits:
        return found
    less = (_choice(model, board, each, clock) for each in cheaper(model, board, design))
    return next((each for each in less if each.fits), found)


def clock_of(board: Board) -> float:
    """The board's clock, or what its loop makes of what place and route has reached."""
    clock, reached = board.clock_hz / 1e6, board.has.megahertz
    return clock if reached >= clock else float(reachable(board, reached) or reached)


def _choice(model: Model | ModelShape, board: Board, design: Design, megahertz: float) -> Choice:
    usage = estimate(design, board)
    if usage.block_rams > board.has.block_rams:
        spread = _spread(design, board, usage.block_rams - board.has.block_rams)
        taken = estimate(spread, board)
        if taken.limit(board.has)[1] <= 1:
            design, usage = spread, taken
    limit, share = usage.limit(board.has)
    cycles = step_cycles(schedule(model, design), design.contexts)
    return Choice(design, usage, cycles, megahertz, share <= 1, f"{limit}, {share:.0%}")


def _spread(design: Design, board: Board, short: int) -> Design:
    """With as many matrix memories of look-up tables as blocks are short, where that is known."""
    widths, depths = space_widths(design), space_depths(design)
    each = Memory(widths[Space.MATRIX], depths[Space.MATRIX]).blocks(board.has)
    if design.streamed or design.compact or not each or board.family.costs.lut_ram is None:
        return design
    return replace(design, spread=min(design.pes, ceil(short / each)))


def fastest(model: Model, board: Board, contexts: int = 1, largest: int | None = None) -> Choice:
    """The best array of a board.

    Raises
    ------
    BoardError
        If none fits; the message names the least.
    DesignError
        If none can carry the model, whatever the size of the device.
    """
    # without any, the error of the smallest tells why
    found = choices(model, board, contexts, largest) or [
        choice(model, board, PES[0], 1, contexts, largest)
    ]
    if not found[0].fits:
        least = min(found, key=lambda c: c.usage.luts)
        name, share = least.usage.limit(board.has)
        raise BoardError(
            f"no array of {board.title} holds this model: the smallest, {least.design.pes} x "
            f"{least.design.lanes}, takes {share:.0%} of its {name}; prune more, quantise to "
            "fewer bits or take a larger board" + SCREEN_MEND * bool(least.design.screen)
        )
    return found[0]


def _check_kind(model: Model, board: Board) -> None:
    """Refuse what the board's kind of design does not run at all."""
    if board.options.get("compact") and any(layer.projection for layer in model.layers):
        raise BoardError(
            f"the arrays of {board.title} are compact and run no projections: take a model "
            "without proj_size, or another board"
        )
