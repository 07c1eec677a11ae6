"""A streamed matrix between a memory and an array that takes groups, in any simulator."""

from __future__ import annotations

from typing import Any

from amaranth.sim import Simulator

from hdl.dram.matrix import MatrixImage, StreamedMatrix

from ..axi_memory import AxiMemory
from ..run.errors import Hang
from ..run.pysim import BlockPorts
from ..run.streams import Ports
from .stream_cycles import Pause, no_pause

__all__ = ["GroupTaker", "run_stream", "simulate_stream"]


class GroupTaker:
    """Takes groups as a program does: one a cycle, but for its pauses.

    Parameters
    ----------
    image : MatrixImage
        What must come, frame after frame.
    pause : callable
        Cycles before it is ready for a group, after it took the one before it.
    hold : callable
        Cycles for which a group is on offer to one that is ready before it takes it: those in
        which streams have it one after the other.
    """

    def __init__(self, image: MatrixImage, pause: Pause = no_pause, hold: Pause = no_pause):
        self.image, self.pause, self.hold = image, pause, hold
        self._held = 0  # cycles in which the next one was on offer
        self.cycles: list[int] = []
        self.wrong: list[int] = []
        self._next = pause(0)
        self._ready = False

    def step(self, ports: Ports, cycle: int) -> None:
        """Drive one cycle; call between edges, before ``tick``."""
        number = len(self.cycles)
        wanted = cycle >= self._next
        ready = wanted and self._held >= self.hold(number)
        self._held += wanted and not ready and ports.get("matrix__valid") == 1
        if ready != self._ready:
            self._ready = ready
            ports.set("matrix__ready", int(ready))
        if not ready or ports.get("matrix__valid") != 1:
            return
        if ports.get("matrix__payload") != self.image.payload(number % self.image.groups):
            self.wrong.append(number)
        self.cycles.append(cycle)
        self._next, self._held = cycle + 1 + self.pause(number + 1), 0


async def run_stream(
    ports: Ports, memory: AxiMemory, taker: GroupTaker, frames: int, limit: int = 1_000_000
) -> int:
    """Start, and run until the taker has all groups of some frames; cycles.

    Raises
    ------
    Hang
        If that takes more than ``limit`` cycles.
    """
    image = taker.image
    for name, value in (("base", memory.base), ("length", image.length), ("start", 1)):
        ports.set(name, value)
    ports.set("padding", image.padding)
    for cycle in range(limit):
        memory.step(ports, cycle)
        taker.step(ports, cycle)
        await ports.tick()
        ports.set("start", 0)
        if len(taker.cycles) == frames * image.groups:
            return cycle + 1
    raise Hang(
        f"{len(taker.cycles)} groups of {frames * image.groups} after {limit} "
        "cycles: the stream hangs, or the limit is too low"
    )


def simulate_stream(
    matrix: StreamedMatrix, memory: AxiMemory, taker: GroupTaker, frames: int
) -> None:
    """:func:`run_stream` on Amaranth's simulator."""

    async def bench(context: Any) -> None:
        await run_stream(BlockPorts(matrix, context), memory, taker, frames, 100_000)

    simulator = Simulator(matrix)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
