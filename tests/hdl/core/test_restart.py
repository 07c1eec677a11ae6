"""A start ends what is under way, and nothing runs before the first one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.load import Space, packet
from csb_format.model import Model
from csb_format.random_models import random_frames, random_model
from engine.reference import IntegerModel
from hdl.core.core import Core
from hdl.verilog import emit_verilog
from sim.run.free_running import restart_at
from sim.run.pysim import BlockPorts
from sim.run.scenario import Job, run_job

OPTIONS = {"plain": {}, "deep": {"deep": True}, "compact": {"compact": True}}


def built(**options: Any) -> tuple[Model, Image, list[Any]]:
    model = random_model(np.random.default_rng(1), 6, 8, 4, 1, 1)
    image = compile_model(model, design_for(model, 4, 4, 1, **options))
    return model, image, random_frames(np.random.default_rng(2), model, [3])


def wanted(model: Model, frames: list[Any]) -> Any:
    return np.concatenate([trace.hidden for trace in IntegerModel(model).run(frames)])


class Breaking(BlockPorts):
    """Sends one word on ``load`` in a cycle that is counted from the end of loading."""

    def __init__(self, core: Core, ctx: Any, at: int, word: int):
        super().__init__(core, ctx)
        self._left, self._word, self.sent = at, word, False

    async def settle(self) -> None:
        pass

    async def tick(self) -> None:
        if self.get("load__valid") == 0 and not self.sent:
            self._left -= 1
            if self._left == 0:
                self.set("load__payload", self._word)
                self.set("load__valid", 1)
                await super().tick()
                self.set("load__valid", 0)
                self.sent = True
                raise StopAsyncIteration
        await super().tick()


@pytest.mark.quick(5)
@pytest.mark.parametrize("options", list(OPTIONS.values()), ids=list(OPTIONS))
@pytest.mark.parametrize("at", [2, 12, 31, 40, 57])
def test_a_start_in_the_middle_of_a_job_leaves_nothing_behind(
    run: Any, options: dict[str, Any], at: int
) -> None:
    """Sums, beats on their way and promised room must not meet the next job."""
    model, image, frames = built(**options)
    core = Core(image.design)
    found: list[Any] = []

    async def bench(ctx: Any) -> None:
        ports = Breaking(core, ctx, at, image.start_words()[0])
        with pytest.raises(StopAsyncIteration):
            await run_job(replace(Job.of(image, frames, load=True), limit=2000), ports)
        for name in ("frames__valid", "states__ready"):
            ports.set(name, 0)
        job = replace(Job.of(image, frames), limit=2000)
        found.append((await run_job(job, ports)).states(image)[0])

    run(core, bench)
    np.testing.assert_array_equal(found[0], wanted(model, frames))


SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_memory_holds_before_the_first_start_is_never_run(run: Any, seed: int) -> None:
    model, image, frames = built(deep=bool(seed % 2))
    rng = np.random.default_rng(seed)
    depth, width = image.design.program_depth, image.width("program")
    noise = [int.from_bytes(rng.bytes(width)) & ((1 << width) - 1) for _ in range(depth)]
    core = Core(image.design)
    found: list[Any] = []

    async def bench(ctx: Any) -> None:
        ports = BlockPorts(core, ctx)
        noisy = packet(image.design, Space.PROGRAM, 0, 0, noise, "program")
        for payload in noisy:
            ports.set("load__payload", payload)
            ports.set("load__valid", 1)
            await ports.tick()
        ports.set("load__valid", 0)
        for _ in range(60):
            assert (ctx.get(core.halted), ctx.get(core.fault)) == (1, 0)
            await ports.tick()
        job = replace(Job.of(image, frames, load=True), limit=2000)
        found.append((await run_job(job, ports)).states(image)[0])
        assert not ctx.get(core.halted)

    run(core, bench)
    np.testing.assert_array_equal(found[0], wanted(model, frames))


@pytest.mark.slow
@pytest.mark.parametrize("options", list(OPTIONS.values()), ids=list(OPTIONS))
def test_a_start_at_every_cycle(tmp_path: Path, options: dict[str, Any]) -> None:
    _, image, frames = built(**options)
    files = emit_verilog(image.design, tmp_path / "verilog")
    job = replace(Job.of(image, frames, load=True), limit=2000)
    for reload in (False, True):
        found = restart_at(files, job, range(1, 301), tmp_path, reload=reload)
        assert found == ["right"] * 300
