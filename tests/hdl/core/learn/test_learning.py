"""A core that trains: every weight and master after updates, in the cycles of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.learn.commands import Update, read_packet, word_packets
from compiler.learn.design import training_design
from compiler.learn.layout import LearningLayout
from compiler.learn.memories import Memories, entries_of, tensor_of
from compiler.learn.model import updated
from compiler.learn.timing import update_cycles
from compiler.lower.compile import compile_model
from csb_format.random_models import random_frames
from engine.levels import run_levels
from engine.reference import IntegerModel
from hdl.core.core import Core
from sim.check.compare import compare
from sim.run.pysim import BlockPorts
from sim.run.scenario import Job, run_job
from tests.engine.learn.networks import network

MOST = 6
NETWORKS: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({}, (4, 4)),
    ({"value_bits": 16, "head": 3}, (8, 2)),
    ({"projection": 8, "layers": 2, "head": 9}, (8, 4)),
    ({"cell": "gru", "head": 2}, (6, 4)),
]


async def send(ctx: Any, core: Core, words: Sequence[int], rng: Any = None) -> None:
    """Words of packets; with a generator there are pauses between them."""
    for word in words:
        while rng and rng.random() < 0.2:
            ctx.set(core.load.valid, 0)
            await ctx.tick()
        ctx.set(core.load.payload, word)
        ctx.set(core.load.valid, 1)
        await ctx.tick()
    ctx.set(core.load.valid, 0)


async def carried_out(ctx: Any, core: Core) -> int:
    cycles = 0
    while not ctx.get(core.learning):
        await ctx.tick()
    while ctx.get(core.learning):
        await ctx.tick()
        cycles += 1
    return cycles


async def shown(ctx: Any, core: Core, at: LearningLayout, pe: int, word: int, lane: int) -> int:
    await send(ctx, core, word_packets(at, word) + read_packet(at.design, pe, lane))
    await carried_out(ctx, core)
    return int(ctx.get(core.learnt))


def drawn(rng: Any, at: LearningLayout, answers: int) -> tuple[Update, list[int]]:
    geometry, design = at.given.geometry, at.design
    fed = rng.integers(-(1 << (design.act_bits - 1)), 1 << (design.act_bits - 1), (answers, 16))
    gradients = rng.integers(-32767, 32768, (answers, geometry.rows))
    words = at.tape_packets(fed[:, : geometry.columns])
    words += at.gradient_packets(gradients, rng.integers(0, 1 << 24, geometry.rows))
    factor, start = int(rng.integers(1 << 14, 1 << 15)), int(rng.integers(1 << 32))
    return Update(at, int(rng.integers(-9, 9)), factor, start), words


@pytest.mark.quick(1)
@pytest.mark.parametrize(("more", "array"), NETWORKS, ids=str)
def test_weights_and_cycles_are_those_of_the_model(
    run: Any, more: dict[str, Any], array: tuple[int, int]
) -> None:
    model = network(**more)
    image = compile_model(model, training_design(model, *array, MOST), head=True)
    rng, memories = np.random.default_rng(2), Memories.of(image)
    core, design = Core(image.design, image), image.design

    async def bench(ctx: Any) -> None:
        nonlocal memories
        for answers in (MOST, 5):
            at = LearningLayout(image, answers)
            update, words = drawn(rng, at, answers)
            memories.write(design, words)
            await send(ctx, core, words, rng)
            await send(ctx, core, update.packet(), rng)
            assert await carried_out(ctx, core) == update_cycles(update)
            memories = updated(update, memories)
        base, words_of = at.given.instruction.matrix, at.given.words
        values = entries_of(memories.matrix[base : base + words_of], design)[..., 0]
        mask = (1 << design.value_bits) - 1
        for pe, word, lane in np.ndindex(design.pes, words_of, design.lanes):
            found = await shown(ctx, core, at, pe, word, lane)
            low = int(memories.masters[pe, word * design.lanes + lane])
            assert found == (int(values[word, pe, lane]) & mask) << 9 | low
        assert not ctx.get(core.fault)

    run(core, bench, limit=400_000)


def test_frames_run_before_and_after_on_the_weights_of_then(run: Any) -> None:
    model = network()
    image = compile_model(model, training_design(model, 4, 4, MOST), head=True)
    sequences = random_frames(np.random.default_rng(1), model, [2, 1])
    at = LearningLayout(image, MOST)
    core, rng, memories = Core(image.design), np.random.default_rng(4), Memories.of(image)
    update, words = drawn(rng, at, MOST)
    memories.write(image.design, words)
    base = at.given.instruction.matrix
    matrix = updated(update, memories).matrix[base : base + at.given.words]
    values = entries_of(matrix, image.design)[..., 0].swapaxes(1, 2)
    assert model.head is not None
    after = replace(model, head=replace(model.head, weight=tensor_of(at, values)))

    async def bench(ctx: Any) -> None:
        for now, load in ((model, True), (after, False)):
            stimulus = Stimulus.of(compile_model(now, image.design, head=True), sequences)
            job = Job.of(image, stimulus, load=load)
            outcome = await run_job(job, BlockPorts(core, ctx))
            found = compare(stimulus, outcome, run_levels(IntegerModel(now), sequences))
            assert found.mismatches == 0, found.first
            if load:
                await send(ctx, core, [*words, *update.packet()])
                await carried_out(ctx, core)
        await send(ctx, core, update.packet())
        await ctx.tick()
        await ctx.tick()
        assert ctx.get(core.learning)
        assert not ctx.get(core.load.ready)

    run(core, bench, limit=400_000)
