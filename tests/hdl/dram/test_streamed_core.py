"""The core with its matrices in DRAM computes what the integer model does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.model import Model
from csb_format.random_models import random_frames, random_model
from csb_format.scales import DesignError
from engine.reference import IntegerModel
from hdl.dram.matrix import lay_out
from hdl.dram.reader import ReadBus
from hdl.dram.streamed_core import StreamedCore
from sim.axi_memory import AxiMemory, Lateness
from sim.check.compare import compare
from sim.run.pysim import BlockPorts
from sim.run.scenario import Job, run_job

BASE = 1 << 16


class Board:
    """A core, a memory with the image, and jobs one after the other."""

    def __init__(self, seed: int, bus: ReadBus, late: Lateness, *, head: bool = False):
        self.rng = np.random.default_rng(seed)
        bits = 8 if head else 16
        more: dict[str, Any] = {"head": 37} if head else {}
        self.model: Model = random_model(self.rng, 12, 8, 4, 2, 1, bits, **more)
        design = design_for(self.model, 8, 4, streamed=True, head=head, dense=head)
        self.image = compile_model(self.model, design, head=head)
        self.matrix = lay_out(self.image.part_words(), design, bus.data_bits)
        self.memory = AxiMemory(bus, self.matrix.data, BASE, late)
        self.block = StreamedCore(design, bus, None, 4)
        self.cycle = 0

    async def job(self, ports: BlockPorts, frames: list[Any]) -> bool:
        """Start the stream, load, run; whether all states are right."""
        values = {"base": BASE, "length": self.matrix.length, "padding": self.matrix.padding}
        for name, value in (values | {"start": 1}).items():
            ports.set(name, value)
        await ports.tick()
        ports.set("start", 0)
        # the words come from memory, not from a stream of the bench
        job = replace(Job.of(self.image, frames, load=True), matrix=[])
        outcome = await run_job(job, ports)
        stimulus, levels = Stimulus.of(self.image, frames), IntegerModel(self.model)
        compared = compare(stimulus, outcome, levels.run_levels(frames))
        assert compared.values
        return compared.first is None

    def play(self, run: Any, script: Any) -> None:
        board = self

        class Ports(BlockPorts):
            async def tick(self) -> None:
                board.memory.step(self, board.cycle)
                board.cycle += 1
                await super().tick()

        async def bench(context: Any) -> None:
            await script(Ports(self.block, context))

        run(self.block, bench)
        assert self.memory.traffic.violations == []


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("bus", "late"),
    [
        (ReadBus(64, 32, 8, 4, 64), Lateness((5, 40), 0.2, 0.2, 1)),
        (ReadBus(512, 32, 4, 2, 16), Lateness((3, 9), seed=2)),
        (ReadBus(128, 32, 1, 1, 2), Lateness((1, 30), 0.5, 0.0, 3)),
    ],
    ids=["slow", "wide", "one beat at a time"],
)
def test_states_are_those_of_the_model(run: Any, bus: ReadBus, late: Lateness) -> None:
    board = Board(late.seed, bus, late)
    frames = random_frames(board.rng, board.model, [5, 2])

    async def script(ports: BlockPorts) -> None:
        assert await board.job(ports, frames)
        assert await board.job(ports, frames[1:])
        assert ports.get("errors") == 0

    board.play(run, script)


def test_a_head_without_indices(run: Any) -> None:
    """Its words bring more groups than they are; words come late and in no rhythm."""
    board = Board(5, ReadBus(64, 32, 8, 4, 64), Lateness((5, 20), 0.2, 0.2, 5), head=True)
    frames = random_frames(board.rng, board.model, [2, 1])
    assert board.matrix.groups < board.image.groups

    async def script(ports: BlockPorts) -> None:
        assert await board.job(ports, frames)
        assert await board.job(ports, frames[1:])
        assert ports.get("errors") == 0

    board.play(run, script)


def test_after_an_error_response_the_job_ends_and_the_next_is_clean(run: Any) -> None:
    board = Board(4, ReadBus(64, 32, 8, 4, 64), Lateness((5, 40), 0.2, 0.2, 4))
    frames = random_frames(board.rng, board.model, [4])

    async def script(ports: BlockPorts) -> None:
        board.memory.data = board.matrix.data[:80]
        assert not await board.job(ports, frames)
        assert ports.get("errors") == 2  # decode
        board.memory.data = board.matrix.data
        assert await board.job(ports, frames)
        assert ports.get("errors") == 0

    board.play(run, script)


def test_a_design_with_its_matrices_on_chip() -> None:
    model = random_model(np.random.default_rng(1), 12, 8, 4, 2, 1)
    with pytest.raises(DesignError, match=r"has its matrices on chip: .* streamed=True"):
        StreamedCore(design_for(model, 8, 4), ReadBus())
