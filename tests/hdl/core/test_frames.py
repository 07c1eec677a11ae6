"""FrameLoader against a scoreboard: two buffers, back pressure, release, restart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design
from hdl.core.frames import FrameLoader

BEATS = 3


class Bench:
    """Random stimulus in every cycle, and a model of both buffers."""

    def __init__(self, design: Design, seed: int, frames: int, share: dict[str, float]):
        self.design, self.rng, self.share = design, np.random.default_rng(seed), share
        half = design.vector_depth // 2
        self.bases = (half, 0) if seed % 2 else (0, half)
        self.firsts = [int(self.rng.random() < 0.4) for _ in range(frames)]
        self.contexts = [int(self.rng.integers(design.contexts)) for _ in range(frames)]
        self.beat = self.taken = self.released = 0  # beats accepted, frames taken and released
        self.block = FrameLoader(design)
        self.data = self.rng.integers(
            -(1 << design.act_bits - 1), 1 << design.act_bits - 1, (frames * BEATS, design.lanes)
        ).tolist()

    @property
    def filled(self) -> int:
        return self.beat // BEATS

    def chance(self, event: str) -> bool:
        return bool(self.rng.random() < self.share[event])

    async def drive(self, ctx: Any) -> None:
        ctx.set(self.block.last, BEATS - 1)
        ctx.set(self.block.known, 1)
        ctx.set(self.block.bases, list(self.bases))
        while self.released < len(self.firsts):
            await self.cycle(ctx)

    async def cycle(self, ctx: Any) -> None:
        """One cycle: drive, compare all outputs with the model, step the model."""
        block, waiting = self.block, self.filled - self.taken
        valid = self.beat < len(self.data) and self.chance("valid")
        take, release = bool(waiting) and self.chance("take"), False
        if self.taken > self.released:
            release = self.chance("release")
        blocked = self.chance("blocked")
        for port, value in [(block.blocked, blocked), (block.take, take), (block.release, release)]:
            ctx.set(port, int(value))
        ctx.set(block.frames.valid, int(valid))
        if valid:
            frame = self.beat // BEATS
            marks = {"first": self.firsts[frame]}
            marks |= {"context": self.contexts[frame]} if self.design.contexts > 1 else {}
            ctx.set(block.frames.payload, {"data": self.data[self.beat], **marks})
        self.compare(ctx, valid, blocked)
        accepted = valid and bool(ctx.get(block.frames.ready))
        await ctx.tick()
        self.beat += accepted
        self.taken += take
        self.released += release

    def compare(self, ctx: Any, valid: bool, blocked: bool) -> None:
        block, waiting = self.block, self.filled - self.taken
        ready = self.filled - self.released < 2 and not blocked
        assert ctx.get(block.frames.ready) == ready
        assert ctx.get(block.ready) == (waiting > 0)
        if waiting:
            assert ctx.get(block.first) == self.firsts[self.taken]
            assert ctx.get(block.context) == self.contexts[self.taken]
            assert ctx.get(block.buffer) == self.taken % 2
        assert ctx.get(block.write_en) == (valid and ready)
        if valid and ready:
            frame, place = divmod(self.beat, BEATS)
            assert ctx.get(block.write_addr) == self.bases[frame % 2] | place
            assert list(ctx.get(block.write_data)) == self.data[self.beat]


SHARES = {
    "busy": {"valid": 1.0, "blocked": 0.0, "take": 1.0, "release": 1.0},
    "slow source": {"valid": 0.2, "blocked": 0.1, "take": 0.9, "release": 0.9},
    "slow passes": {"valid": 0.9, "blocked": 0.1, "take": 0.2, "release": 0.2},
    "blocked": {"valid": 0.9, "blocked": 0.8, "take": 0.8, "release": 0.8},
}


@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES)
@pytest.mark.parametrize("seed", [1, 2])
def test_two_buffers_alternate(
    run: Any, design: Design, seed: int, share: dict[str, float]
) -> None:
    bench = Bench(design, seed, 12, share)
    run(bench.block, bench.drive)
    assert bench.beat == 12 * BEATS


def test_a_third_frame_waits_for_the_first_release(run: Any, design: Design) -> None:
    bench = Bench(design, 4, 3, SHARES["busy"] | {"take": 0.0, "release": 0.0})

    async def drive(ctx: Any) -> None:
        ctx.set(bench.block.last, BEATS - 1)
        ctx.set(bench.block.known, 1)
        ctx.set(bench.block.bases, list(bench.bases))
        for _ in range(20):
            await bench.cycle(ctx)
        assert bench.beat == 2 * BEATS
        bench.share |= {"take": 1.0}
        await bench.cycle(ctx)
        bench.share |= {"take": 0.0}
        for _ in range(5):
            await bench.cycle(ctx)
        assert bench.beat == 2 * BEATS  # taken is not yet read
        bench.share |= {"release": 1.0}
        for _ in range(1 + BEATS):
            await bench.cycle(ctx)
        assert bench.beat == 3 * BEATS

    run(bench.block, drive)


def test_not_ready_before_the_program_has_set_it_up(run: Any, design: Design) -> None:
    block = FrameLoader(design)

    async def drive(ctx: Any) -> None:
        ctx.set(block.frames.valid, 1)
        for _ in range(5):
            assert not ctx.get(block.frames.ready)
            await ctx.tick()
        ctx.set(block.known, 1)
        assert ctx.get(block.frames.ready)

    run(block, drive)


@pytest.mark.parametrize("beats_before", range(0, 2 * BEATS + 1))
def test_restart_forgets_everything(run: Any, design: Design, beats_before: int) -> None:
    bench = Bench(design, 6, 9, SHARES["busy"] | {"take": 0.0, "release": 0.0})

    async def drive(ctx: Any) -> None:
        ctx.set(bench.block.last, BEATS - 1)
        ctx.set(bench.block.known, 1)
        ctx.set(bench.block.bases, list(bench.bases))
        for i in range(beats_before):
            bench.share |= {"take": float(i == BEATS + 1)}
            await bench.cycle(ctx)
        ctx.set(bench.block.take, 0)
        ctx.set(bench.block.frames.valid, 1)
        ctx.set(bench.block.restart, 1)
        assert not ctx.get(bench.block.frames.ready)  # a beat taken now would be forgotten
        await ctx.tick()
        ctx.set(bench.block.restart, 0)
        bench.beat = bench.taken = bench.released = 0
        bench.share = SHARES["slow passes"]
        await bench.drive(ctx)

    run(bench.block, drive)
    assert bench.released == 9
