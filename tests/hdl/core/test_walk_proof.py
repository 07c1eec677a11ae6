"""The walk over memories, for every content, every pattern of reads and every error.

Proved in every cycle that can be reached, by property directed reachability, about small memories:
which word is looked at, what they hold and when they are read by others is the solver's choice.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from compiler.array.design import Design
from compiler.array.latency import RAM, issue_delay
from compiler.lower.load import WORD, Space, space_depths, space_targets, space_widths
from compiler.lower.walk import walk_chunks
from hdl.core.controller import Controller
from hdl.core.guards.walk import MemoryWalk, walked
from hdl.core.pipeline import delayed
from sim.check.proof import ProofError
from sim.check.reachable import prove_always
from tests.hdl.free_block import FreeBlock

TINY = Design(4, 1, 1, 1, 4, 4, 2, 2, 2, 1, 4, 6, program_depth=2, checked=True, walk=True)


class Walks(FreeBlock):
    """Inputs beside those of the walk: a word that is watched, and what the walk is told."""

    def __init__(self, block: MemoryWalk):
        deepest = max(space_depths(block.design).values())
        chosen = {"turn": 2, "at": range(deepest), "part": len(block.place)}
        super().__init__(block, **chosen, last=range(deepest), sum=WORD)

    def state(self, m: Module, block: MemoryWalk) -> None:
        self._told(m, block)
        self._lasts, self._parts = self._sizes(block)
        read, here = self._reads(m, block)
        self._visited(m, block, here)
        self._summed(m, block, read)
        self._judged(m, block)

    def _told(self, m: Module, block: MemoryWalk) -> None:
        """What is chosen changes when memories have; the walk's own memory has its delay."""
        chosen, begun = Cat(self.turn, self.at, self.part, self.last, self.sum), Signal()
        before, written = Signal.like(chosen), Signal()
        m.d.sync += [before.eq(chosen), begun.eq(1), written.eq(block.written)]
        told = delayed(m, Mux(block.told_address, self.sum, self.last), RAM)
        m.d.comb += [
            Assume(~begun | (chosen == before) | written),
            Assume(block.told == told),
            Assume(self.last < space_depths(block.design)[Space.MATRIX]),
        ]

    def _sizes(self, block: MemoryWalk) -> tuple[Array, Array]:
        """Of each space the last address, and parts of 32 bits at an address."""
        design, spaces = block.design, walked(block.design)
        depths = space_depths(design)
        lasts = [self.last if s is Space.MATRIX else depths[s] - 1 for s in spaces]
        return Array(lasts), Array(walk_chunks(design, s) for s in spaces)

    def _reads(self, m: Module, block: MemoryWalk) -> tuple[Value, Value]:
        """(a word is read, it is the one that is watched): never where another wants to read."""
        reading, spare = Value.cast(block.reading), Value.cast(block.spare)
        here = reading.bit_select(self.turn, 1) & (block.address == self.at)
        here &= (block.place == self.part) & ~block.rests
        counts = reading.any() & ~block.rests  # what it reads as it begins to rest is forgotten
        m.d.comb += [
            Assume(self.turn < len(reading)),
            Assume(self.at <= self._lasts[self.turn]),
            Assume(self.part < self._parts[self.turn]),
            Assert((reading & ~spare) == 0),
            Assert((reading & (reading - 1)) == 0),
            Assert(~counts | (block.address <= self._lasts[block.turn])),
            Assert(~counts | (block.place < self._parts[block.turn])),
        ]
        return counts, here

    def _visited(self, m: Module, block: MemoryWalk, here: Value) -> None:
        """Once a walk."""
        visits = Signal(2)
        with m.If(here):
            m.d.sync += visits.eq(visits + 1)
        with m.If(block.found | block.rests):
            m.d.sync += visits.eq(0)
        m.d.comb += [Assert(~here | (visits == 0)), Assert(~block.found | (visits == 1))]

    def _summed(self, m: Module, block: MemoryWalk, read: Value) -> None:
        """The check is over the last row, then over all that was read, in its order."""
        check, first = block.check, Signal(init=1)
        taken = check.valid & ~check.start & ~block.rests
        with m.If(taken):
            m.d.sync += first.eq(0)
        with m.If(block.found | block.rests):
            m.d.sync += first.eq(1)
        comes, given, flies = self._given(m, block, read)
        m.d.comb += [
            Assert(~(taken & first) | (check.data == self.last)),
            Assert(~taken | (comes != first)),
            Assert(~(taken & comes) | (check.data == given)),
            Assert(~comes | taken | block.rests),
            Assert(~block.found | ~(flies | first)),
        ]

    def _given(self, m: Module, block: MemoryWalk, read: Value) -> tuple[Value, Value, Value]:
        """(a word that was read comes to the check now, it, some are on their way)."""
        design, flies = block.design, list[Value]()
        comes, given = Signal(), Signal(WORD)
        for number, space in enumerate(walked(design)):
            late = issue_delay(design) if space is Space.MATRIX else RAM
            mine, place = read & (block.turn == number), block.place
            for _ in range(late):
                mine, place = self._later(m, block, mine), delayed(m, place, 1)
                flies.append(mine)
            width, words = space_widths(design)[space], block.words[space.name.lower()]
            parts = [
                words.word_select(target, width)[at : at + WORD]
                for target in range(space_targets(design)[space])
                for at in range(0, width, WORD)
            ]
            with m.If(mine):
                m.d.comb += [comes.eq(1), given.eq(Array(parts)[place])]
        for _ in range(2):  # both choose in two steps
            comes, given = self._later(m, block, comes), delayed(m, given, 1)
            flies.append(comes)
        return comes, given, Cat(flies).any()

    def _later(self, m: Module, block: MemoryWalk, pulse: Value) -> Value:
        return delayed(m, pulse, 1, reset=True, clear=block.rests)

    def _judged(self, m: Module, block: MemoryWalk) -> None:
        """The error is set if and only if the check is another one, and counted if it is not."""
        differs = block.check.crc != self.sum
        wrong, walks = Signal(), Signal(WORD)
        with m.If(block.found):
            m.d.sync += [wrong.eq(wrong | differs), walks.eq(walks + ~differs)]
        with m.If(block.clear):
            m.d.sync += wrong.eq(0)
        m.d.comb += [Assert(block.wrong == wrong), Assert(block.walks == walks)]


class Pair(wiring.Component):
    """Two controllers; the second gets anything for words that were read while they were spare."""

    def __init__(self, design: Design, make: type[Controller], *, held: bool = False):
        self.blocks = [make(design, held=held) for _ in range(2)]
        self._ports = dict(self.blocks[0].signature.members)
        free = {name: In(port.shape) for name, port in self._ports.items() if port.flow == In}
        more = {"garbage": free["instruction"], "other": free["walk"]}
        super().__init__(free | more)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.one, m.submodules.two = one, two = self.blocks
        spare = delayed(m, one.spare.program, RAM)
        m.d.comb += [
            Value.cast(two.instruction).eq(Mux(spare, self.garbage, self.instruction)),
            Value.cast(one.instruction).eq(self.instruction),
            *(one.walk.eq(self.walk), two.walk.eq(self.other)),
            # the matrix memories are the walk's where they are spare, and where no group is issued
            Assert(one.spare.matrix | (one.address == two.address)),
            Assert(~one.spare.matrix | (~one.group.valid & (one.address == self.walk))),
        ]
        for name, port in self._ports.items():
            mine, other = (Value.cast(getattr(block, name)) for block in self.blocks)
            if port.flow != In and name != "address":
                m.d.comb += Assert(mine == other)
            elif port.flow == In and name not in ("instruction", "walk"):
                m.d.comb += [mine.eq(getattr(self, name)), other.eq(getattr(self, name))]
        return m


class Generous(Controller):
    """A mutant: the program memory is the walk's in every cycle."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.spare.program.eq(1)
        return m


CONTROLLERS = [(TINY, False), (TINY, True), (replace(TINY, deep=True, contexts=2), False)]


@pytest.mark.quick(1)
@pytest.mark.parametrize(("design", "held"), CONTROLLERS, ids=["", "held", "deep"])
def test_no_program_can_tell_whether_a_walk_goes_on(design: Design, held: bool) -> None:
    prove_always(Pair(design, Controller, held=held))


def test_that_proof_finds_a_walk_that_takes_the_programs_reads() -> None:
    with pytest.raises(ProofError, match="assertions fail"):
        prove_always(Pair(TINY, Generous), timeout=10)


class Thief(MemoryWalk):
    """A mutant: it reads biases whether they are wanted or not."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.reading["bias"].eq(self.turn == 1)
        return m


class Skips(MemoryWalk):
    """A mutant: it leaves a part of the program out."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.reading["program"] & (self.place == 0)):
            m.d.sync += self.place.eq(2)
        return m


class Eager(MemoryWalk):
    """A mutant: it tells of an error before the walk has ended."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(Value.cast(self.reading).any() & ~self.clear):
            m.d.sync += self.wrong.eq(1)
        return m


CASES = [(TINY, False), (TINY, True), (replace(TINY, deep=True), False)]


@pytest.mark.quick(1)
@pytest.mark.parametrize(("design", "filled"), CASES, ids=["", "filled", "deep"])
def test_each_word_is_summed_once_and_the_verdict_is_the_sums(design: Design, filled: bool) -> None:
    prove_always(Walks(MemoryWalk(design, filled=filled)))


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [Thief, Skips, Eager])
def test_the_proof_finds_mutants(mutant: type[MemoryWalk]) -> None:
    with pytest.raises(ProofError, match="assertions fail"):
        prove_always(Walks(mutant(TINY)), timeout=20)
