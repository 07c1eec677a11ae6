"""An array takes the words of a streamed matrix at the pace that is told of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.groups import MatrixImage
from csb_format.random_models import random_frames, random_network
from hdl.core.core import Core
from hdl.dram.reader import ReadBus
from sim.dram.pace import batch_cycles, pace_of
from sim.dram.stream_cycles import steady_cycles, stream_cycles
from sim.run.pysim import BlockPorts
from sim.run.scenario import Job, run_job


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "options", [{"contexts": 3, "batched": True}, {}], ids=["three streams", "one stream"]
)
def test_words_are_taken_as_told(run: Any, options: dict[str, Any]) -> None:
    """With lanes and projectors that take four beats and two a row."""
    rng = np.random.default_rng(1)
    model = random_network(rng, 6, 8, 2, (1, 2, 1), projection=8)
    design = design_for(model, 16, 2, 1, projectors=8, streamed=True, **options)
    image = compile_model(model, design)
    streams = design.contexts
    stimulus = Stimulus.of(image, random_frames(rng, model, [5] * streams), contexts=streams)
    core, taken = Core(design, image), list[int]()

    class Ports(BlockPorts):
        cycle = 0

        async def tick(self) -> None:
            if self.get("matrix__ready"):
                taken.append(self.cycle)
            self.cycle += 1
            await super().tick()

    async def bench(context: Any) -> None:
        await run_job(Job.of(image, stimulus), Ports(core, context))

    run(core, bench)
    pace = pace_of(image)
    assert len(pace.holds) == len(image.part_words())
    every = len(pace.holds)
    steady = np.diff(taken[3 * every - 1 : 4 * every])
    assert steady.tolist() == [w + h + 1 for w, h in zip(pace.waits, pace.holds, strict=True)]
    assert steady.sum() == pace.cycles == batch_cycles(image)


def test_frames_in_the_long_run_are_those_that_are_followed_beat_by_beat() -> None:
    """Of arrays that are slower than the bus, or faster, evenly and in pieces of a frame."""
    rng = np.random.default_rng(0)
    bus, slower = ReadBus(64, burst_beats=8, fifo_beats=64), 0
    for _ in range(8):
        width, groups = int(rng.integers(8, 400)), int(rng.integers(20, 120))
        beats = -(-groups * width // 64)
        image = MatrixImage(bytes(8 * beats), groups, width, 64)
        most = int(rng.integers(1, 2 + beats // groups))
        waits = rng.integers(0, most + 1, groups) * (rng.random(groups) < rng.random() / 2)
        waits[rng.integers(groups)] += beats // 3
        holds = rng.integers(0, 2, groups)
        pause, hold = (lambda n, of=of: int(of[n % len(of)]) for of in (waits, holds))
        taken = stream_cycles(bus, image, 20, pause=pause, hold=hold).taken
        found = steady_cycles(image, waits.tolist(), holds.tolist())
        assert found == taken[-1] - taken[-1 - groups]
        slower += found > max(beats, int(waits.sum() + holds.sum()) + groups)
    assert slower  # than bus and array alone
