"""A checked design: the same states in the same cycles, and every changed bit is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.array.design import Design
from compiler.lower.parity import check_word, evened, odd
from csb_format.scales import DesignError
from hdl.core.core import Core
from sim.run.pysim import BlockPorts
from sim.run.scenario import Job
from tests.hdl.core.guarded import NETWORKS, changed, load, made, run_exactly, small

RUNS = 150  # cycles in which two frames leave
SETTLED = 4  # cycles from the last word of a load to its start


def test_parity_is_what_it_says() -> None:
    assert evened([0, 1, 0b110, 0b111], 3) == [0, 0b1001, 0b0110, 0b1111]
    assert [odd(word) for word in (0, 1, 3, 1 << 200)] == [0, 1, 0, 1]
    assert check_word([5, 3, 1 << 31]) == 6 | 1 << 31


@pytest.mark.quick(2)
@pytest.mark.parametrize(("more", "options"), NETWORKS, ids=str)
def test_states_and_cycles_are_those_of_an_unchecked_design(
    run: Any, more: dict[str, Any], options: dict[str, Any]
) -> None:
    image, sequences = made(more, options, checked=True)
    plain, _ = made(more, options)
    core, seen = Core(image.design), list[int]()

    async def bench(ctx: Any) -> None:
        ports = BlockPorts(core, ctx)
        seen.extend(await run_exactly(ports, image, sequences))
        assert (ports.get("fault"), ports.get("damage")) == (0, 0)

    run(core, bench)
    schedules = [Stimulus.of(one, sequences).schedule for one in (image, plain)]
    assert [seen] * 2 == [schedule.frame_done.tolist() for schedule in schedules]


def test_a_changed_bit_is_told_and_gone_with_the_next_load(run: Any) -> None:
    """In memories, with the check word of the packet made good; in frames and in packets."""
    rng = np.random.default_rng(0)
    image, good = small()
    core, jobs = Core(image.design), list[tuple[str, Job]]()
    for name in ("matrix_000", "bias_000", "program"):
        bit = int(rng.integers(image.width(name)))
        jobs.append(("memory", changed(image, good, name, 0, [bit])))
    words = list(good.load)
    words[2] ^= 1 << int(rng.integers(32))
    jobs.append(("packet", replace(good, load=words)))
    frames = list(good.frames)
    frames[-1] ^= 1 << int(rng.integers(2 * 16 + 3))
    jobs.append(("frame", replace(good, frames=frames)))

    async def bench(ctx: Any) -> None:
        ports = BlockPorts(core, ctx)
        for what, job in jobs:
            assert (await damage_of(ports, job))[what] == 1
            assert await damage_of(ports, good) == {"memory": 0, "frame": 0, "packet": 0}

    run(core, bench)


async def damage_of(ports: BlockPorts, job: Job) -> dict[str, int]:
    """Load and run for a while; what was told."""
    await load(ports, job.load)
    ports.set("states__ready", 1)
    for _ in range(SETTLED):
        await ports.tick()
    sent = told = 0
    for _ in range(RUNS):
        offered = sent < len(job.frames)
        ports.set("frames__valid", int(offered))
        if offered:
            ports.set("frames__payload", job.frames[sent])
        taken = offered and ports.get("frames__ready")
        told |= ports.get("damage")
        await ports.tick()
        sent += bool(taken)
    ports.set("frames__valid", 0)
    return {name: told >> n & 1 for n, name in enumerate(("memory", "frame", "packet"))}


@pytest.mark.parametrize("other", ["streamed", "compact"])
def test_designs_that_keep_no_parity(other: str) -> None:
    image, _ = made({}, {})
    fields = {name: getattr(image.design, name) for name in Design.__dataclass_fields__}
    with pytest.raises(DesignError, match=rf"checked = True: a {other} design keeps no parity"):
        Design(**{**fields, other: True, "checked": True})
