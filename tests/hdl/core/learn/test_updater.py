"""The updater against its model: random words, sums, shifts and rates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.array.design import DICE_BITS, Design
from compiler.array.widths import LOW_BITS, MASTER_BITS
from compiler.learn.commands import FACTOR_BITS
from compiler.learn.design import training_design
from compiler.learn.model import placed, placed_bits
from compiler.lower.learning.masters import low_bits, master_of
from csb_format.fixed import round_shift, saturate
from csb_format.words import join_fields, split_fields
from hdl.core.learn.updater import Updater
from tests.engine.learn.networks import network


def designs() -> list[Design]:
    narrow = training_design(network(), 4, 4, 8)
    wide = training_design(network(value_bits=16, act_bits=16), 4, 2, 4)
    return [narrow, wide, replace(narrow, value_bits=11)]


async def pulse(ctx: Any, block: Updater, **steps: int) -> None:
    for name, value in steps.items():
        ctx.set(getattr(block.steps, name), value)
    await ctx.tick()
    for name in steps:
        ctx.set(getattr(block.steps, name), 0)


@pytest.mark.parametrize("design", designs(), ids=lambda d: f"{d.value_bits} bits")
def test_weights_move_as_the_model_says(run: Any, design: Design) -> None:
    rng, block, n = np.random.default_rng(design.value_bits), Updater(design), design.lanes
    bits, top = design.value_bits + MASTER_BITS, 1 << (design.value_bits + MASTER_BITS - 1)
    widths = [design.value_bits, design.index_bits] * n

    async def bench(ctx: Any) -> None:
        for _ in range(6):
            edges = np.array([-top, top - 1, top - 129, 127, -128])
            masters = np.where(
                rng.random(n) < 0.5, rng.choice(edges, n), rng.integers(-top, top, n)
            )
            weights = saturate(round_shift(masters, MASTER_BITS), design.value_bits)
            indices = rng.integers(0, 1 << design.index_bits, n)
            word = join_fields(np.stack([weights, indices], axis=-1).reshape(1, -1), widths)[0]
            half = 1 << (design.acc_bits - 1)
            sums = rng.integers(-half, half, n) >> rng.integers(0, design.acc_bits, n)
            row, columns = int(rng.integers(1 << DICE_BITS)), rng.integers(0, 1 << DICE_BITS, n)
            factor, place = int(rng.integers(1 << 14, 1 << 15)), int(rng.integers(-38, 40))
            ctx.set(block.word.as_value(), row)
            await pulse(ctx, block, dice=1)
            ctx.set(block.word.as_value(), int(word))
            ctx.set(block.lane, 0)
            await pulse(ctx, block, take=1)
            rolled = row ^ columns
            down = placed(sums, place, placed_bits(design))
            wanted = block.model(masters, down, factor, rolled, bits)
            for lane in range(n):
                assert ctx.get(block.index) == indices[lane]
                assert ctx.get(block.value) == weights[lane]
                ctx.set(block.lane, (lane + 1) % n)
                await pulse(ctx, block, take=1)
                ctx.set(block.sum, int(sums[lane]))
                ctx.set(block.low, int(low_bits(masters)[lane]))
                ctx.set(block.column, int(columns[lane]))
                await pulse(ctx, block, load=1)
                for _ in range(abs(place)):
                    await pulse(ctx, block, left=int(place < 0), right=int(place >= 0))
                for bit in range(FACTOR_BITS):
                    await pulse(ctx, block, multiply=1, bit=factor >> bit & 1)
                await pulse(ctx, block, move=1)
                assert ctx.get(block.new_low) == wanted[lane] & ((1 << LOW_BITS) - 1)
                await pulse(ctx, block, keep=1)
            found = split_fields([ctx.get(block.kept.as_value())], widths)[0]
            moved = saturate(round_shift(wanted, MASTER_BITS), design.value_bits)
            assert (found[::2] == moved).all()
            assert (master_of(found[::2], low_bits(wanted)) == wanted).all()

    run(block, bench, limit=60_000)
