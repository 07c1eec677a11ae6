"""Stream drivers that any simulator can step, idling and stalling from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Pauses", "Ports", "Repeated", "Sink", "Source"]


class Ports(Protocol):
    """Top-level ports of a design between two clock edges, in any simulator."""

    def get(self, name: str) -> int:
        """Settled value of an output port, unsigned; -1 where it has unknown bits."""

    def set(self, name: str, value: int) -> None:
        """Drive an input port for the coming edge."""

    async def settle(self) -> None:
        """Let outputs follow inputs within the cycle; nothing may be driven until ``tick``."""

    async def tick(self) -> None:
        """Pass the next rising edge, until outputs have settled."""


@dataclass(frozen=True)
class Pauses:
    """How often a stream end does not take part.

    Parameters
    ----------
    share : float
        Probability of a pause in a cycle, 0..1 (exclusive).
    seed : int
    """

    share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"share of pauses {self.share}: must be at least 0 and below 1")

    def generator(self) -> Pausing:
        """A fresh sequence of pauses; the same seed gives the same sequence."""
        return Pausing(self.share, random.Random(self.seed))


class Pausing:
    """A running sequence of pauses."""

    def __init__(self, share: float, source: random.Random):
        self._share, self._source = share, source

    def now(self) -> bool:
        """Whether to pause in this cycle."""
        return self._share > 0 and self._source.random() < self._share


class Source:
    """Puts payloads into a stream; once offered, a payload stays until it is taken.

    Parameters
    ----------
    name : str
        Stream port, whose signals are ``name__payload`` and so on.
    payloads : sequence of int
    pauses : Pauses
    """

    def __init__(self, name: str, payloads: Sequence[int], pauses: Pauses | None = None):
        self.name = name
        self.payloads = payloads
        self.sent = 0
        self.first_sent_at: int | None = None
        self._pausing = (pauses or Pauses()).generator()
        self._offering = self._valid = False

    @property
    def done(self) -> bool:
        """Whether everything was taken."""
        return self.sent == len(self.payloads)

    def step(self, ports: Ports, cycle: int) -> None:
        """Drive one cycle; call between edges, before ``tick``."""
        self.offer(ports)
        self.take(ports, cycle)

    def offer(self, ports: Ports) -> None:
        """The first half of a step: drive the stream."""
        if not self._offering and not self.done and not self._pausing.now():
            self._offering = True
            ports.set(f"{self.name}__payload", self.payloads[self.sent])
        if self._offering != self._valid:
            self._valid = self._offering
            ports.set(f"{self.name}__valid", int(self._valid))

    def take(self, ports: Ports, cycle: int) -> None:
        """The other half, after ``settle`` where readiness depends on what is offered."""
        if self._offering and ports.get(f"{self.name}__ready") == 1:
            self._offering = False
            self.sent += 1
            if self.first_sent_at is None:
                self.first_sent_at = cycle


class Repeated(Source):
    """Puts the same payloads into a stream for ever, from the first again after the last.

    Parameters
    ----------
    name, payloads, pauses
        As for :class:`Source`; without payloads the stream is left alone.
    """

    @property
    def done(self) -> bool:
        """Whether there is nothing to put."""
        self.sent %= max(1, len(self.payloads))
        return not self.payloads


class Sink:
    """Takes payloads out of a stream and notes the cycle of each.

    Parameters
    ----------
    name : str
    pauses : Pauses
    """

    def __init__(self, name: str, pauses: Pauses | None = None):
        self.name = name
        self.payloads: list[int] = []
        self.cycles: list[int] = []
        self._pausing = (pauses or Pauses()).generator()
        self._ready = False

    def step(self, ports: Ports, cycle: int) -> None:
        """Drive one cycle; call between edges, before ``tick``."""
        ready = not self._pausing.now()
        if ready != self._ready:
            self._ready = ready
            ports.set(f"{self.name}__ready", int(ready))
        if ready and ports.get(f"{self.name}__valid") == 1:
            self.payloads.append(ports.get(f"{self.name}__payload"))
            self.cycles.append(cycle)
