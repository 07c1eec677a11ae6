"""A request and an answer of HTTP, and why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

import msgspec

__all__ = ["FAULT", "Handler", "Refused", "Reply", "Request", "Response", "refusal"]

FAULT = "the server failed at this request; its log says how"
BUSY_SECONDS = 1  # after which a client that was turned away may come again
JSON = "application/json"
_HEADS = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


class Refused(Exception):
    """A request is not answered.

    Parameters
    ----------
    status : int
        Of HTTP.
    text : str
        One line: what is wrong, with its value, and what to do. Nothing of the server's insides.
    reason : str
        One word for the metrics.
    """

    def __init__(self, status: int, text: str, reason: str = "input"):
        super().__init__(text)
        self.status, self.text, self.reason = status, text, reason

    @property
    def retry_after(self) -> int | None:
        """Seconds after which it may succeed; None where it will not."""
        return BUSY_SECONDS if self.status in (429, 503) else None


@dataclass(slots=True)
class Request:
    """As a client has sent it.

    Parameters
    ----------
    method, path : str
        The path as it came, without its query.
    headers : dict of bytes to bytes
        Names in lower case.
    body : bytes
    last : bool
        Whether the connection ends behind it.
    received : float
        The loop's time.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    body: bytes
    last: bool
    received: float


@dataclass(slots=True)
class Response:
    """What a client gets; ``headers`` are further ones."""

    status: int
    body: bytes
    kind: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self, *, body: bool, close: bool) -> bytes:
        """As it goes onto the line."""
        lines = [f"content-type: {self.kind}\r\ncontent-length: {len(self.body)}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in self.headers.items()]
        lines.append("connection: close\r\n\r\n" if close else "\r\n")
        head = _HEADS[self.status] + "".join(lines).encode()
        return head + self.body if body else head


Reply = Callable[[Response], None]


class Handler(Protocol):
    """Who answers requests: at once, or later through ``reply``."""

    def __call__(self, request: Request, reply: Reply) -> None:
        """Take a request."""


def refusal(refused: Refused) -> Response:
    """Why, as the protocol has it."""
    headers = {} if refused.retry_after is None else {"retry-after": str(refused.retry_after)}
    return Response(refused.status, msgspec.json.encode({"error": refused.text}), JSON, headers)
