"""A soft reset while the source of the matrix goes on: right, or an error, and then right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.registers import REGISTERS
from compiler.abi.states import outcome_of
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_frames, random_model
from csb_format.words import join_fields
from engine.reference import IntegerModel
from hdl.bus.accelerator import Accelerator
from sim.check.compare import compare
from tests.hdl.processor import collector

from .test_accelerator import Host


class System:
    """A streamed accelerator, a source that goes on whatever happens, and jobs."""

    def __init__(self, marked: bool = True) -> None:
        self.model = random_model(np.random.default_rng(1), 6, 5, 2, 1, 2)
        design = design_for(self.model, 4, 2, streamed=True)
        self.image = compile_model(self.model, design)
        self.dut = Accelerator(design)
        self.words = join_fields(self.image.matrix_words, [design.word_bits] * design.pes)
        self.marked, self.next = marked, 0
        self.frames = random_frames(np.random.default_rng(2), self.model, [3])
        self.stimulus = Stimulus.of(self.image, self.frames)
        self.packets = frame_packets(self.stimulus, 64)
        self.got: list[list[int]] = []

    async def source(self, ctx: Any) -> None:
        dut = self.dut
        while True:
            ctx.set(dut.s_axis_matrix_tdata, int(self.words[self.next]))
            ctx.set(dut.s_axis_matrix_tuser, int(self.marked and self.next == 0))
            ctx.set(dut.s_axis_matrix_tvalid, 1)
            _, _, ready = await ctx.tick().sample(dut.s_axis_matrix_tready)
            self.next = (self.next + ready) % len(self.words)

    async def settled(self, host: Host) -> int:
        """Errors, once nothing moves any more."""
        for _ in range(200):
            status = await host.status()
            if status["stopped"] or not status["busy"]:
                break
        return int(await host.read("errors"))

    async def right(self, host: Host) -> bool:
        """Whether a job is right; what it reports is 0 then."""
        self.got.clear()
        await host.send(self.packets)
        if await self.settled(host):
            return False
        levels = IntegerModel(self.model).run_levels(self.frames)
        outcome = outcome_of(self.image, self.got, 64)
        return compare(self.stimulus, outcome, levels).mismatches == 0

    def play(self, run: Any, script: Any) -> None:
        async def host(ctx: Any) -> None:
            await script(Host(ctx, self.dut), ctx)

        run(self.dut, host, background=[collector(self.dut, self.got), self.source])


MISALIGNED = REGISTERS["errors"].encode(misaligned=1)
RESET = REGISTERS["control"].encode(soft_reset=1, new_source=1)
OFFSETS = [
    0,
    7,
    16,
    *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 90) if n not in (7, 16)),
]


@pytest.mark.parametrize("offset", OFFSETS)
def test_after_a_reset_within_a_frame_the_next_job_is_right(run: Any, offset: int) -> None:
    system = System()

    async def script(host: Host, ctx: Any) -> None:
        await host.start(system.image)
        await host.status()
        await host.send(system.packets)
        await ctx.tick().repeat(offset + 1)
        await host.write("control", RESET)
        await host.status()
        await ctx.tick().repeat(20)  # what m_axis was in the middle of has ended
        assert await system.right(host)

    system.play(run, script)


def test_a_source_elsewhere_is_an_error_that_the_recovery_recovers(run: Any) -> None:
    system = System()
    system.next = 3

    async def script(host: Host, ctx: Any) -> None:
        await host.start(system.image)
        await host.status()
        await host.send(system.packets[:1])
        assert await system.settled(host) == MISALIGNED
        assert system.got == []
        assert (await host.status())["stopped"]
        await host.write("control", RESET)
        await host.write("errors", 0xFFFFFFFF)
        await host.status()
        assert await system.right(host)

    system.play(run, script)


def test_a_word_that_got_lost_is_an_error_in_the_same_frame(run: Any) -> None:
    system = System()

    async def script(host: Host, ctx: Any) -> None:
        await host.start(system.image)
        await host.status()

        async def once() -> None:
            while system.next < 3:
                await ctx.tick()
            system.next += 1

        await host.send(system.packets[:1])
        await once()
        assert await system.settled(host) == MISALIGNED

    system.play(run, script)


def test_a_source_without_marks_is_an_error(run: Any) -> None:
    system = System(marked=False)

    async def script(host: Host, ctx: Any) -> None:
        await host.start(system.image)
        await host.status()
        await host.send(system.packets)
        assert await system.settled(host) == MISALIGNED

    system.play(run, script)
