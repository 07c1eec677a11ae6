"""The walk over memories that nobody reads: no cycle of a step, exact in its own; what it tells."""

from __future__ import annotations

import zlib
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.load import WORD, Space
from compiler.lower.parity import check_word
from compiler.lower.walk import WALKED, memory_name, walk_cycles, walk_words
from csb_format.random_models import random_frames, random_network
from csb_format.scales import DesignError
from engine.levels import run_levels
from engine.reference import IntegerModel
from hdl.core.core import Core
from sim.check.compare import compare
from sim.run.pysim import BlockPorts
from sim.run.scenario import Job, run_job
from sim.run.streams import Pauses

NETWORKS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"projection": 8, "layers": 2}, {"contexts": 2}),
    ({"head": 3}, {"deep": True, "head": True}),
    ({}, {"by_gate": True}),
    ({}, {"pieces": 3}),
    ({"cell": "gru"}, {}),
]


def made(more: dict[str, Any], options: dict[str, Any], walk: bool = True) -> Any:
    rng = np.random.default_rng(3)
    model = random_network(rng, 12, 16, 4, (1, 1, 1), **more)
    head = options.get("head", False)
    design = design_for(model, 4, 4, checked=walk, walk=walk, **options)
    return compile_model(model, design, head=head), random_frames(rng, model, [3, 2])


def small(**options: Any) -> tuple[Image, Job]:
    rng = np.random.default_rng(0)
    model = random_network(rng, 4, 4, 2, (1, 1, 1))
    image = compile_model(model, design_for(model, 4, 2, checked=True, walk=True, **options))
    return image, Job.of(image, Stimulus.of(image, random_frames(rng, model, [2])), load=True)


def test_the_check_is_that_of_all_words_in_the_order_of_the_walk() -> None:
    image, _ = made({"head": 3}, {"head": True})
    rows = len(image.memories["matrix_000"])
    data = (rows - 1).to_bytes(4, "little")
    for space in WALKED:
        names = [name for name in image.memories if name.startswith(space.name.lower())]
        for address in range(len(image.memories[names[0]])):
            for name in sorted(names):
                word, size = image.memories[name][address], -(-image.width(name) // WORD)
                data += word.to_bytes(4 * size, "little")
    assert image.memories[memory_name(Space.WALK, 0)] == [rows - 1, zlib.crc32(data)]
    held = {name: words for name, words in image.memories.items() if name != "walk_000"}
    held["bias_000"] = [held["bias_000"][0] ^ 0b11, *held["bias_000"][1:]]
    assert walk_words(held, image.design) != image.memories["walk_000"]


@pytest.mark.quick(1)
@pytest.mark.parametrize(("more", "options"), NETWORKS, ids=str)
def test_states_and_cycles_are_those_without_it(
    run: Any, more: dict[str, Any], options: dict[str, Any]
) -> None:
    image, sequences = made(more, options)
    plain, _ = made(more, options, walk=False)
    core, seen = Core(image.design), list[int]()
    stimulus = Stimulus.of(image, sequences)
    job = Job.of(image, stimulus, load=True)

    async def bench(ctx: Any) -> None:
        ports = BlockPorts(core, ctx)
        outcome = await run_job(job, ports)
        found = compare(stimulus, outcome, run_levels(IntegerModel(image.model), sequences))
        assert found.mismatches == 0, found.first
        seen.extend(outcome.frame_cycles(image))
        for _ in range(2 * period(image)):
            await ports.tick()
        assert (ports.get("fault"), ports.get("damage")) == (0, 0)
        assert ports.get("walks") >= 1

    run(core, bench)
    wanted = Stimulus.of(plain, sequences).schedule
    assert seen == stimulus.schedule.frame_done.tolist() == wanted.frame_done.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", [{}, {"deep": True}], ids=str)
def test_states_are_right_and_walks_too_with_random_pauses(
    run: Any, options: dict[str, Any], seed: int
) -> None:
    image, sequences = made({"projection": 8, "layers": 2}, options)
    core, stimulus = Core(image.design), Stimulus.of(image, sequences)
    idle, stall = Pauses(0.4, seed), Pauses(0.4, seed + 10)
    job = Job.of(image, stimulus, load=True, idle=idle, stall=stall)

    async def bench(ctx: Any) -> None:
        ports = BlockPorts(core, ctx)
        outcome = await run_job(job, ports)
        found = compare(stimulus, outcome, run_levels(IntegerModel(image.model), sequences))
        assert found.mismatches == 0, found.first
        for _ in range(period(image)):
            await ports.tick()
        assert (ports.get("fault"), ports.get("damage")) == (0, 0)
        assert ports.get("walks") >= 1

    run(core, bench)


def period(image: Image) -> int:
    return walk_cycles(image.design, len(image.memories["matrix_000"]))


@pytest.mark.parametrize("options", [{}, {"deep": True}], ids=str)
def test_a_walk_takes_its_cycles(run: Any, options: dict[str, Any]) -> None:
    """While the program waits for a frame every cycle is the walk's; so too at an image's start."""
    image, job = small(**options)
    cores = Core(image.design), Core(image.design, image)
    for core, load in zip(cores, (job.load, []), strict=True):
        ends: list[int] = []

        async def bench(ctx: Any, core: Core = core, load: Any = load, ends: Any = ends) -> None:
            ports, before = BlockPorts(core, ctx), 0
            await loaded(ports, load)
            for cycle in range(5 * period(image)):
                now = ports.get("walks")
                if now != before:
                    before = now
                    ends.append(cycle)
                await ports.tick()
            assert (ports.get("fault"), ports.get("damage")) == (0, 0)

        run(core, bench)
        assert len(ends) >= 2
        assert {b - a for a, b in pairwise(ends)} == {period(image)}


async def loaded(ports: BlockPorts, words: Any) -> None:
    for word in words:
        ports.set("load__payload", int(word))
        ports.set("load__valid", 1)
        await ports.tick()
    ports.set("load__valid", 0)


def changed(image: Image, name: str, place: int, bits: list[int]) -> Job:
    """A job that loads a word with some bits changed, the check of the packet made good."""
    job = small()[1]
    at, load = 0, list(job.load)
    for memory, contents in image.memories.items():
        chunks = -(-image.width(memory) // WORD)
        end = at + 2 + chunks * len(contents)
        if memory == name:
            for bit in bits:
                load[at + 2 + place * chunks + bit // WORD] ^= 1 << bit % WORD
            load[end] = check_word(load[at:end])
        at = end + 1
    return replace(job, load=load)


def test_what_parity_cannot_see_is_told_and_gone_with_the_next_load(run: Any) -> None:
    """Two bits of a word, and a word that no step uses: within two walks."""
    image, good = small()
    unused = len(image.memories["program"]) - 1
    last = len(image.memories["matrix_000"]) - 1
    rng = np.random.default_rng(1)
    # the walk's reads of the program meet its parity too, as every word that comes is looked at
    places = [("program", unused, 1, 0b1001), ("program", 1, 2, 0b1000)]
    places += [("bias_000", 0, 2, 0b1000), ("matrix_003", last, 2, 0b1000)]
    places += [("walk_000", 0, 1, 0b1000), ("walk_000", 1, 1, 0b1000)]
    core = Core(image.design)

    async def bench(ctx: Any) -> None:
        ports = BlockPorts(core, ctx)
        for name, place, count, wanted in places:
            bits = rng.choice(image.width(name), count, replace=False).tolist()
            assert await told(ports, changed(image, name, place, bits)) == wanted, name
            assert await told(ports, good) == 0

    async def told(ports: BlockPorts, job: Job) -> int:
        await loaded(ports, job.load)
        for _ in range(2 * period(image) + 10):
            await ports.tick()
        assert ports.get("fault") == int(ports.get("damage") != 0)
        return ports.get("damage")

    run(core, bench)


def test_it_is_of_a_checked_design() -> None:
    image, _ = made({}, {}, walk=False)
    fields = {name: getattr(image.design, name) for name in Design.__dataclass_fields__}
    with pytest.raises(DesignError, match=r"walk = True: .* take checked = True"):
        Design(**{**fields, "walk": True})
