"""Designs whose matrices lie in a board's memory outside: how fast, how many bytes, what they take.

Cycles are those of :func:`sim.dram.stream_cycles.steady_cycles`, with the array as
:mod:`sim.dram.pace` has it: exact in the long run for a memory that gives a beat a cycle and
answers within :attr:`~hdl.dram.reader.ReadBus.covered_latency` cycles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from compiler.array.batch import MOST_STREAMS
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.groups import MatrixImage, group_bits
from compiler.lower.plan import Plan
from compiler.lower.schedule import schedule
from csb_format.model import Model
from csb_format.scales import DesignError
from csb_format.shape import ModelShape
from hdl.dram.reader import ReadBus
from sim.dram.pace import batch_cycles, pace_of
from sim.dram.stream_cycles import steady_cycles

from ..board import Board
from ..cells.usage import Usage
from ..resources import PES, clock_of
from .cells import estimate_streamed

__all__ = ["Outside", "StreamedChoice", "outside", "proposed"]

NEAR = 1.05  # times the cycles of the fastest, for which a smaller array is taken
NO_MEMORY = (
    "{}: its design has none of the ports to memory outside (as kv260 has) from which matrices "
    "could be streamed."
)
OPTIONS = ("deep", "parts")  # of a board's design that streamed ones have


@dataclass(frozen=True)
class StreamedChoice:
    """An array whose matrices are read for every frame, or for a frame of each of B streams.

    Parameters
    ----------
    design : Design
        Streamed; batched where it has several contexts.
    bus_bits : int
        Of the port to memory.
    usage : Usage
        Estimated cells.
    plan : Plan
    megahertz : float
        Of array and bus.
    limit : str
        What of the device it takes the largest share of.
    share : float
        That share; it fits where this is at most 1.
    """

    design: Design
    bus_bits: int
    usage: Usage
    plan: Plan
    megahertz: float
    limit: str
    share: float

    @property
    def fits(self) -> bool:
        """Whether the board has the cells."""
        return self.share <= 1

    @property
    def streams(self) -> int:
        """Frames that a word serves, B."""
        return self.design.batch

    @cached_property
    def _images(self) -> list[MatrixImage]:
        parts = range(len(self.plan.parts))
        return [_image(self.design, _groups(self.plan, part), self.bus_bits) for part in parts]

    @property
    def bytes(self) -> int:
        """That are read for a batch."""
        return sum(image.length for image in self._images)

    @property
    def floor(self) -> int:
        """Cycles of a batch in which the bus alone gives these bytes."""
        return sum(image.beats for image in self._images)

    @property
    def array_cycles(self) -> int:
        """Of a batch, where words are always there."""
        return sum(self._array_cycles)

    @cached_property
    def _array_cycles(self) -> list[int]:
        return [batch_cycles(self.plan, part) for part in range(len(self.plan.parts))]

    @property
    def bound(self) -> int:
        """The most of both: no batch takes less."""
        each = zip(self._images, self._array_cycles, strict=True)
        return sum(max(image.beats, cycles) for image, cycles in each)

    @cached_property
    def cycles(self) -> int:
        """From batch to batch."""
        found = 0
        for part, image in enumerate(self._images):
            pace = pace_of(self.plan, part)
            found += steady_cycles(image, pace.waits, pace.holds)
        return found

    @property
    def frames_a_second(self) -> float:
        """Of all streams together."""
        return self.streams * self.megahertz * 1e6 / self.cycles

    @property
    def options(self) -> dict[str, Any]:
        """What ``verilog`` is told to make it."""
        found: dict[str, Any] = {"pes": self.design.pes, "lanes": self.design.lanes}
        found |= {"top": "dram", "bus_bits": self.bus_bits, "streamed": True}
        if self.streams > 1:
            found |= {"batched": True, "contexts": self.streams}
        return found | {name: True for name in OPTIONS if getattr(self.design, name)}


def _groups(plan: Plan, part: int) -> int:
    """Groups that a frame issues: those of a program, from its first pass to that again."""
    begin = at = plan.parts[part].entry + 1
    groups = 0
    while True:
        now = plan.program[at]
        groups, at = groups + now.slots * now.groups, now.next
        if at == begin:
            return groups


def _image(design: Design, groups: int, bus_bits: int) -> MatrixImage:
    """Bytes without contents: only how many they are matters."""
    width = group_bits(design)
    beats = -(-groups * width // bus_bits)
    return MatrixImage(bytes(beats * bus_bits // 8), groups, width, bus_bits)


@dataclass(frozen=True)
class Outside:
    """What a board's memory outside offers a model.

    Parameters
    ----------
    choices : tuple of StreamedChoice
        Of each number of streams the smallest array that is hardly slower than the fastest that
        fits; in the order of streams.
    notes : tuple of str
        Why there are no more.
    """

    choices: tuple[StreamedChoice, ...]
    notes: tuple[str, ...]


def proposed(contexts: int) -> Sequence[int]:
    """Numbers of streams that are looked at: one and those asked for, or one and some."""
    return (1, contexts) if contexts > 1 else (1, 2, 4, 8)


def outside(model: Model | ModelShape, board: Board, contexts: int = 1) -> Outside:
    """Streamed designs for a model on a board, one for each number of streams.

    Parameters
    ----------
    model : Model or ModelShape
        A linear output layer stays with the host.
    board : Board
    contexts : int
        Streams that shall share each word; 1: some numbers are proposed.
    """
    if not board.family.memory_bits:
        return Outside((), (NO_MEMORY.format(board.title),))
    found, notes = list[StreamedChoice](), list[str]()
    for streams in proposed(contexts):
        if streams > MOST_STREAMS:
            notes.append(f"--contexts {streams}: at most {MOST_STREAMS} streams share a word.")
            continue
        try:
            every = list(_arrays(model, board, streams))
        except DesignError as error:
            notes.append(f"{_several(streams)}: {error}")
            break
        best = _smallest(every)
        if best is None:
            least = min(every, key=lambda one: one.share)
            size = f"{least.design.pes} x {least.design.lanes}"
            taken = f"{least.share:.0%} of the {least.limit}"
            notes.append(f"{_several(streams)}: not even {size} fits, it takes {taken}.")
            break
        found.append(best)
    return Outside(tuple(found), tuple(notes))


def _several(streams: int) -> str:
    return "streamed" if streams == 1 else f"batched, {streams} streams"


def _smallest(every: Sequence[StreamedChoice]) -> StreamedChoice | None:
    """The fewest multipliers that are hardly slower than the fastest; None if none fits."""
    fitting = sorted(
        (one for one in every if one.fits), key=lambda one: (one.design.multipliers, one.floor)
    )
    if not fitting:
        return None
    least = min(one.floor for one in fitting)
    # one that the bus alone limits spares a look at the passes of all larger ones
    near = (one for one in fitting if one.bound <= NEAR * least)
    if (found := next(near, None)) is None:
        bound = min(one.bound for one in fitting)
        found = next(one for one in fitting if one.bound <= NEAR * bound)
    return found


def _arrays(model: Model | ModelShape, board: Board, streams: int) -> Iterator[StreamedChoice]:
    """Of usual shapes; the error of the first where none can be made."""
    options: dict[str, Any] = {name: board.options.get(name, False) for name in OPTIONS}
    options |= {"streamed": True, "batched": streams > 1, "contexts": streams, "largest": 0}
    failed, made = None, False
    for pes, lanes in _sizes(model, board):
        try:
            yield _choice(model, design_for(model, pes, lanes, **options), board)
            made = True
        except DesignError as error:
            failed = failed or error
    if failed and not made:
        raise failed


def _sizes(model: Model | ModelShape, board: Board) -> Iterator[tuple[int, int]]:
    banks = {g.banks for layer in model.shape.layers for g in layer.geometries.values()}
    for pes in PES:
        for lanes in range(1, min(banks) + 1):
            if not any(b % lanes for b in banks) and pes * lanes <= board.has.multipliers:
                yield pes, lanes


def _choice(model: Model | ModelShape, design: Design, board: Board) -> StreamedChoice:
    """With vector banks in parts, or whole ones where these take a smaller share."""
    bus = ReadBus(board.family.memory_bits)
    kinds = [design, *([replace(design, parts=False)] if design.parts else [])]
    used = [(one, estimate_streamed(one, board, bus)) for one in kinds]
    best, usage = min(used, key=lambda one: one[1].limit(board.has)[1])
    limit, share = usage.limit(board.has)
    plan, clock = schedule(model, best), clock_of(board)
    return StreamedChoice(best, bus.data_bits, usage, plan, clock, limit, share)
