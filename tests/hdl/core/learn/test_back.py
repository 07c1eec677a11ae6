"""A core whose recurrent layers learn: W^T d of N sequences, cycles, updates of all passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.wire import state_packing, sums_abreast
from compiler.array.widths import left_sum_bits, most_left
from compiler.learn.commands import Back, Update
from compiler.learn.design import training_design
from compiler.learn.layout import LearningLayout
from compiler.learn.memories import Memories, entries_of
from compiler.learn.model import updated
from compiler.learn.timing import update_cycles
from compiler.learn.transposed import back_cycles
from compiler.lower.compile import compile_model
from compiler.lower.learning.masters import learning_passes
from csb_format.scales import DesignError
from hdl.core.core import Core
from tests.engine.learn.networks import network
from tests.hdl.core.learn.test_learning import carried_out, send, shown

FRAMES = 12
SMALL = {"input_size": 8, "hidden_size": 8}
CASES: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({"k": (1, 1, 1), **SMALL}, (4, 4)),
    ({"value_bits": 16, "act_bits": 16, "banks": 8, "k": (1, 1, 1), **SMALL}, (4, 8)),
    ({"projection": 8, "layers": 2, "head": 9, **SMALL}, (8, 4)),
    ({"cell": "gru", "k": (1, 1, 1), **SMALL}, (8, 4)),
]


async def columns_left(ctx: Any, core: Core, rng: Any) -> tuple[list[list[int]], int]:
    """Results of beats until the learner is done, and the cycles it took."""
    bits, size, q = left_sum_bits(core.design), core.states, sums_abreast(core.design)
    found, cycles = list[list[int]](), 0
    while not ctx.get(core.learning):
        await ctx.tick()
    while ctx.get(core.learning):
        ready = rng is None or rng.random() < 0.5
        ctx.set(size.ready, ready)
        if ready and ctx.get(size.valid):
            beat = ctx.get(size.payload.bits)
            assert ctx.get(size.payload.result)
            fields = [beat >> n * bits & (1 << bits) - 1 for n in range(q)]
            found.append([v - (v >> bits - 1 << bits) for v in fields])
            last = ctx.get(size.payload.last)
        cycles += 1
        await ctx.tick()
    assert last
    return found, cycles


@pytest.mark.quick(1)
@pytest.mark.parametrize(("more", "array"), CASES, ids=str)
def test_sums_of_columns_and_cycles_are_those_of_the_model(
    run: Any, more: dict[str, Any], array: tuple[int, int]
) -> None:
    model = network(**more)
    wide = replace(training_design(model, *array, 6, FRAMES), max_align=23)
    image = compile_model(model, wide, head=True)
    core, design, rng = Core(image.design, image), image.design, np.random.default_rng(3)

    async def bench(ctx: Any) -> None:
        for given in learning_passes(image):
            at = LearningLayout(image, FRAMES, given, 8)
            dense = image.matrix(0, given).to_dense()
            top = (1 << design.value_bits - 1) - 1
            for stalls in (None, rng):
                d = rng.choice([-top, top, 0, 3, -1, 5], (design.lanes, given.geometry.rows))
                gates = given.placement.abreast
                most = most_left(design) + 1
                lefts = tuple(rng.integers(0, most, gates).tolist()) if gates > 1 else ()
                command, words = Back.of(at, lefts), at.back_packets(d)
                scaled = d << np.repeat(lefts or (0,), d.shape[1] // gates)
                if at.in_turn:  # gradients tell formats of rows beside the shift of their step
                    left = int(rng.integers(0, 17))
                    command = Back.of(at, (), at.chunk_at(1), left)
                    scaled, words = d << at.fracs.max() - at.fracs, at.chunk_packets(1, d, left)
                await send(ctx, core, [*words, *command.packets()], stalls)
                found, cycles = await columns_left(ctx, core, stalls)
                sums = np.array(found).reshape(command.columns, -1)[:, : design.lanes]
                assert (sums[: given.geometry.columns] == dense.T @ scaled.T).all()
                least = back_cycles(design, at.slots, at.groups, command.width)
                assert cycles == least if stalls is None else cycles >= least
        assert not ctx.get(core.fault)

    run(core, bench, limit=400_000)


@pytest.mark.quick(1)
@pytest.mark.parametrize(("more", "array"), CASES, ids=str)
def test_all_matrices_move_as_the_model_says(
    run: Any, more: dict[str, Any], array: tuple[int, int]
) -> None:
    model = network(**more)
    image = compile_model(model, training_design(model, *array, 6, FRAMES), head=True)
    core, design, rng = Core(image.design, image), image.design, np.random.default_rng(2)
    memories = Memories.of(image)

    async def bench(ctx: Any) -> None:
        nonlocal memories
        for given in learning_passes(image):
            at = LearningLayout(image, FRAMES, given, 8)
            columns, rows = given.geometry.columns, given.geometry.rows
            top = 1 << design.act_bits - 1
            fed = rng.integers(-top, top, (FRAMES, columns))
            lefts = rng.integers(0, 17, at.chunks)
            words = at.tape_packets(fed)
            gradients = rng.integers(-127, 128, (FRAMES, rows))
            words += at.gradient_packets(gradients, rng.integers(0, 1 << 24, rows), lefts)
            memories.write(design, words)
            await send(ctx, core, words)
            gates = given.placement.abreast
            shifts = tuple(rng.integers(0, 8, gates).tolist()) if gates > 1 else ()
            update = Update(at, int(rng.integers(2, 12)), 1 << 14 | 77, 12345, shifts)
            await send(ctx, core, update.packet())
            assert await carried_out(ctx, core) == update_cycles(update)
            memories = updated(update, memories)
            base = given.instruction.matrix
            values = entries_of(memories.matrix[base : base + given.words], design)[..., 0]
            mask = (1 << design.value_bits) - 1
            word = int(rng.integers(given.words))
            for pe, lane in np.ndindex(design.pes, design.lanes):
                found = await shown(ctx, core, at, pe, word, lane)
                low = int(memories.masters[pe, at.masters + word * design.lanes + lane])
                assert found == (int(values[word, pe, lane]) & mask) << 9 | low
        assert not ctx.get(core.fault)

    run(core, bench, limit=400_000)


def test_designs_that_cannot_are_refused() -> None:
    with pytest.raises(DesignError, match="the recurrent layers of a GRU with linear_before_res"):
        training_design(network(cell="gru0"), 4, 4, 6, FRAMES)
    with pytest.raises(DesignError, match="act_bits = 8: weights of 16 bits take the place"):
        training_design(network(value_bits=16), 8, 4, 6, FRAMES)
    assert state_packing(training_design(network(), 4, 4, 6, FRAMES), 32).beats
