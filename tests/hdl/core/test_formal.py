"""Proofs: what no test can try out, because it holds for every input in every cycle."""

from __future__ import annotations

from dataclasses import replace

import pytest
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value

from compiler.array.design import Design
from compiler.array.program import Sink
from hdl.core.controller import Controller
from hdl.core.frames import FrameLoader
from hdl.core.output import OutputBuffer
from sim.check.proof import ProofError, prove_up_to
from sim.check.reachable import prove_always
from tests.hdl.free_block import FreeBlock

TINY = Design(4, 2, 1, 2, 4, 8, 2, 2, 3, 1, 4, 6, program_depth=4, contexts=2)


class Buffers(FreeBlock):
    """Every buffer of the frame loader is free, being filled, waiting, or being read."""

    broken = False

    def state(self, m: Module, block: FrameLoader) -> None:
        beats = 2
        filled, waiting, reading = Signal(2), Signal(2), Signal(2)  # which buffers are
        fill, drain, oldest = Signal(), Signal(), Signal()
        beat = Signal(2)
        taken = block.frames.valid & block.frames.ready
        whole = taken & (beat == beats - 1)
        m.d.comb += [
            Assume(block.last == beats - 1),
            Assume(block.known),
            Assume(~block.restart),
            Assume(block.bases[0] == 0),
            Assume(block.bases[1] == 4),
            # the controller takes what waits, and releases what it has taken
            Assume(~block.take | block.ready),
            Assume(~block.release | reading.any() | (self.broken & 1)),
        ]
        with m.If(taken):
            m.d.sync += beat.eq(Mux(whole, 0, beat + 1))
        m.d.sync += [
            filled.eq(filled | (whole << fill)),
            waiting.eq((waiting | (whole << fill)) & ~(block.take << drain)),
            reading.eq((reading | (block.take << drain)) & ~(block.release << oldest)),
            fill.eq(fill ^ whole),
            drain.eq(drain ^ block.take),
            oldest.eq(oldest ^ block.release),
        ]
        busy = waiting | reading
        m.d.comb += [
            # no beat goes where a frame waits or is read
            Assert(~taken | ~busy.bit_select(fill, 1)),
            Assert(~block.write_en | (block.write_addr >> 2 == fill)),
            Assert(block.write_en == taken),
            Assert(~(block.blocked & block.write_en)),
            # a frame is offered exactly when a whole one waits, the oldest first
            Assert(block.ready == waiting.any()),
            Assert(~block.ready | waiting.bit_select(drain, 1)),
            Assert(block.buffer == drain),
            Assert((waiting & reading) == 0),
            # what the counters of the block have to do with that, for the induction
            Assert(block._free == 2 - _ones(busy)),
            Assert(block._waiting == _ones(waiting)),
            Assert(block._fill == fill),
            Assert(block._drain == drain),
            Assert(block._beat == beat),
            Assert(beat < beats),
            Assert(_in_order(waiting, drain, fill)),
            Assert(_in_order(reading, oldest, drain)),
        ]


def _ones(bits: Value) -> Value:
    return bits[0] + bits[1]


def _in_order(held: Value, first: Value, end: Value) -> Value:
    """The buffers from ``first`` up to ``end`` are held: none, one, or both."""
    one = held == Mux(first, 2, 1)
    return Mux(first == end, (held == 0) | (held == 3), one)


class Room(FreeBlock):
    """The output buffer takes every beat that was promised, and loses none."""

    slack = 0

    def state(self, m: Module, block: OutputBuffer) -> None:
        depth = block.design.output_depth
        promised, held = Signal(4), Signal(4)
        taken = block.states.valid & block.states.ready
        m.d.comb += [
            Assume(block.promise <= block.room + self.slack),
            Assume(~block.push | promised.any()),
            Assert(held + promised + block.room == depth),
            Assert(held <= depth),
            Assert(~taken | held.any()),
        ]
        m.d.sync += [
            promised.eq(promised + block.promise - block.push),
            held.eq(held + block.push - taken),
        ]
        whole, fresh = Signal(init=1), Signal(2)  # the last beat ended a frame; came just now
        m.d.sync += fresh.eq(Cat(block.push, fresh[0]))
        with m.If(block.push):
            m.d.sync += whole.eq(block.beat.last)
        forgets = block.clear & (promised.any() | ~whole | fresh.any())
        with m.If(block.clear):
            m.d.sync += [promised.eq(0), whole.eq(1), fresh.eq(0)]
        with m.If(forgets):
            m.d.sync += held.eq(0)
        m.d.comb += Assert(Cat(whole, fresh) == Cat(block.whole, block.fresh))
        waits = Signal()
        before = Signal.like(block.states.payload.as_value())
        m.d.sync += [
            waits.eq(block.states.valid & ~block.states.ready),
            before.eq(block.states.payload),
        ]
        # a beat that was offered stays until it is taken, or all are forgotten
        m.d.comb += Assert(
            ~waits | forgets | (block.states.valid & (block.states.payload.as_value() == before))
        )


class Starts(FreeBlock):
    """No pass starts with more beats on their way than its lead, nor without frame and room."""

    late = 0

    def state(self, m: Module, block: Controller) -> None:
        flying, now, starts = Signal(10), block._now, block._starting
        given = block.instruction
        m.d.comb += [
            Assume(~block.restart),
            Assume(~block.home | flying.any()),
            Assume(block.word_ready),
            Assume(given.slots.any()),
            Assume(given.groups.any()),
            Assume(given.interval >= given.groups),
        ]
        leads = [now.lead, now.lead_other]
        if block.design.frames_back > 2:
            leads += now.lead_more
        least, most = leads[0], leads[0]
        for lead in leads[1:]:
            least, most = Mux(lead < least, lead, least), Mux(lead > most, lead, most)
        pulses = (block.frame_take, block.promise.any())
        m.d.comb += [
            # it knows how many beats are on their way, and starts at no more than its lead
            Assert(block._flying == flying),
            Assert(~starts | (flying <= most)),
            Assert(~(starts & (block.current.other == 0) & ~now.advance) | (flying <= now.lead)),
            Assert(~(starts & block.current.first) | (flying <= most)),
            # what a pass takes is there, and it takes it in the cycle of its first group
            *(Assert(~pulse | (starts & block.group.valid)) for pulse in pulses),
            Assert(~block.frame_take | block.frame_ready),
            Assert(block.promise <= block.room),
            Assert(~(starts & now.frame.any()) | block.frame_take),
            Assert(~(starts & now.emit) | (block.promise == now.beats)),
            Assert(least <= most),
        ]
        sent = Mux(starts & (now.sink != Sink.PARK), now.beats, 0)
        m.d.sync += flying.eq(flying + sent - block.home + (self.late & starts))


def test_frames_never_overwrite_each_other() -> None:
    prove_always(Buffers(FrameLoader(TINY)))


def test_that_proof_fails_where_frames_are_released_too_early() -> None:
    harness = Buffers(FrameLoader(TINY))
    harness.broken = True
    with pytest.raises(ProofError, match=r"not proved"):
        prove_always(harness, timeout=10)


def test_the_output_buffer_never_overflows() -> None:
    prove_always(Room(OutputBuffer(TINY)))


def test_nor_does_that_of_a_shallow_design() -> None:
    prove_always(Room(OutputBuffer(replace(TINY, shallow=True))))


def test_that_proof_fails_where_more_is_promised() -> None:
    harness = Room(OutputBuffer(TINY))
    harness.slack = 1
    with pytest.raises(ProofError, match=r"not proved"):
        prove_always(harness, timeout=10)


def test_passes_start_when_they_may() -> None:
    prove_up_to(Starts(Controller(TINY)), cycles=14)


def test_that_proof_fails_where_beats_are_counted_wrongly() -> None:
    harness = Starts(Controller(TINY))
    harness.late = 1
    with pytest.raises(ProofError, match=r"not proved"):
        prove_up_to(harness, cycles=14)
