"""Small designs that every block is tried on, and ways to drive a block cycle by cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.sim import Simulator

from compiler.array.design import Design
from compiler.array.program import Sink
from hdl.core.controller import Controller
from hdl.core.hierarchy import Hierarchy, Ram

PERIOD = 1e-6

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
OUTPUTS = ["frame_take", "frame_release", "frame_last", "frame_known", "frame_bases"]
OUTPUTS += ["address", "group"]
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
        watched = OUTPUTS + ["gates"] * self.design.collects
        seen = {name: ctx.get(getattr(self.controller, name)) for name in watched}
        starts = ctx.get(self.controller.starting) and seen["sink"] != Sink.PARK
        self.flying += seen["update"].beats * bool(starts) - now["home"]
        self.flying *= restart is None
        await ctx.tick()
        self.conditions.append(now)
        self.seen.append(seen)
        return seen


@pytest.fixture
def run() -> Run:
    """See :func:`run_benches`."""
    return run_benches


@pytest.fixture
def play() -> Play:
    """See :func:`play_cycles`."""
    return play_cycles


@pytest.fixture(scope="session")
def make_machine() -> type[Machine]:
    """See :class:`Machine`."""
    return Machine
