"""A script on the accelerator's buses inside a Verilog simulator; cocotb imports this there."""

from __future__ import annotations

import json
import logging
import os
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, SimTimeoutError, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiRamRead,
    AxiReadBus,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from compiler.array.screen.design import PLANES_PORTS

from ..axi_memory import AxiMemory, Lateness
from ..run.cocotb_bench import _Ports
from ..run.streams import Pauses
from .axi import AxiScript, Memory, read_script

PERIOD_NS = 10
# source-driven signals that must hold from valid until ready
CHANNELS = {
    "s_axi_b": ("bvalid", "bready", ("bresp",)),
    "s_axi_r": ("rvalid", "rready", ("rresp", "rdata")),
    "m_axis": ("tvalid", "tready", ("tdata", "tlast")),
}


@dataclass
class Masters:
    """What drives the accelerator."""

    dut: Any
    lite: AxiLiteMaster
    source: AxiStreamSource
    sink: AxiStreamSink
    limit: int
    watch: Watch

    @classmethod
    def on(cls, dut: Any, script: AxiScript) -> Masters:
        """Masters with pauses on every channel."""
        reset = (dut.aclk, dut.aresetn, False)
        lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), *reset)
        # a beat is one "byte" of cocotbext-axi: no byte lanes can be left out
        source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), *reset, byte_lanes=1)
        sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), *reset, byte_lanes=1)
        write, read = lite.write_if, lite.read_if
        ends = [write.aw_channel, write.w_channel, write.b_channel]
        ends += [read.ar_channel, read.r_channel, source, sink]
        if script.pauses.share:
            for i, end in enumerate(ends):
                end.set_pause_generator(_pauses(script.pauses, i))
        if script.memory:
            answer(dut, script.memory, reset, script.pauses)
        if script.planes:
            late(dut, script.planes, PLANES_PORTS)
        return cls(dut, lite, source, sink, script.limit, Watch(dut))

    async def write(self, step: dict[str, Any]) -> int:
        """The response code."""
        data = step["data"].to_bytes(4, "little")[: step["size"]]
        return int((await self.lite.write(step["address"], data)).resp)

    async def writes(self, step: dict[str, Any]) -> list[int]:
        """Response codes, without those that occur again."""
        words = [word.to_bytes(4, "little") for word in step["words"]]
        events = [self.lite.init_write(step["address"], word) for word in words]
        for event in events:
            await event.wait()
        return sorted({int(event.data.resp) for event in events})

    async def drain(self, step: dict[str, Any]) -> list[list[int]]:
        """What is there already."""
        return [list(self.sink.recv_nowait().tdata) for _ in range(self.sink.count())]

    async def read(self, step: dict[str, Any]) -> list[int]:
        """The response code and the word."""
        reply = await self.lite.read(step["address"], 4)
        return [int(reply.resp), int.from_bytes(reply.data, "little")]

    async def wait(self, step: dict[str, Any]) -> None:
        """Poll a register."""
        while (await self.read(step))[1] & step["mask"] != step["value"]:
            pass

    async def wait_irq(self, step: dict[str, Any]) -> None:
        """Wait for the interrupt's level."""
        while not int(self.dut.irq.value):
            await RisingEdge(self.dut.aclk)

    async def send(self, step: dict[str, Any]) -> None:
        """Queue a packet."""
        self.source.send_nowait(AxiStreamFrame(step["beats"]))

    async def sent(self, step: dict[str, Any]) -> None:
        """Until the source has nothing more."""
        await self.source.wait()

    async def receive(self, step: dict[str, Any]) -> list[list[int]]:
        """Whole packets, in beats."""
        return [list((await self.sink.recv()).tdata) for _ in range(step["packets"])]

    async def cycle(self, step: dict[str, Any]) -> int:
        """Clock edges so far."""
        return self.watch.cycles

    async def idle(self, step: dict[str, Any]) -> None:
        """Pass cycles."""
        for _ in range(step["cycles"]):
            await RisingEdge(self.dut.aclk)

    async def run(self, step: dict[str, Any]) -> Any:
        """One step, within the limit of cycles."""
        action: Callable[..., Any] = getattr(self, step["kind"])
        return await with_timeout(action(step), self.limit * PERIOD_NS, "ns")


def _pauses(pauses: Pauses, channel: int) -> Iterator[bool]:
    """An endless sequence of pauses, another one for each channel."""
    pausing = Pauses(pauses.share, random.Random(f"{pauses.seed}.{channel}").getrandbits(32))
    generator = pausing.generator()
    while True:
        yield generator.now()


def answer(dut: Any, memory: Memory, reset: tuple[Any, ...], pauses: Pauses) -> None:
    """Let a memory answer the accelerator's reads."""
    if memory.bus:
        late(dut, memory)
        return
    size = 1 << (memory.base + len(memory.data)).bit_length()
    ram = AxiRamRead(AxiReadBus.from_prefix(dut, "m_axi"), *reset, size=size)
    ram.write(memory.base, memory.data)
    if pauses.share:
        for number, channel in enumerate((ram.ar_channel, ram.r_channel)):
            channel.set_pause_generator(_pauses(pauses, 10 + number))


def late(dut: Any, memory: Memory, name: str = "m_axi") -> None:
    """Let a memory of known latency answer, behind ports of this prefix."""
    assert memory.bus
    getattr(dut, f"{name}_rid").value = 0  # the one that masters of ours have
    made = AxiMemory(memory.bus, memory.data, memory.base, Lateness(memory.latency), name=name)
    cocotb.start_soon(_late(dut, made))


async def _late(dut: Any, memory: AxiMemory) -> None:
    """Step a memory between clock edges; stop where a rule is broken."""
    ports, cycle = _Ports(dut, "aclk"), 0
    while True:
        await FallingEdge(dut.aclk)
        memory.step(ports, cycle)
        cycle += 1
        assert not memory.traffic.violations, memory.traffic.violations


class Watch:
    """Looks at every clock edge for broken rules, and counts interrupts and cycles."""

    def __init__(self, dut: Any):
        self.dut = dut
        self.violations: list[str] = []
        self.irqs = self.cycles = 0
        self._waiting: dict[str, tuple[int, ...]] = {}

    async def run(self) -> None:
        """Watch for ever."""
        irq = 0
        while True:
            await RisingEdge(self.dut.aclk)
            self.cycles += 1
            for name, signals in CHANNELS.items():
                self._check(name, *signals)
            now = int(self.dut.irq.value)
            self.irqs += now > irq
            irq = now

    def _check(self, name: str, valid: str, ready: str, payload: tuple[str, ...]) -> None:
        prefix = name.rpartition("_")[0] if name.startswith("s_axi_") else name
        values = [getattr(self.dut, f"{prefix}_{s}").value for s in (valid, ready, *payload)]
        offered = int(values[0])
        if offered and not all(value.is_resolvable for value in values):
            self.violations.append(f"{name}: unknown bits in cycle {self.cycles}")
            return
        content = tuple(int(value) for value in values[2:]) if offered else ()
        before = self._waiting.pop(name, None)
        if before is not None and before != content:
            self.violations.append(f"{name}: a waiting beat changed in cycle {self.cycles}")
        if offered and not int(values[1]):
            self._waiting[name] = content


@cocotb.test()
async def bench(dut: Any) -> None:
    """Reset, run the script, write what came back."""
    spec = json.loads(Path(os.environ["SPARSEFLOW_JOB"]).read_text())
    run = Path(spec["run"])
    script = read_script(run / "script.json")
    # a line for every transfer makes the simulation several times slower
    logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # cocotbext-axi's own
    dut.aresetn.value = 0
    Clock(dut.aclk, PERIOD_NS, "ns").start(start_high=False)
    masters = Masters.on(dut, script)
    watch = masters.watch
    for _ in range(4):
        await FallingEdge(dut.aclk)
    dut.aresetn.value = 1
    await RisingEdge(dut.aclk)
    cocotb.start_soon(watch.run())
    results: list[Any] = []
    fields: dict[str, Any] = {}
    try:
        for step in script.steps:
            results.append(await masters.run(step))
        fields = {"results": results, "violations": watch.violations}
        fields |= {"irqs": watch.irqs, "cycles": watch.cycles}
    except SimTimeoutError:
        text = ", ".join(
            f"{key} {value}" for key, value in step.items() if key not in ("beats", "words")
        )
        fields["failure"] = (
            f"step {len(results)} ({text}) did not end within {script.limit} cycles; "
            f"before it: {results[-4:]}; {'; '.join(watch.violations)}"
        )
    (run / "outcome.json").write_text(json.dumps(fields, allow_nan=False))
