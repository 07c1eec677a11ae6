"""Gearbox and BeatFifo on their own: bits in order, at full rate, and nothing after a clear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.core.hierarchy import Hierarchy
from hdl.dram.beat_fifo import BeatFifo
from hdl.dram.gearbox import Gearbox, Ratio

Beat = tuple[int, int]


def beats_of(data_bits: int, groups: list[int], group_bits: int) -> tuple[list[Beat], int]:
    """Beats of an image, and the padding at its end."""
    bits = sum(group << i * group_bits for i, group in enumerate(groups))
    count = -(-len(groups) * group_bits // data_bits)
    mask = (1 << data_bits) - 1
    beats = [(bits >> i * data_bits & mask, int(i == count - 1)) for i in range(count)]
    return beats, count * data_bits - len(groups) * group_bits


def marked(groups: list[int], bits: int) -> list[int]:
    """Groups of an image as they come out: the first has a bit above it."""
    return [groups[0] | 1 << bits, *groups[1:]]


class Player:
    """Offers beats and takes what comes, each with pauses from a seed."""

    def __init__(self, stream_in: Any, stream_out: Any, seed: int, shares: tuple[float, float]):
        self.source, self.sink, self.shares = stream_in, stream_out, shares
        self.rng = np.random.default_rng(seed)
        self.out: list[Any] = []
        self.cycles: list[int] = []

    async def play(self, ctx: Any, beats: list[Beat], count: int, limit: int = 3000) -> None:
        """Until all beats are in and ``count`` payloads out."""
        sent = 0
        for cycle in range(limit):
            offer = sent < len(beats) and self.rng.random() >= self.shares[0]
            take = self.rng.random() >= self.shares[1]
            ctx.set(self.source.valid, int(offer))
            ctx.set(self.sink.ready, int(take))
            if offer:
                data, last = beats[sent]
                ctx.set(self.source.payload, {"data": data, "last": last})
            if take and ctx.get(self.sink.valid):
                self.out.append(ctx.get(self.sink.payload))
                self.cycles.append(cycle)
            sent += bool(offer and ctx.get(self.source.ready))
            await ctx.tick()
            if sent == len(beats) and len(self.out) == count:
                break
        ctx.set(self.source.valid, 0)
        ctx.set(self.sink.ready, 0)


def random_groups(seed: int, count: int, bits: int) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int.from_bytes(rng.bytes(-(-bits // 8))) & ((1 << bits) - 1) for _ in range(count)]


@settings(max_examples=25)
@given(
    bits=st.one_of(st.integers(1, 90), st.sampled_from([16, 32, 64, 128, 192, 512])),
    data_bits=st.sampled_from([8, 16, 64]),
    count=st.integers(1, 12),
    frames=st.integers(1, 4),
    shares=st.tuples(st.sampled_from([0.0, 0.5]), st.sampled_from([0.0, 0.7])),
    seed=st.integers(0, 99),
)
def test_groups_are_the_bits_of_the_beats(
    bits: int,
    data_bits: int,
    count: int,
    frames: int,
    shares: tuple[float, float],
    seed: int,
) -> None:
    groups = random_groups(seed, count, bits)
    beats, padding = beats_of(data_bits, groups, bits)
    block = Gearbox(bits, data_bits, 4)
    player = Player(block.beats, block.groups, seed, shares)

    async def bench(ctx: Any) -> None:
        ctx.set(block.padding, padding)
        await player.play(ctx, beats * frames, len(groups) * frames)

    run_block(block, bench)
    assert [group.as_bits() for group in player.out] == marked(groups, bits) * frames


def run_block(block: Any, bench: Any) -> None:
    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(("bits", "data_bits"), [(24, 64), (64, 64), (72, 64), (120, 64), (200, 8)])
def test_the_narrower_side_is_never_idle(run: Any, bits: int, data_bits: int) -> None:
    groups = random_groups(1, 16, bits)  # a whole number of beats
    beats, padding = beats_of(data_bits, groups, bits)
    assert padding == 0
    block = Gearbox(bits, data_bits, 4)
    player = Player(block.beats, block.groups, 1, (0.0, 0.0))

    async def bench(ctx: Any) -> None:
        await player.play(ctx, beats * 3, 48)

    run(block, bench)
    assert [group.as_bits() for group in player.out] == marked(groups, bits) * 3
    first, last = player.cycles[0], player.cycles[-1]
    assert first == -(-bits // data_bits) - 1 + Gearbox.latency
    assert last == (len(beats) * 3 if bits >= data_bits else first + 47)


@pytest.mark.parametrize("before", [1, 2, 5, 9])
def test_a_clear_forgets_everything(run: Any, before: int) -> None:
    groups = random_groups(2, 9, 44)
    beats, padding = beats_of(16, groups, 44)
    block = Gearbox(44, 16, 4)
    player = Player(block.beats, block.groups, 3, (0.0, 0.5))

    async def bench(ctx: Any) -> None:
        ctx.set(block.padding, padding)
        await player.play(ctx, beats[:before], 0)
        ctx.set(block.clear, 1)
        ctx.set(block.beats.valid, 1)
        assert not ctx.get(block.beats.ready)
        assert not ctx.get(block.groups.valid)
        await ctx.tick()
        ctx.set(block.clear, 0)
        player.out.clear()
        await player.play(ctx, beats, 9)

    run(block, bench)
    assert [group.as_bits() for group in player.out] == marked(groups, 44)


@pytest.mark.parametrize(
    ("bits", "data_bits", "wanted"),
    [
        (21504, 512, (512, 42, 1, 1, 42)),
        (2688, 512, (128, 21, 4, 1, 21)),
        (20, 512, (4, 5, 128, 26, 130)),
        (64, 64, (64, 1, 1, 1, 1)),
    ],
)
def test_pieces(bits: int, data_bits: int, wanted: tuple[int, ...]) -> None:
    r = Ratio(bits, data_bits)
    assert (r.piece, r.group, r.word, r.groups_a_row, r.row) == wanted


class Writer:
    """Writes whenever it knows of a free place."""

    def __init__(self, block: BeatFifo, depth: int, seed: int, shares: tuple[float, float]):
        self.block, self.depth, self.shares = block, depth, shares
        self.rng = np.random.default_rng(seed)
        self.written: list[tuple[int, int]] = []  # cycle, word
        self.read: list[tuple[int, int]] = []

    async def cycle(self, ctx: Any, cycle: int) -> None:
        block = self.block
        write = len(self.written) - len(self.read) < self.depth
        write &= bool(self.rng.random() >= self.shares[0])
        take = self.rng.random() >= self.shares[1]
        word = int(self.rng.integers(1 << 9))
        ctx.set(block.write_en, int(write))
        ctx.set(block.write_data, {"data": word & 255, "last": word >> 8})
        ctx.set(block.beats.ready, int(take))
        if take and ctx.get(block.beats.valid):
            beat = ctx.get(block.beats.payload)
            self.read.append((cycle, beat.data | beat.last << 8))
        if write:
            self.written.append((cycle, word))
        await ctx.tick()


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)])
@pytest.mark.parametrize("depth", [2, 8, 16])
def test_beat_fifo_keeps_order_and_latency(
    run: Any, depth: int, shares: tuple[float, float]
) -> None:
    block = BeatFifo(8, depth, Hierarchy())
    writer = Writer(block, depth, depth, shares)

    async def bench(ctx: Any) -> None:
        for cycle in range(300):
            await writer.cycle(ctx, cycle)
        ctx.set(block.write_en, 0)
        ctx.set(block.clear, 1)
        await ctx.tick()
        ctx.set(block.clear, 0)
        for _ in range(6):
            await ctx.tick()
            assert not ctx.get(block.beats.valid)

    run(block, bench)
    words = [word for _, word in writer.read]
    assert words == [word for _, word in writer.written][: len(words)]
    waited = [r - w for (r, _), (w, _) in zip(writer.read, writer.written, strict=False)]
    assert min(waited) == waited[0] == BeatFifo.latency or shares[1]
    if depth > BeatFifo.latency and shares == (0.0, 0.0):
        assert len(words) == 300 - BeatFifo.latency
