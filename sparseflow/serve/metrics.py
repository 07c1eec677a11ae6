"""What Prometheus reads of a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import prometheus_client as prom
from prometheus_client import exposition
from prometheus_client.core import CounterMetricFamily

__all__ = ["Metrics"]

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """Counters of one server; nothing in them is named by a client."""

    KIND = exposition.CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self.registry = prom.CollectorRegistry()
        prom.ProcessCollector(registry=self.registry)
        made: dict[str, Any] = {"registry": self.registry, "namespace": "sparseflow"}
        self.requests = prom.Counter("requests", "Requests for inference.", ["status"], **made)
        self.refused = prom.Counter("refused", "Requests without an answer.", ["reason"], **made)
        self.frames = prom.Counter("frames", "Frames of answered requests.", **made)
        about = "From the last byte of a request for inference to its answer."
        self.seconds = prom.Histogram("request_seconds", about, buckets=SECONDS, **made)
        self._answered = self.requests.labels("200")

    def watch(self, kind: str, name: str, about: str, value: Callable[[], float]) -> None:
        """A gauge or counter that is read when it is asked for."""
        if kind == "gauge":
            gauge = prom.Gauge(name, about, registry=self.registry, namespace="sparseflow")
            gauge.set_function(value)
            return
        self.registry.register(_Read(f"sparseflow_{name}", about, value))

    def answered(self, seconds: float, frames: int) -> None:
        """A request for inference."""
        self._answered.inc()
        self.frames.inc(frames)
        self.seconds.observe(seconds)

    def turned_away(self, status: int, reason: str, *, inference: bool) -> None:
        """A request without an answer."""
        if inference:
            self.requests.labels(str(status)).inc()
        self.refused.labels(reason).inc()

    def text(self) -> bytes:
        """All of them."""
        return prom.generate_latest(self.registry)


class _Read:
    """A counter that somebody else counts."""

    def __init__(self, name: str, about: str, value: Callable[[], float]):
        self._name, self._about, self._value = name, about, value

    def collect(self) -> list[CounterMetricFamily]:
        return [CounterMetricFamily(self._name, self._about, value=self._value())]
