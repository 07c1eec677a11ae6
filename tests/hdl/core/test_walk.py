"""The walk over memories that nobody reads: no cycle of a step, exact in its own; what it tells."""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.array.design import Design
from compiler.lower.image import Image
from compiler.lower.load import WORD, Space
from compiler.lower.walk import WALKED, memory_name, walk_cycles, walk_words
from csb_format.scales import DesignError
from hdl.core.core import Core
from sim.run.pysim import BlockPorts
from sim.run.scenario import Job
from sim.run.streams import Pauses
from tests.hdl.core.guarded import NETWORKS, changed, load, made, run_exactly, small

GRU: tuple[dict[str, Any], dict[str, Any]] = ({"cell": "gru"}, {})
GUARDED = {"checked": True, "walk": True}


def test_the_check_is_that_of_all_words_in_the_order_of_the_walk() -> None:
    image, _ = made({"head": 3}, {"head": True}, **GUARDED)
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
@pytest.mark.parametrize(("more", "options"), [*NETWORKS, GRU], ids=str)
def test_states_and_cycles_are_those_without_it(
    run: Any, more: dict[str, Any], options: dict[str, Any]
) -> None:
    image, sequences = made(more, options, **GUARDED)
    plain, _ = made(more, options)
    core, seen = Core(image.design), list[int]()

    async def bench(ctx: Any) -> None:
        ports = BlockPorts(core, ctx)
        seen.extend(await run_exactly(ports, image, sequences))
        await walks_go_on(ports, 2 * period(image))

    run(core, bench)
    schedules = [Stimulus.of(one, sequences).schedule for one in (image, plain)]
    assert [seen] * 2 == [schedule.frame_done.tolist() for schedule in schedules]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", [{}, {"deep": True}], ids=str)
def test_states_are_right_and_walks_too_with_random_pauses(
    run: Any, options: dict[str, Any], seed: int
) -> None:
    image, sequences = made({"projection": 8, "layers": 2}, options, **GUARDED)
    core = Core(image.design)

    async def bench(ctx: Any) -> None:
        ports = BlockPorts(core, ctx)
        pauses = {"idle": Pauses(0.4, seed), "stall": Pauses(0.4, seed + 10)}
        await run_exactly(ports, image, sequences, **pauses)
        await walks_go_on(ports, period(image))

    run(core, bench)


async def walks_go_on(ports: BlockPorts, cycles: int) -> None:
    """While nothing runs, and they find what was loaded."""
    for _ in range(cycles):
        await ports.tick()
    assert (ports.get("fault"), ports.get("damage")) == (0, 0)
    assert ports.get("walks") >= 1


def period(image: Image) -> int:
    return walk_cycles(image.design, len(image.memories["matrix_000"]))


@pytest.mark.parametrize("options", [{}, {"deep": True}], ids=str)
def test_a_walk_takes_its_cycles(run: Any, options: dict[str, Any]) -> None:
    """While the program waits for a frame every cycle is the walk's; so too at an image's start."""
    image, job = small(walk=True, **options)
    cores = Core(image.design), Core(image.design, image)
    for core, words in zip(cores, (job.load, []), strict=True):
        ends: list[int] = []

        async def bench(ctx: Any, core: Core = core, words: Any = words, ends: Any = ends) -> None:
            ports, before = BlockPorts(core, ctx), 0
            await load(ports, words)
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


def test_what_parity_cannot_see_is_told_and_gone_with_the_next_load(run: Any) -> None:
    """Two bits of a word, and a word that no step uses: within two walks."""
    image, good = small(walk=True)
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
            assert await told(ports, changed(image, good, name, place, bits)) == wanted, name
            assert await told(ports, good) == 0

    async def told(ports: BlockPorts, job: Job) -> int:
        await load(ports, job.load)
        for _ in range(2 * period(image) + 10):
            await ports.tick()
        assert ports.get("fault") == int(ports.get("damage") != 0)
        return ports.get("damage")

    run(core, bench)


def test_it_is_of_a_checked_design() -> None:
    image, _ = made({}, {})
    fields = {name: getattr(image.design, name) for name in Design.__dataclass_fields__}
    with pytest.raises(DesignError, match=r"walk = True: .* take checked = True"):
        Design(**{**fields, "walk": True})
