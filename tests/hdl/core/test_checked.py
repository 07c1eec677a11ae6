"""A checked design: the same states in the same cycles, and every changed bit is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.parity import check_word, evened, odd
from csb_format.random_models import random_frames, random_network
from csb_format.scales import DesignError
from engine.levels import run_levels
from engine.reference import IntegerModel
from hdl.core.core import Core
from sim.check.compare import compare
from sim.run.pysim import BlockPorts
from sim.run.scenario import Job, run_job

RUNS = 150  # cycles in which two frames leave
SETTLED = 4  # cycles from the last word of a load to its start
NETWORKS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"projection": 8, "layers": 2}, {"contexts": 2}),
    ({"head": 3}, {"deep": True, "head": True}),
    ({}, {"by_gate": True}),
    ({}, {"pieces": 3}),
]


def made(more: dict[str, Any], options: dict[str, Any], checked: bool = True) -> Any:
    rng = np.random.default_rng(3)
    model = random_network(rng, 12, 16, 4, (1, 1, 1), **more)
    head = options.get("head", False)
    image = compile_model(model, design_for(model, 4, 4, checked=checked, **options), head=head)
    return image, random_frames(rng, model, [3, 2])


def test_parity_is_what_it_says() -> None:
    assert evened([0, 1, 0b110, 0b111], 3) == [0, 0b1001, 0b0110, 0b1111]
    assert [odd(word) for word in (0, 1, 3, 1 << 200)] == [0, 1, 0, 1]
    assert check_word([5, 3, 1 << 31]) == 6 | 1 << 31


@pytest.mark.quick(2)
@pytest.mark.parametrize(("more", "options"), NETWORKS, ids=str)
def test_states_and_cycles_are_those_of_an_unchecked_design(
    run: Any, more: dict[str, Any], options: dict[str, Any]
) -> None:
    image, sequences = made(more, options)
    stimulus = Stimulus.of(image, sequences)
    plain, _ = made(more, options, checked=False)
    core, job = Core(image.design), Job.of(image, stimulus, load=True)
    seen: list[int] = []

    async def bench(ctx: Any) -> None:
        ports = BlockPorts(core, ctx)
        outcome = await run_job(job, ports)
        found = compare(stimulus, outcome, run_levels(IntegerModel(image.model), sequences))
        assert found.mismatches == 0, found.first
        seen.extend(outcome.frame_cycles(image))
        assert (ports.get("fault"), ports.get("damage")) == (0, 0)

    run(core, bench)
    wanted = Stimulus.of(plain, sequences).schedule
    assert seen == stimulus.schedule.frame_done.tolist() == wanted.frame_done.tolist()


def test_a_changed_bit_is_told_and_gone_with_the_next_load(run: Any) -> None:
    """In memories, with the check word of the packet made good; in frames and in packets."""
    rng = np.random.default_rng(0)
    model = random_network(rng, 4, 4, 2, (1, 1, 1))
    image = compile_model(model, design_for(model, 4, 2, checked=True))
    good = Job.of(image, Stimulus.of(image, random_frames(rng, model, [2])), load=True)
    core, at, jobs = Core(image.design), 0, list[tuple[str, Job]]()
    for name, contents in image.memories.items():
        width = image.width(name)
        chunks = -(-width // 32)
        end = at + 2 + chunks * len(contents)
        if name in ("matrix_000", "bias_000", "program"):
            place, bit = divmod(int(rng.integers(width)), 32)
            load = list(good.load)
            for changed in (at + 2 + place, end):
                load[changed] ^= 1 << bit
            jobs.append(("memory", replace(good, load=load)))
        at = end + 1
    load = list(good.load)
    load[2] ^= 1 << int(rng.integers(32))
    jobs.append(("packet", replace(good, load=load)))
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
    for word in job.load:
        ports.set("load__payload", word)
        ports.set("load__valid", 1)
        await ports.tick()
    ports.set("load__valid", 0)
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
    image, _ = made({}, {}, checked=False)
    fields = {name: getattr(image.design, name) for name in Design.__dataclass_fields__}
    with pytest.raises(DesignError, match=rf"checked = True: a {other} design keeps no parity"):
        Design(**{**fields, other: True, "checked": True})
