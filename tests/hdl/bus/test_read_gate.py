"""A master that is reset while a memory answers it keeps the rules, and gets its own beats."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from hdl.bus.read_gate import ReadGate
from hdl.read_port import ReadPort
from sim.axi_memory import AxiMemory, Lateness
from sim.run.pysim import BlockPorts

BEATS, OUTSTANDING = 64, 3
PORT = ReadPort(64, 13)


class Master:
    """Asks for bursts of one to four beats, and takes them, both with pauses; forgets all."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.wanted: list[int] = []  # first beats' numbers, then all that must come
        self.flying: list[int] = []  # beats left of each burst
        self.offer: tuple[int, int] | None = None
        self.taken = 0

    def forget(self) -> None:
        self.wanted, self.flying, self.offer = [], [], None

    def drive(self, ports: BlockPorts) -> None:
        if self.offer is None and len(self.flying) < OUTSTANDING and self.random.random() < 0.4:
            count = self.random.randint(1, 4)
            self.offer = self.random.randrange(BEATS - count), count
        first, count = self.offer or (0, 1)
        given = {"arvalid": int(self.offer is not None), "araddr": 8 * first, "arlen": count - 1}
        given |= {"arsize": 3, "arburst": 1, "rready": int(self.random.random() < 0.6)}
        for name, value in given.items():
            ports.set(f"master_{name}", value)
        self.ready = given["rready"]

    def look(self, ports: BlockPorts) -> None:
        """Late in the cycle: what goes over with its edge."""
        if self.ready and ports.get("master_rvalid"):
            assert ports.get("master_rdata") == self.wanted.pop(0)
            self.flying[0] -= 1
            assert ports.get("master_rlast") == (self.flying[0] == 0)
            self.flying = self.flying[self.flying[0] == 0 :]
            self.taken += 1
        if self.offer and ports.get("master_arready"):
            first, count = self.offer
            self.wanted += range(first, first + count)
            self.flying.append(count)
            self.offer = None


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(8))])
def test_a_master_that_forgets_gets_its_own_beats(seed: int) -> None:
    gate, master = ReadGate(PORT, OUTSTANDING), Master(seed)
    data = b"".join(n.to_bytes(8, "little") for n in range(BEATS))
    memory = AxiMemory(PORT, data, 0, Lateness((1, 12), waits=0.5, gaps=0.3, seed=seed))
    restarts = 0

    async def bench(ctx: Any) -> None:
        nonlocal restarts
        ports = BlockPorts(gate, ctx)
        for cycle in range(1500):
            restart = master.random.random() < 0.03
            restarts += restart
            ports.set("restart", int(restart))
            master.drive(ports)
            memory.step(ports, cycle)
            master.look(ports)
            if restart:
                master.forget()
            await ctx.tick()

    simulator = Simulator(gate)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert memory.traffic.violations == []
    assert len(memory.traffic.arrived) > master.taken > 100
    assert restarts > 20
