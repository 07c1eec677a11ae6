"""A screen unit between a memory with its planes, a source of states and a taker, anywhere."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from amaranth.sim import Simulator

from compiler.array.design import bits_for
from compiler.array.screen.bus import ScreenBus
from compiler.array.screen.design import ScreenDesign
from compiler.lower.screen import ScreenImage, plane_bytes
from csb_format.fixed import IntArray
from hdl.core.screen.fetched.unit import FetchedScreen
from hdl.core.screen.unit import COUNTERS
from hdl.dram.reader import ReadBus

from ..axi_memory import AxiMemory, Lateness
from ..run.errors import Hang
from ..run.pysim import BlockPorts
from ..run.streams import Ports

__all__ = ["ADDRESS_BITS", "ScreenRun", "run_screen", "screen_memory", "simulate_screen"]

ADDRESS_BITS = 32


@dataclass
class ScreenRun:
    """What a unit did with some states.

    Parameters
    ----------
    pairs : list of list of (int, int)
        Of each state, outputs and their logits, in the order in which they left.
    counts : list of dict
        Its counters.
    cycles : list of int
        From the last beat of a state to its last result.
    errors : int
        Bits of the bus after the last state.
    beats : int
        That came over it, for all states.
    violations : list of str
        Rules of AXI4 that the unit broke.
    """

    pairs: list[list[tuple[int, int]]] = field(default_factory=list)
    counts: list[dict[str, int]] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)
    errors: int = 0
    beats: int = 0
    violations: list[str] = field(default_factory=list)


def screen_memory(
    image: ScreenImage, bus: ScreenBus, base: int = 0, lateness: Lateness | None = None
) -> AxiMemory:
    """A memory with an image's planes; as late as ``bus`` says if nothing else is said."""
    late = lateness or Lateness((bus.latency, bus.latency))
    return AxiMemory(ReadBus(bus.bits, ADDRESS_BITS), plane_bytes(image, bus.bits), base, late)


class _Ends:
    """The source of states and the taker of results; each pauses in a share of all cycles."""

    def __init__(self, design: ScreenDesign, states: IntArray, pauses: float):
        self.done, self._design = ScreenRun(), design
        self._beats = [beat for state in states.tolist() for beat in _packed(design, state)]
        self._each = len(self._beats) // len(states)
        self._sent, self._taken = 0, 0
        self._ends: list[int] = []
        self._pairs: list[tuple[int, int]] = []
        self._random, self._pauses = random.Random(5), pauses
        self._offers = False

    def step(self, ports: Ports, cycle: int) -> None:
        """Drive one cycle; call between edges, before ``tick``."""
        self._source(ports, cycle)
        self._sink(ports, cycle)

    def _source(self, ports: Ports, cycle: int) -> None:
        left = self._sent < len(self._beats)
        self._offers = left and (self._offers or self._random.random() >= self._pauses)
        ports.set("hidden__valid", int(self._offers))
        if not self._offers:
            return
        ports.set("hidden__payload", self._beats[self._sent])
        if ports.get("hidden__ready") == 1:
            self._sent, self._offers = self._sent + 1, False
            if self._sent % self._each == 0:
                self._ends.append(cycle)

    def _sink(self, ports: Ports, cycle: int) -> None:
        takes = self._random.random() >= self._pauses
        ports.set("largest__ready", int(takes))
        if not takes or ports.get("largest__valid") != 1:
            return
        design = self._design
        word = ports.get("largest__payload")
        index, word = word & ((1 << design.row_bits) - 1), word >> design.row_bits
        logit, last = word & ((1 << design.logit_bits) - 1), word >> design.logit_bits
        self._pairs.append((index, logit - (logit >> design.logit_bits - 1 << design.logit_bits)))
        if last:
            counts, done = ports.get("counts"), self.done
            each = enumerate(COUNTERS)
            done.counts.append({name: counts >> 32 * n & 0xFFFFFFFF for n, name in each})
            done.pairs.append(self._pairs)
            done.cycles.append(cycle - self._ends[len(done.cycles)])
            self._pairs = []


def _packed(design: ScreenDesign, state: list[int]) -> list[int]:
    """Beats of a state; behind the last column lies noise."""
    mask = (1 << design.act_bits) - 1
    noise = [0x5A5A & mask] * (design.beats * design.elements - len(state))
    values = [value & mask for value in state] + noise
    return [
        sum(value << n * design.act_bits for n, value in enumerate(values[at:][: design.elements]))
        for at in range(0, len(values), design.elements)
    ]


async def run_screen(
    ports: Ports,
    memory: AxiMemory,
    design: ScreenDesign,
    blocks: Sequence[int],
    states: IntArray,
    pauses: float = 0.0,
    limit: int = 1_000_000,
) -> ScreenRun:
    """Fill the memory of blocks, and run until the results of all states (T, H) have left.

    Raises
    ------
    Hang
        If that takes more than ``limit`` cycles.
    """
    ends = _Ends(design, states, pauses)
    ports.set("base", memory.base)
    for word, value in enumerate(blocks):  # en, address, word
        ports.set("write", 1 | word << 1 | value << (1 + bits_for(design.blocks)))
        await ports.tick()
    ports.set("write", 0)
    for cycle in range(limit):
        memory.step(ports, cycle)
        ends.step(ports, cycle)
        await ports.tick()
        if len(ends.done.cycles) == len(states):
            done, traffic = ends.done, memory.traffic
            done.errors, done.beats = ports.get("errors"), len(traffic.arrived)
            done.violations = traffic.violations
            return done
    raise Hang(
        f"{len(ends.done.cycles)} states of {len(states)} after {limit} cycles: the unit hangs, or "
        "the limit is too low"
    )


def simulate_screen(
    image: ScreenImage,
    bus: ScreenBus,
    memory: AxiMemory,
    states: IntArray,
    pauses: float = 0.0,
    limit: int = 100_000,
) -> ScreenRun:
    """:func:`run_screen` on Amaranth's simulator."""
    unit = FetchedScreen(image.design, bus, address_bits=ADDRESS_BITS)
    blocks, found = image.memories["blocks"], list[ScreenRun]()

    async def bench(context: Any) -> None:
        ports = BlockPorts(unit, context)
        found.append(await run_screen(ports, memory, image.design, blocks, states, pauses, limit))

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return found[0]
