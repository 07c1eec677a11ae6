"""Scripts for the accelerator on its buses: register accesses, packets, and what came back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.abi.dma import Entry
from compiler.abi.registers import REGISTERS
from hdl.dram.reader import ReadBus
from hdl.verilog import VerilogFiles

from ..run.errors import Hang, Mismatched, SimulationError
from ..run.processes import tail
from ..run.streams import Pauses
from ..run.verilog import SIMULATOR, run_bench

if TYPE_CHECKING:
    from compiler.lower.image import Image

__all__ = [
    "AxiOutcome",
    "AxiScript",
    "Memory",
    "read_script",
    "simulate_axi",
]

MEMORIES = {"memory": "memory.bin", "planes": "planes.bin"}  # beside a script


@dataclass(frozen=True)
class Memory:
    """What a top reads models from.

    Parameters
    ----------
    data : bytes
    base : int
        Address of the first of them.
    bus : ReadBus, optional
        With it a :class:`~sim.axi_memory.AxiMemory` answers, whose latency is known; without it
        the memory of cocotbext-axi.
    latency : tuple of 2 int
        Of that one, least and most cycles.
    """

    data: bytes
    base: int
    bus: ReadBus | None = None
    latency: tuple[int, int] = (20, 20)


@dataclass
class AxiScript:
    """What the masters do, one step after the other.

    Parameters
    ----------
    in_bits, out_bits : int
        Bits of the streams' ``tdata``.
    pauses : Pauses
        Of every channel: a master or a sink that does not take part in a cycle. Each channel
        has a seed of its own.
    limit : int
        Cycles that a step may take.
    memory, planes : Memory, optional
        Behind the port to memory of a top that has one, and behind that of its screen unit, with a
        ``bus``.
    steps : list of dict
        Made by the methods; plain values, for JSON.
    """

    in_bits: int
    out_bits: int
    pauses: Pauses = Pauses()
    limit: int = 20_000
    memory: Memory | None = None
    planes: Memory | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)

    def write(self, register: str, word: int = 0, **fields: int) -> AxiScript:
        """Write a register; the result is the response code."""
        declared = REGISTERS[register]
        return self.write_at(declared.address, word | declared.encode(**fields))

    def write_at(self, address: int, word: int, size: int = 4) -> AxiScript:
        """Write the ``size`` lowest bytes at an address; the result is the response code."""
        return self._step("write", address=address, data=word, size=size)

    def read(self, register: str) -> AxiScript:
        """Read a register; the result is the response code and the word."""
        return self.read_at(REGISTERS[register].address)

    def read_at(self, address: int) -> AxiScript:
        """Read an address; the result is the response code and the word."""
        return self._step("read", address=address)

    def wait(self, register: str, **fields: int) -> AxiScript:
        """Read a register until all given fields have their values."""
        declared = REGISTERS[register]
        mask = sum(declared.field(name).mask for name in fields)
        value = declared.encode(**fields)
        return self._step("wait", address=declared.address, mask=mask, value=value)

    def wait_irq(self) -> AxiScript:
        """Wait until the interrupt is raised."""
        return self._step("wait_irq")

    def send(self, beats: Sequence[int]) -> AxiScript:
        """Queue a packet; ``tlast`` goes with its last beat."""
        return self._step("send", beats=list(beats))

    def receive(self, packets: int) -> AxiScript:
        """Wait for packets; the result is their beats."""
        return self._step("receive", packets=packets)

    def sent(self) -> AxiScript:
        """Wait until all queued packets were taken."""
        return self._step("sent")

    def transfer(self, entry: Entry) -> AxiScript:
        """Start a transfer: its registers are written, that of the start last."""
        words = entry.words()
        start = words.pop("dma_start")
        for name, word in words.items():
            self.write(name, word)
        return self.write("dma_start", start)

    def cycle(self) -> AxiScript:
        """The result is the number of clock edges so far."""
        return self._step("cycle")

    def idle(self, cycles: int) -> AxiScript:
        """Let time pass."""
        return self._step("idle", cycles=cycles)

    def load(self, words: Sequence[int]) -> AxiScript:
        """Write words to ``load``, as fast as the bus goes; the result is all response codes."""
        return self._step("writes", address=REGISTERS["load"].address, words=list(words))

    def drain(self) -> AxiScript:
        """Take the packets that were received; the result is their beats."""
        return self._step("drain")

    def start_model(self, image: Image, part: int = 0) -> AxiScript:
        """Tell the length of frames, load an image and start a program."""
        self.write("frame", beats=image.parts[part].frame_beats)
        return self.load(image.load_words(part))

    def _step(self, kind: str, **values: Any) -> AxiScript:
        self.steps.append({"kind": kind, **values})
        return self


@dataclass(frozen=True)
class AxiOutcome:
    """What came back.

    Parameters
    ----------
    results : list
        Of each step; None where it has none.
    violations : list of str
        Rules of the buses that the accelerator broke.
    irqs : int
        Rising edges of the interrupt.
    cycles : int
    """

    results: list[Any]
    violations: list[str]
    irqs: int
    cycles: int

    @property
    def packets(self) -> list[list[int]]:
        """All packets received."""
        lists = [r for r in self.results if isinstance(r, list) and r and isinstance(r[0], list)]
        return [packet for packets in lists for packet in packets]


def read_script(path: Path) -> AxiScript:
    """Read a script as :func:`simulate_axi` writes it."""
    fields = json.loads(path.read_text())
    for name, file in MEMORIES.items():
        if memory := fields[name]:
            bus = ReadBus(**memory["bus"]) if memory["bus"] else None
            data = path.with_name(file).read_bytes()
            fields[name] = Memory(data, memory["base"], bus, tuple(memory["latency"]))
    return AxiScript(**{**fields, "pauses": Pauses(**fields["pauses"])})


def simulate_axi(
    files: VerilogFiles,
    script: AxiScript,
    work: Path,
    *,
    simulator: str = SIMULATOR,
    timeout: float = 600.0,
    waves: bool = False,
    builds: Path | None = None,
) -> AxiOutcome:
    """Run a script on the accelerator's Verilog with the masters of cocotbext-axi.

    Parameters
    ----------
    files : VerilogFiles
        Of :class:`hdl.bus.accelerator.Accelerator`.
    script : AxiScript
    work, simulator, timeout, waves, builds
        As for :func:`sim.run.verilog.simulate_verilog`.

    Returns
    -------
    AxiOutcome

    Raises
    ------
    SimulationError
        If a tool is missing or the build fails.
    Hang
        If a step takes too long; the message names it.
    Mismatched
        If a rule of the buses is broken; the message names it.
    """
    fields, _ = run_bench(
        files,
        work,
        "sim.bus.axi_bench",
        lambda run: _write(run / "script.json", script),
        _read,
        simulator=simulator,
        timeout=timeout,
        waves=waves,
        builds=builds,
    )
    if "failure" in fields:
        raise Hang(fields["failure"])
    outcome = AxiOutcome(**fields)
    if outcome.violations:
        raise Mismatched("\n".join(outcome.violations))
    return outcome


def _read(run: Path) -> dict[str, Any]:
    path = run / "outcome.json"
    if not path.exists():
        log = tail(run / "simulation.log")
        raise SimulationError(f"the simulator gave no outcome\n{log}")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _write(path: Path, script: AxiScript) -> None:
    fields = asdict(script)
    for name, file in MEMORIES.items():
        if fields[name]:
            path.with_name(file).write_bytes(fields[name].pop("data"))
    path.write_text(json.dumps(fields, allow_nan=False))
