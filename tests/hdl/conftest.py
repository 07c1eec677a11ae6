"""Small designs that every block is tried on, and ways to drive a block cycle by cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.sim import Simulator

from csb_format import Design, Model
from hdl.compiler import Image, compile_model
from hdl.controller import Controller
from hdl.hierarchy import Hierarchy, Ram
from hdl.program import Instruction, Place, Sink
from sim.random_models import random_network

# M, N, E, row groups; matrix, vector, slots, cells, output depth; index, value, act bits
DESIGNS = [
    Design(4, 1, 1, 5, 10, 16, 2, 7, 9, 4, 4, 6, program_depth=8),
    Design(8, 2, 1, 6, 24, 32, 4, 8, 16, 4, 8, 8, program_depth=8, projectors=1, linear=5),
    Design(8, 2, 2, 3, 9, 8, 3, 5, 5, 2, 12, 12, program_depth=8, contexts=3, deep=True),
    Design(16, 4, 2, 4, 12, 24, 3, 6, 12, 3, 16, 16, program_depth=8, projectors=8, contexts=2),
    Design(
        16, 8, 4, 7, 14, 16, 2, 3, 7, 2, 18, 18, program_depth=8, projectors=2, fan_in=2, deep=True
    ),
    Design(
        16, 1, 1, 9, 30, 32, 3, 12, 12, 1, 16, 6, program_depth=8, projectors=4, linear=9, deep=True
    ),
    Design(4, 8, 1, 2, 8, 8, 4, 8, 8, 1, 4, 16, program_depth=8, projectors=4, fan_in=8),
]
DESIGNS[4:6] = [replace(design, deep=True) for design in DESIGNS[4:6]]
# vector banks and states in blocks
DESIGNS.append(replace(DESIGNS[2], vector_depth=140, cells=33, act_bits=10))

PERIOD = 1e-6

Pick = Callable[[int, int], int]  # a whole number between two, both included
Run = Callable[..., None]
Play = Callable[..., list[tuple[Any, ...]]]


def pytest_configure(config: pytest.Config) -> None:
    """Blocks whose constructor refuses are never elaborated, which Amaranth warns of."""
    config.addinivalue_line("filterwarnings", "ignore::amaranth.hdl.UnusedElaboratable")


def run_benches(
    block: Elaboratable, *benches: Any, limit: int = 20_000, background: Sequence[Any] = ()
) -> None:
    """Simulate until every bench but those in the background has returned.

    Fails after ``limit`` cycles.
    """

    async def watchdog(ctx: Any) -> None:
        await ctx.delay(limit * PERIOD)
        pytest.fail(f"a bench has not ended after {limit} cycles")

    simulator = Simulator(block)
    simulator.add_clock(PERIOD)
    for bench in benches:
        simulator.add_testbench(bench)
    for bench in (watchdog, *background):
        simulator.add_testbench(bench, background=True)
    simulator.run()


def play_cycles(
    block: Any, cycles: Sequence[Mapping[str, Any]], watch: Sequence[str], extra: int = 0
) -> list[tuple[Any, ...]]:
    """Drive input ports by name, a mapping a cycle (0 where it says nothing), and watch others.

    Entry ``t`` of the result holds the watched ports at the end of cycle ``t``; ``extra``
    cycles follow in which every input is 0.
    """
    driven = {name: attrgetter(name)(block) for cycle in cycles for name in cycle}
    seen: list[tuple[Any, ...]] = []

    async def bench(ctx: Any) -> None:
        for cycle in [*cycles, *[{}] * extra]:
            for name, port in driven.items():
                ctx.set(port, cycle.get(name, _zero(port)))
            _, _, *values = await ctx.tick().sample(*[getattr(block, name) for name in watch])
            seen.append(tuple(values))

    run_benches(block, bench, limit=len(cycles) + extra + 2)
    return seen


def _zero(port: Any) -> Any:
    shape = port.shape()
    return shape.from_bits(0) if hasattr(shape, "from_bits") else 0


INPUTS = ["frame_ready", "frame_first", "frame_context", "frame_buffer", "word_ready", "home"]
INPUTS += ["room", "restart", "restart_pc"]
OUTPUTS = ["frame_take", "frame_release", "frame_beats", "frame_bases", "address", "group"]
OUTPUTS += ["aligns", "slot_first", "sink", "update", "promise", "halted", "fault", "waits"]
OUTPUTS += ["word_take"]


class Machine(Elaboratable):
    """A controller, its program, and random events around it."""

    def __init__(self, design: Design, words: list[int], share: dict[str, float] | None = None):
        self.design, self.rng = design, np.random.default_rng(0)
        self.share = {"frame_ready": 1.0, "room": 1.0, "home": 1.0, "word_ready": 1.0}
        self.share |= share or {}
        self.controller = Controller(design)
        width = self.controller.instruction.shape().size
        self.program = Ram(width, design.program_depth, hierarchy=Hierarchy(), init=words)
        self.conditions: list[dict[str, int]] = []
        self.seen: list[dict[str, Any]] = []
        self.flying = 0

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.controller = controller = self.controller
        m.submodules.program = program = self.program
        m.d.comb += [
            program.read_addr.eq(controller.pc),
            controller.instruction.eq(program.read_data),
        ]
        return m

    def draw(self, restart: int | None) -> dict[str, int]:
        now = {name: int(self.rng.random() < share) for name, share in self.share.items()}
        most = self.design.output_depth
        now["room"] = most if now["room"] else int(self.rng.integers(most))
        now["home"] = int(self.flying > 0 and now["home"])
        now |= {"restart": int(restart is not None), "restart_pc": restart or 0}
        now |= {name: int(self.rng.integers(2)) for name in ("frame_first", "frame_buffer")}
        return now | {"frame_context": int(self.rng.integers(self.design.contexts))}

    async def cycle(self, ctx: Any, restart: int | None = None, **fixed: int) -> dict[str, Any]:
        """One cycle under random conditions, except for the ``fixed`` ones."""
        now = self.draw(restart) | fixed
        for name in INPUTS:
            ctx.set(getattr(self.controller, name), now[name])
        seen = {name: ctx.get(getattr(self.controller, name)) for name in OUTPUTS}
        group, parks = seen["group"], seen["sink"] == Sink.PARK
        starts = group.valid and group.first and seen["slot_first"] and not parks
        self.flying += seen["update"].beats * bool(starts) - now["home"]
        self.flying *= restart is None
        await ctx.tick()
        self.conditions.append(now)
        self.seen.append(seen)
        return seen


def role_of(image: Image, number: int, now: Instruction) -> tuple[str, int]:
    """Which matrix a pass of a program multiplies, of which of its layers: by what it reads."""
    part = image.parts[number]
    regions, shapes = part.needs.regions(number), part.needs.programs[number]
    if now.source_kind == Place.FRAME:
        return "ih", now.source // regions.part
    if now.source_kind == Place.FIXED:
        hidden = [at if s.hr else -1 for s, at in zip(shapes, regions.hidden, strict=True)]
        return "hr", hidden.index(now.source)
    layer = regions.states.index(now.source)
    if now.source_kind == Place.OLD:
        return "hh", layer
    return ("head", layer) if now.sink == Sink.PROJECT else ("ih", layer + 1)


@dataclass(frozen=True)
class Network:
    """A random network and the smallest random array that runs it."""

    model: Model
    image: Image
    contexts: int


def draw_network(pick: Pick, **fixed: Any) -> Network:
    """Layers, directions, projection, head, contexts, widths and array, all as ``pick`` says."""
    layers = fixed.get("layers") or pick(1, 3)
    directions = fixed.get("directions") or (pick(0, 3) == 0) + 1
    lanes = 1 << pick(0, 3)
    given, hidden = lanes + pick(0, 9), lanes + pick(0, 9)
    projection = lanes + pick(0, 7) if fixed.get("projection", pick(0, 2) == 0) else 0
    output = projection or hidden
    columns = (min(given, directions * output), output, hidden)
    times = [pick(1, size // lanes) for size in columns]
    if layers > 1 and directions == 1:  # layers read what others write: the same banks
        times[0] = times[1] = min(times[:2])
    model = random_network(
        np.random.default_rng(pick(0, 9999)),
        given,
        hidden,
        (lanes * times[0], lanes * times[1], lanes * times[2]),
        (pick(0, 4), pick(0, 4), pick(0, 4)),
        layers,
        directions,
        projection,
        pick(4, 18),
        pick(6, 18),
        head=pick(1, 9) if directions == 1 and pick(0, 1) else None,
    )
    return _on_array(model, lanes, pick, fixed)


def _on_array(model: Model, lanes: int, pick: Pick, fixed: dict[str, Any]) -> Network:
    """With an array and lanes of random size."""
    pes, contexts = 4 * pick(1, 8), pick(1, 3)
    units = [n for n in range(1, lanes + 1) if lanes % n == 0 and pes // 4 % n == 0]
    projectors = [n for n in range(1, lanes + 1) if lanes % n == 0 and pes % n == 0]
    projectors += [n * lanes for n in (2, 4, 8) if pes % (n * lanes) == 0]
    chosen: dict[str, Any] = {"head": model.head is not None, "contexts": contexts}
    if pick(0, 1):
        chosen["units"] = units[pick(0, len(units) - 1)]
    if pick(0, 1) and (model.head or model.layers[0].projection):
        chosen["projectors"] = projectors[pick(0, len(projectors) - 1)]
    streamed = fixed.get("streamed", False)
    options = {"fan_in": pick(2, 6), "streamed": streamed, "deep": bool(pick(0, 1))}
    design = Design.for_model(model, pes, lanes, **chosen, **options)
    return Network(model, compile_model(model, design, head=chosen["head"]), contexts)


@pytest.fixture(
    params=DESIGNS, ids=lambda d: f"M{d.pes}-N{d.lanes}-E{d.units}-Q{d.projectors}-a{d.act_bits}"
)
def design(request: pytest.FixtureRequest) -> Design:
    """Each of the small designs."""
    chosen: Design = request.param
    return chosen


@pytest.fixture
def run() -> Run:
    """See :func:`run_benches`."""
    return run_benches


@pytest.fixture
def play() -> Play:
    """See :func:`play_cycles`."""
    return play_cycles


@pytest.fixture(scope="session")
def draw() -> Callable[..., Network]:
    """See :func:`draw_network`."""
    return draw_network


@pytest.fixture(scope="session")
def seeded() -> Callable[..., tuple[Network, Pick]]:
    """A network by a seed, and what goes on drawing."""

    def drawn(seed: int, **fixed: Any) -> tuple[Network, Pick]:
        rng = np.random.default_rng(seed)

        def pick(low: int, high: int) -> int:
            return int(rng.integers(low, high + 1))

        return draw_network(pick, **fixed), pick

    return drawn


@pytest.fixture(scope="session")
def make_machine() -> type[Machine]:
    """See :class:`Machine`."""
    return Machine


@pytest.fixture(scope="session")
def role() -> Callable[..., tuple[str, int]]:
    """See :func:`role_of`."""
    return role_of
