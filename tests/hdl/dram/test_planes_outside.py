"""Tops whose screen unit reads its planes from memory: results, registers, errors, soft resets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.dma import PAGE
from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.registers import REGISTERS, SCREEN_COUNTERS
from compiler.array.needs import design_for
from compiler.array.screen.bus import ScreenBus
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.timing.screen_cycles import ScreenCycles
from csb_format.random_models import random_frames, random_model
from csb_format.screening.layer import ScreenedLayer
from engine.reference import IntegerModel
from hdl.read_port import ReadPort
from sim.axi_memory import AxiMemory, Lateness
from sim.run.pysim import BlockPorts
from tests.hdl.dram.test_dram_accelerator import BASE, Board
from tests.hdl.processor import Processor

USUAL = Lateness((ScreenBus.latency, ScreenBus.latency))
LATE = Lateness((1, 60), waits=0.5, gaps=0.3, seed=7)


def screened(bits: int, seed: int = 0, **design: Any) -> Image:
    model = random_model(np.random.default_rng(seed), 3, 4, 2, 1, 1, head=20)
    assert model.head is not None
    model = replace(model, head=ScreenedLayer.of(model.head))
    return compile_model(model, design_for(model, 4, 2, largest=3, planes=bits, **design))


class Planes(Board):
    """A board whose memory has two ports."""

    host: Processor

    def __init__(self, bits: int, late: Lateness = USUAL, **design: Any):
        super().__init__([screened(bits, **design)])
        self.planes = AxiMemory(ReadPort(bits), self.placed.data, BASE, late, name="m_axi_planes")

    async def remember(self, ctx: Any) -> None:
        ports, cycle = BlockPorts(self.dut, ctx), 0
        while True:
            self.memory.step(ports, cycle)
            self.planes.step(ports, cycle)
            await ctx.tick()
            cycle += 1

    def play(self, run: Any, script: Any) -> None:
        super().play(run, script)
        assert self.planes.traffic.violations == []

    async def load(self, number: int, part: int = 0) -> dict[str, int]:
        status = await super().load(number, part)
        at = self.placed.planes[number]
        for name, fields in (
            ("planes_base", {"page": at // PAGE}),
            ("planes_base_high", {"high": at >> 32}),
        ):
            await self.host.write(name, REGISTERS[name].encode(**fields))
        return status

    async def begin(self, seed: int) -> None:
        """Let frames in, and wait for none."""
        frames = random_frames(np.random.default_rng(seed), self.images[0].model, [3])
        await self.host.send(frame_packets(Stimulus.of(self.images[0], frames), 64))


@pytest.mark.slow
@pytest.mark.parametrize("design", [{}, {"streamed": True}, {"deep": True}], ids=str)
@pytest.mark.parametrize("bits", [64, 512])
def test_what_it_reads_is_counted(run: Any, bits: int, design: dict[str, Any]) -> None:
    board = Planes(bits, **design)
    (image,) = board.images

    async def script() -> None:
        await board.job(0)
        sequences = random_frames(np.random.default_rng(0), image.model, [3, 2])
        states = np.concatenate([t.output for t in IntegerModel(image.model).run(sequences)])
        assert image.screen is not None
        each = ScreenCycles(image.screen.design, image.screen.layer).run(states)
        for name in SCREEN_COUNTERS:
            counted = (await board.host.fields(f"screen_{name}"))["count"]
            assert counted == sum(getattr(one, name) for one in each) > 0
        assert (await board.host.fields("version"))["minor"] == 5

    board.play(run, script)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(5, 61, 7))
def test_a_soft_reset_while_rows_are_on_their_way(run: Any, first: int) -> None:
    """Addresses stay on offer, beats of before reach nobody; what comes then is right."""
    board = Planes(64, LATE)

    async def script() -> None:
        await board.load(0)
        for delay in range(first, 500, 63):
            await board.begin(delay)
            await board.host.ctx.tick().repeat(delay)
            await board.host.write("control", REGISTERS["control"].encode(soft_reset=1))
            while (await board.host.fields("status"))["settling"]:
                pass
        await board.job(0)

    board.play(run, script)
    assert len(board.planes.traffic.arrived) > 50


@pytest.mark.slow
def test_a_memory_that_refuses_a_row_is_told(run: Any) -> None:
    board = Planes(128)
    first = board.placed.planes[0]
    board.planes.broken = lambda address: address == first

    async def script() -> None:
        await board.load(0)
        await board.begin(1)
        while (await board.host.fields("status"))["busy"]:
            pass
        found = await board.host.fields("errors")
        assert [name for name, flag in found.items() if flag] == ["planes"]
        board.planes.broken = lambda address: False
        await board.host.write("errors", 0xFFFFFFFF)
        await board.job(0)

    board.play(run, script)
