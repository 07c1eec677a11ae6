"""Streams of a design that trains: load packets by the word, beats as long as each kind needs."""

from __future__ import annotations

import random
from typing import Any

import pytest

from compiler.abi.registers import LOAD_MAGIC, PACKET
from compiler.abi.wire import state_packing, sum_packing
from compiler.learn.design import training_design
from hdl.bus.axi_stream import FrameInput, StateOutput
from hdl.core.layouts import output_layout
from tests.engine.learn.networks import network

DESIGN = training_design(network(), 4, 4, 6, 12)
BITS = 32


async def offer(ctx: Any, dut: FrameInput, words: list[int], rng: random.Random) -> None:
    """A packet with pauses."""
    for n, word in enumerate(words):
        while rng.random() < 0.3:
            ctx.set(dut.axis.tvalid, 0)
            await ctx.tick()
        ctx.set(dut.axis.tdata, word)
        ctx.set(dut.axis.tlast, n == len(words) - 1)
        ctx.set(dut.axis.tvalid, 1)
        await ctx.tick().until(dut.axis.tready)
    ctx.set(dut.axis.tvalid, 0)


@pytest.mark.parametrize("cut", [0, 3])
def test_words_go_to_the_loader_while_it_is_quiet(run: Any, cut: int) -> None:
    dut, rng = FrameInput(DESIGN, BITS), random.Random(5)
    head = PACKET.encode(magic=LOAD_MAGIC)
    sent = [[rng.getrandbits(BITS) for _ in range(n)] for n in (5, 1, 7)]
    got, quiet = list[int](), random.Random(6)

    async def source(ctx: Any) -> None:
        ctx.set(dut.open, 1)
        if cut:  # a reset in the middle of a packet whose source was reset as well
            ctx.set(dut.quiet, 1)
            await offer(ctx, dut, [head, 1, 2], rng)
            ctx.set(dut.axis.tlast, 0)
            for name in ("reset", "new_source"):
                ctx.set(getattr(dut, name), 1)
            await ctx.tick()
            for name in ("reset", "new_source"):
                ctx.set(getattr(dut, name), 0)
            got.clear()
        for words in sent:
            await offer(ctx, dut, [head, *words], rng)
            await ctx.tick()
            assert not ctx.get(dut.loading)
        await offer(ctx, dut, [head], rng)  # of no words
        assert not ctx.get(dut.busy)

    async def memories(ctx: Any) -> None:
        watched = dut.load, dut.word, dut.quiet, dut.loading, dut.busy
        while True:
            ctx.set(dut.quiet, quiet.random() < 0.5)
            _, _, load, word, free, loading, busy = await ctx.tick().sample(*watched)
            assert load <= (free and loading)
            assert not busy
            if load:
                got.append(word)

    run(dut, source, background=[memories])
    assert got == [word for words in sent for word in words]


def test_each_kind_takes_its_own_beats(run: Any) -> None:
    dut, rng = StateOutput(DESIGN, BITS), random.Random(7)
    packings = [
        *(state_packing(DESIGN, BITS, results=given) for given in (False, True)),
        sum_packing(DESIGN, BITS),
    ]
    kinds = [rng.randrange(3) for _ in range(40)]
    bits = [rng.getrandbits(output_layout(DESIGN)["bits"].width) for _ in kinds]
    wanted = [
        word for kind, value in zip(kinds, bits, strict=True) for word in packings[kind].pack(value)
    ]
    got = list[int]()

    async def source(ctx: Any) -> None:
        for kind, value in zip(kinds, bits, strict=True):
            ctx.set(dut.states.payload.bits, value)
            ctx.set(dut.states.payload.result, kind > 0)
            ctx.set(dut.sums, kind == 2)
            ctx.set(dut.states.valid, 1)
            await ctx.tick().until(dut.states.ready)
        ctx.set(dut.states.valid, 0)

    async def sink(ctx: Any) -> None:
        while len(got) < len(wanted):
            ctx.set(dut.axis.tready, rng.random() < 0.7)
            watched = dut.axis.tvalid, dut.axis.tready, dut.axis.tdata
            _, _, valid, ready, word = await ctx.tick().sample(*watched)
            if valid and ready:
                got.append(word)

    run(dut, source, sink)
    assert got == wanted
    assert len({packing.beats for packing in packings}) > 1
