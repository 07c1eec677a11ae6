"""Which arrays fit a board, before any synthesis: what each takes, what limits, how fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.load import Space, space_depths, space_widths
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from csb_format.model import Model
from csb_format.scales import DesignError
from csb_format.shape import ModelShape

from .board import Board, BoardError, reachable
from .cells.learned import shipped
from .cells.structure import LINK_BLOCKS, NARROW, Product, estimate, products
from .cells.usage import RESOURCES, Resource, Usage
from .memories import Memory, working_pes

__all__ = [
    "LINK_BLOCKS",
    "NARROW",
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
    "with_usage",
]

PES = (4, 8, 16, 32, 64, 128)
SCREEN_MEND = ", or leave the screened head to the host (largest = 0, --largest 0)"


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
    same |= {"head": design.linear > 0, "dense": design.indexed > 0}
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
    *,
    head: bool = False,
    dense: bool = False,
) -> Choice:
    """One array; where it does not fit, the first cheaper one of its size that does.

    With ``head`` all linear output layers run on it, ``dense`` without indices.

    Raises
    ------
    BoardError
        If no array of the board is made for such models.
    DesignError
        If this one cannot carry the model.
    """
    _check_kind(model, board)
    layers: dict[str, Any] = {"largest": largest, "head": head, "dense": dense}
    design = design_for(model, pes, lanes, contexts=contexts, **layers, **board.options)
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
    design, usage = with_usage(design, board)
    limit, share = usage.limit(board.has)
    cycles = step_cycles(schedule(model, design, head=design.linear > 0), design.contexts)
    return Choice(design, usage, cycles, megahertz, share <= 1, f"{limit}, {share:.0%}")


def with_usage(design: Design, board: Board) -> tuple[Design, Usage]:
    """A design and its cells; matrices that find no block lie in look-up tables if it fits so."""
    usage = shipped().likely(design, board)
    if usage.block_rams > board.has.block_rams:
        spread = _spread(design, board, usage.block_rams - board.has.block_rams)
        taken = shipped().likely(spread, board)
        if taken.limit(board.has)[1] <= 1:
            return spread, taken
    return design, usage


def _spread(design: Design, board: Board, short: int) -> Design:
    """With as many matrix memories of look-up tables as blocks are short, where that is known."""
    widths, depths = space_widths(design), space_depths(design)
    each = Memory(widths[Space.MATRIX], depths[Space.MATRIX]).blocks(board.has)
    if design.streamed or design.compact or not each or board.family.costs.lut_ram is None:
        return design
    idle = design.pes - working_pes(design)  # the last ones, of which nothing is left
    return replace(design, spread=min(design.pes, idle + ceil(short / each)))


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
