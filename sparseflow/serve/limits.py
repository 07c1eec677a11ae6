"""How much a server lends to its clients, all of it bounded."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]

BODIES = 64  # largest requests whose bytes may be here at a time


@dataclass(frozen=True)
class Limits:
    """Of a server; times in seconds.

    Parameters
    ----------
    streams : int
        States that are kept; a whole sequence takes one while it is in work, also where the model
        has two directions and none is kept.
    connections : int
        Open at a time.
    request_bytes : int
        Of a body.
    frames : int
        Of one request, those of all its sequences together.
    queue : int
        Requests that wait.
    idle : float
        Without a frame, after which a stream is forgotten.
    deadline : float
        That a request may wait before it begins.
    drain : float
        That requests in work have when the server is told to end.
    finish : float
        Of that, for requests that are half here then.
    receive : float
        In which a request must have come in, and an answer be taken.
    keep_alive : float
        That a connection may be without a request.
    """

    streams: int = 1024
    connections: int = 2048
    request_bytes: int = 1 << 20
    frames: int = 4096
    queue: int = 2048
    idle: float = 60.0
    deadline: float = 10.0
    drain: float = 10.0
    finish: float = 2.0
    receive: float = 10.0
    keep_alive: float = 75.0

    @property
    def all_bytes(self) -> int:
        """Of the bodies of all requests together."""
        return BODIES * self.request_bytes
