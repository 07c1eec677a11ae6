"""A memory behind AXI4 read channels, late and irregular from a seed, in any simulator."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hdl.read_port import BOUNDARY, DECERR, SLVERR, ReadPort

from .run.streams import Ports

__all__ = ["AxiMemory", "Lateness", "Traffic"]


@dataclass(frozen=True)
class Lateness:
    """When the other side of the bus acts. Everything follows from the seed and a number.

    Parameters
    ----------
    latency : tuple of 2 int
        Least and most cycles from an accepted address to its first beat, at least 1.
    waits, gaps : float
        Probability that an address waits a cycle (again and again), that a beat does.
    seed : int
    """

    latency: tuple[int, int] = (20, 20)
    waits: float = 0.0
    gaps: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.latency
        if not 1 <= low <= high:
            raise ValueError(f"latency {self.latency}: must be (least, most), least at least 1")
        for name in ("waits", "gaps"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: must be 0 to below 1")

    def latency_of(self, burst: int) -> int:
        """Cycles from the accepted address of a burst to its first beat, if none is before."""
        return self._random("latency", burst).randint(*self.latency)

    def wait_of(self, burst: int) -> int:
        """Cycles that a burst's address is offered in vain."""
        return self._count("wait", burst, self.waits)

    def gap_of(self, beat: int) -> int:
        """Cycles that a beat comes later than it could."""
        return self._count("gap", beat, self.gaps)

    def _count(self, kind: str, number: int, share: float) -> int:
        if share == 0:
            return 0
        source, count = self._random(kind, number), 0
        while source.random() < share:
            count += 1
        return count

    def _random(self, kind: str, number: int) -> random.Random:
        return random.Random(f"{self.seed} {kind} {number}")


@dataclass
class Traffic:
    """What went over the bus.

    Parameters
    ----------
    bursts : list of (int, int)
        Byte address and beats of every burst, in order.
    accepted, arrived : list of int
        Cycle of every address, of every beat.
    violations : list of str
        Rules of AXI4 that the master broke.
    """

    bursts: list[tuple[int, int]] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


class AxiMemory:
    """Answers bursts in order; a read outside ``data`` gets zeros with DECERR.

    Parameters
    ----------
    bus : ReadPort
    data : bytes
    base : int
        Address of ``data[0]``, a multiple of the bus width.
    lateness : Lateness
    broken : callable, optional
        Whether a byte address answers with SLVERR.
    name : str
        Prefix of the ports.
    """

    def __init__(
        self,
        bus: ReadPort,
        data: bytes,
        base: int = 0,
        lateness: Lateness | None = None,
        broken: Callable[[int], bool] = lambda address: False,
        name: str = "m_axi",
    ):
        self.bus, self.data, self.base, self.name = bus, data, base, name
        self.traffic = Traffic()
        self.broken = broken
        self._late = lateness or Lateness()
        self._beats: deque[tuple[int, bool, int]] = deque()  # address, last, earliest cycle
        self._offered: tuple[int, int] | None = None
        self._waited = self._next = 0
        self._driven: dict[str, int] = {}

    def step(self, ports: Ports, cycle: int) -> None:
        """Drive one cycle; call between edges, before ``tick``."""
        self._answer(ports, cycle)
        self._listen(ports, cycle)

    def _set(self, ports: Ports, name: str, value: int) -> None:
        if self._driven.get(name) != value:
            self._driven[name] = value
            ports.set(f"{self.name}_{name}", value)

    def _answer(self, ports: Ports, cycle: int) -> None:
        """The data channel: a beat stays until it is taken."""
        valid = bool(self._beats) and cycle >= max(self._beats[0][2], self._next)
        self._set(ports, "rvalid", int(valid))
        if not valid:
            return
        address, last, _ = self._beats[0]
        word, response = self._read(address)
        for name, value in (("rdata", word), ("rresp", response), ("rlast", int(last))):
            self._set(ports, name, value)
        if ports.get(f"{self.name}_rready") == 1:
            self._beats.popleft()
            self.traffic.arrived.append(cycle)
            self._next = cycle + 1 + self._late.gap_of(len(self.traffic.arrived))

    def _read(self, address: int) -> tuple[int, int]:
        at = address - self.base
        if not 0 <= at <= len(self.data) - self.bus.beat_bytes:
            return 0, DECERR
        word = int.from_bytes(self.data[at : at + self.bus.beat_bytes], "little")
        return word, SLVERR if self.broken(address) else 0

    def _listen(self, ports: Ports, cycle: int) -> None:
        """The address channel: ready once the burst has waited."""
        burst = len(self.traffic.bursts)
        ready = self._waited >= self._late.wait_of(burst)
        self._set(ports, "arready", int(ready))
        offered = self._offer(ports)
        if self._offered is not None and offered != self._offered:
            self._break(f"burst {burst}: offered {self._offered}, then {offered}")
        self._offered = None if ready else offered
        if offered is None:
            return
        if not ready:
            self._waited += 1
            return
        self._waited = 0
        self._accept(offered, cycle)

    def _offer(self, ports: Ports) -> tuple[int, int] | None:
        if ports.get(f"{self.name}_arvalid") != 1:
            return None
        sizes = ports.get(f"{self.name}_arsize"), ports.get(f"{self.name}_arburst")
        if sizes != (self.bus.beat_bytes.bit_length() - 1, 1):
            self._break(f"arsize, arburst = {sizes}")
        return ports.get(f"{self.name}_araddr"), ports.get(f"{self.name}_arlen") + 1

    def _accept(self, burst: tuple[int, int], cycle: int) -> None:
        address, count = burst
        size = self.bus.beat_bytes
        if address % size or address % BOUNDARY + count * size > BOUNDARY:
            self._break(f"burst of {count} beats at {address:#x} crosses {BOUNDARY} bytes")
        earliest = cycle + self._late.latency_of(len(self.traffic.bursts))
        self._beats += [(address + i * size, i == count - 1, earliest) for i in range(count)]
        self.traffic.bursts.append(burst)
        self.traffic.accepted.append(cycle)

    def _break(self, rule: str) -> None:
        self.traffic.violations.append(rule)
