"""HTTP/1.1 on a connection: requests come in whole or are refused, answers leave in order."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any

import httptools

from .limits import Limits
from .wire import Handler, Refused, Request, Response, refusal

__all__ = ["Connection", "Connections"]

MOST_HEAD = 1 << 14  # bytes of a request's line and headers
PIECE = 1 << 12  # bytes that the parser is given at a time: so finely heads are counted
MOST_WAITING = 16  # requests that a connection may send ahead
SPARE = 5.0  # seconds without a request, after which a connection makes room for another
LINGER = 2.0  # seconds for a refused client to read why
_VERSIONS = ("1.0", "1.1")
_PLACE = re.compile(rb"https?://[^/]*", re.IGNORECASE)  # before the path of an absolute target
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connections:
    """All connections of a server, and what they share.

    Parameters
    ----------
    limits : Limits
    handler : Handler
    told : callable
        Given every refusal that a connection makes by itself.
    """

    def __init__(self, limits: Limits, handler: Handler, told: Callable[[Refused], None]):
        self.limits, self.handler, self.told = limits, handler, told
        self.open: dict[Connection, None] = {}  # the first that came, first
        self.bytes = 0  # of bodies that are here
        self.draining = False

    def __call__(self) -> Connection:
        """For the loop, which asks for every connection."""
        return Connection(self)

    def sweep(self, now: float) -> None:
        """End connections that take too long; to be called every second or so."""
        for connection in tuple(self.open):
            connection.sweep(now)

    def make_room(self, now: float) -> bool:
        """End the oldest of those that have nothing to do for seconds; whether there is one."""
        for connection in self.open:
            if connection.idle(now) > SPARE:
                connection.rest()
                return True
        return False

    def drain(self) -> None:
        """Let connections end: those without a request now, others behind their answer."""
        self.draining = True
        for connection in tuple(self.open):
            connection.rest()

    def refuse_halves(self) -> None:
        """Refuse requests that have begun to come in and are not here."""
        for connection in tuple(self.open):
            connection.refuse_half()

    def abort(self) -> None:
        """Cut all that are left."""
        for connection in tuple(self.open):
            connection.abort()


class Connection(asyncio.Protocol):
    """One connection. Requests that are sent ahead wait for the answers before them."""

    def __init__(self, of: Connections):
        self._of, self._loop = of, asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._waiting = deque[Request | Refused]()
        self._working: Request | None = None
        self._refused: Refused | None = None  # what is read behind it is thrown away
        self._ended = False  # the client sends no more
        self._closed = False
        self._answering = False  # `_next` is at work
        self._since = self._loop.time()  # of what `sweep` looks at
        self._stalled: float | None = None  # since when nobody reads what we write
        self._held = 0  # bytes of ours in `of.bytes`
        self._moved = False  # whether what is read last was of use
        self._fresh()

    def _fresh(self) -> None:
        """Before a request."""
        self._url, self._headers = b"", dict[bytes, bytes]()
        self._parts: list[bytes] = []
        self._head = self._raw = self._size = 0  # bytes: of its head, without a use, of its body
        self._begun = False

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it, or say that there are too many."""
        self._transport, of = transport, self._of
        full = len(of.open) >= of.limits.connections and not of.make_room(self._since)
        of.open[self] = None
        if of.draining:
            self._refuse(Refused(503, "the server is ending", "draining"))
        elif full:
            text = f"{of.limits.connections} connections are open: come again later"
            self._refuse(Refused(503, text, "connections"))

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if not self._begun and not self._working:
            self._since = self._loop.time()
        for at in range(0, len(data), PIECE):
            if self._refused or self._ended:
                break
            self._read(data[at : at + PIECE])
        self._next()

    def eof_received(self) -> bool:
        """Answer what has come in, then close."""
        self._ended = True
        return bool(self._working or self._waiting) and not self._closed

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it."""
        self._closed = True
        self._of.open.pop(self, None)
        self._waiting.clear()
        self._release(self._held)

    def pause_writing(self) -> None:
        """Who does not read gets no more work done."""
        self._stalled = self._loop.time()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._stalled = None
        if not self._closed:
            self._transport.resume_reading()
            self._next()

    def _read(self, piece: bytes) -> None:
        self._begun, self._moved = True, False
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self._ended = True  # no other protocol is spoken here
        except httptools.HttpParserError:
            self._refuse(Refused(400, "this is no HTTP/1.1", "http"))
        self._raw = 0 if self._moved else self._raw + len(piece)
        if self._raw > MOST_HEAD:  # of a head, or of what may stand around a body
            self._refuse(_too_long())

    # What the parser calls

    def on_url(self, url: bytes) -> None:
        """A part of it."""
        self._begun = True
        self._url += url
        self._head += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """The last of a name counts."""
        self._headers[name.lower()] = value
        self._head += len(name) + len(value)
        if self._head > MOST_HEAD:  # also behind a body
            self._refuse(_too_long())

    def on_headers_complete(self) -> None:
        """Refuse what needs no body to be refused."""
        self._moved = True
        try:
            self._check_head()
        except Refused as refused:
            self._refuse(refused)
            return
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and not self._working:
            self._transport.write(_CONTINUE)

    def on_body(self, part: bytes) -> None:
        """A part of it."""
        if self._refused:
            return
        self._moved = True
        self._size += len(part)
        self._held += len(part)
        self._of.bytes += len(part)
        self._parts.append(part)
        if self._size > self._of.limits.request_bytes:
            self._refuse(self._too_large(str(self._size)))
        elif self._of.bytes > self._of.limits.all_bytes:
            text = "too many bytes of requests are here: come again later"
            self._refuse(Refused(429, text, "bytes"))

    def on_message_complete(self) -> None:
        """A request is here."""
        self._moved = True
        if self._refused:
            return
        last = not self._parser.should_keep_alive() or self._parser.get_http_version() != "1.1"
        path = _path(self._url)
        method = self._parser.get_method().decode("latin-1")
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        now = self._loop.time()
        self._waiting.append(Request(method, path, self._headers, body, last, now))
        self._fresh()
        if len(self._waiting) > MOST_WAITING:
            self._transport.pause_reading()

    # Ours

    def _too_large(self, size: str) -> Refused:
        most = self._of.limits.request_bytes
        text = f"a body of {size} bytes: {most} are taken; give fewer frames at a time"
        return Refused(413, text, "bytes")

    def _check_head(self) -> None:
        headers = self._headers
        if (version := self._parser.get_http_version()) not in _VERSIONS:
            raise Refused(505, f"HTTP/{version} is not spoken here: send HTTP/1.1", "http")
        length = headers.get(b"content-length", b"0").strip()[:20]
        if length.isdigit() and int(length) > self._of.limits.request_bytes:
            raise self._too_large(length.decode())
        codings = headers.get(b"content-encoding", b"").lower().split(b",")
        if not {coding.strip() for coding in codings} <= {b"", b"identity"}:
            raise Refused(415, "content-encoding: send bodies as they are", "http")
        if b"origin" in headers:
            raise Refused(403, "pages of browsers may not ask this server", "origin")

    def _refuse(self, refused: Refused) -> None:
        if not self._refused:
            self._refused = refused
            self._waiting.append(refused)
        self._next()

    def _next(self) -> None:
        """Answer what waits, if nothing is before it and what is written is read."""
        if self._answering:
            return
        self._answering = True
        for _ in range(MOST_WAITING):
            if not self._waiting or self._working or self._stalled or self._closed:
                break
            self._answer(self._waiting.popleft())
        else:  # others have a turn
            self._loop.call_soon(self._next)
        self._answering = False
        if self._ended and not (self._waiting or self._working):
            self._close()

    def _answer(self, found: Request | Refused) -> None:
        if len(self._waiting) == MOST_WAITING:
            self._transport.resume_reading()
        if isinstance(found, Refused):
            self._of.told(found)
            self._write(refusal(found), Request("", "", {}, b"", True, 0))
            return
        self._working = found
        self._of.handler(found, lambda response: self._reply(found, response))

    def _reply(self, request: Request, response: Response) -> None:
        if self._working is request:
            self._working = None
            self._release(len(request.body))
            self._write(response, request)
            self._next()

    def _write(self, response: Response, request: Request) -> None:
        """Onto the line; the connection may end with it."""
        if self._closed:
            return
        last = request.last or self._of.draining
        self._transport.write(response.encoded(body=request.method != "HEAD", close=last))
        self._since = self._loop.time()
        if last:
            self._linger()

    def _release(self, size: int) -> None:
        size = min(size, self._held)
        self._held -= size
        self._of.bytes -= size

    def _linger(self) -> None:
        """End our half and read on: a socket closed over unread bytes takes the answer with it."""
        self._refused = self._refused or Refused(400, "behind the last request")
        self._waiting.clear()
        self._release(self._held)
        if self._ended or not self._transport.can_write_eof():
            self._close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._transport.close()

    def sweep(self, now: float) -> None:
        """End it if it takes too long."""
        limits, waited = self._of.limits, now - self._since
        if self._stalled is not None and now - self._stalled > limits.receive:
            self.abort()
        elif self._working or self._stalled:
            return
        elif self._refused or self._closed:
            if waited > LINGER:
                self.abort()
        elif self._begun and waited > limits.receive:
            text = f"the request did not come in within {limits.receive:g} seconds"
            self._refuse(Refused(408, text, "slow"))
        elif not self._begun and waited > limits.keep_alive:
            self._close()

    def idle(self, now: float) -> float:
        """Seconds without anything to do; 0 for one that has, or that is closing."""
        busy = self._working or self._waiting or self._begun or self._refused or self._closed
        return 0.0 if busy else now - self._since

    def rest(self) -> None:
        """End it if it has no request; one that is half here gets an answer."""
        if not (self._working or self._waiting or self._begun or self._refused):
            self._close()

    def refuse_half(self) -> None:
        """Refuse a request of which a part is missing; one before it is answered, and the last."""
        if self._begun and not (self._working or self._waiting or self._refused):
            self._refuse(
                Refused(503, "the server is ending: a part of this is missing", "draining")
            )

    def abort(self) -> None:
        """Cut it."""
        self._closed = True
        self._transport.abort()


def _path(url: bytes) -> str:
    """Of a target: without its query, and without the server's name as proxies send it."""
    path = url.partition(b"?")[0]
    if place := _PLACE.match(path):
        path = path[place.end() :] or b"/"
    return path.decode("latin-1")


def _too_long() -> Refused:
    return Refused(431, f"line and headers of more than {MOST_HEAD} bytes", "bytes")
