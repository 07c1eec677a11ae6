"""Small designs that every block is tried on, and ways to drive a block cycle by cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import pytest
from amaranth.hdl import Elaboratable
from amaranth.sim import Simulator

from csb_format.design import Design

# M, N, E, row groups; matrix, vector, slots, cells, output depth; index, value, act bits
DESIGNS = [
    Design(4, 1, 1, 5, 10, 16, 2, 7, 9, 4, 4, 6, program_depth=8),
    Design(8, 2, 1, 6, 24, 32, 4, 8, 16, 4, 8, 8, program_depth=8),
    Design(8, 2, 2, 3, 9, 8, 3, 5, 5, 2, 12, 12, program_depth=8),
    Design(16, 4, 2, 4, 12, 24, 3, 6, 12, 3, 16, 16, program_depth=8),
    Design(16, 8, 4, 7, 14, 16, 2, 3, 7, 2, 18, 18, program_depth=8),
    Design(16, 1, 1, 9, 30, 32, 3, 12, 12, 1, 16, 6, program_depth=8),
    Design(4, 8, 1, 2, 8, 8, 4, 8, 8, 1, 4, 16, program_depth=8),
]

PERIOD = 1e-6

Run = Callable[..., None]
Play = Callable[..., list[tuple[Any, ...]]]


def pytest_configure(config: pytest.Config) -> None:
    """Blocks whose constructor refuses are never elaborated, which Amaranth warns of."""
    config.addinivalue_line("filterwarnings", "ignore::amaranth.hdl.UnusedElaboratable")


def run_benches(block: Elaboratable, *benches: Any, limit: int = 20_000) -> None:
    """Simulate until every bench has returned; fail after ``limit`` cycles."""

    async def watchdog(ctx: Any) -> None:
        await ctx.delay(limit * PERIOD)
        pytest.fail(f"a bench has not ended after {limit} cycles")

    simulator = Simulator(block)
    simulator.add_clock(PERIOD)
    for bench in benches:
        simulator.add_testbench(bench)
    simulator.add_testbench(watchdog, background=True)
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


@pytest.fixture(params=DESIGNS, ids=lambda d: f"M{d.pes}-N{d.lanes}-E{d.units}-a{d.act_bits}")
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
