"""The accelerator's buses from a host: registers and streams, over the link or in its memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..link.protocol import (
    COMMANDS_WITH_WORDS,
    FLAG,
    INCREMENT,
    LAST,
    MAX_WORDS,
    NAK,
    REPLY,
    VERSION,
    Code,
    Command,
    Damaged,
    FrameFinder,
    Reply,
    Request,
    enframe,
)
from .lines import Line

__all__ = [
    "Bus",
    "DamagedFrameError",
    "LinkBus",
    "LinkError",
    "LinkTimeoutError",
    "Received",
    "RefusedError",
]


TIMEOUT = 1.0  # seconds to wait for an answer
RETRIES = 3


class LinkError(RuntimeError):
    """Host and board did not understand each other; the next request may well succeed."""


class LinkTimeoutError(LinkError):
    """No answer came in time."""


class DamagedFrameError(LinkError):
    """A request or its answer was damaged on its way."""


class RefusedError(LinkError):
    """The accelerator refused an access; its register ``errors`` tells why."""


@dataclass(frozen=True)
class Received:
    """Words from ``m_axis``.

    Parameters
    ----------
    words : tuple of int
    last : bool
        The last of them ends a packet.
    """

    words: tuple[int, ...]
    last: bool


class Bus(Protocol):
    """What the driver needs of a way to the accelerator."""

    def read(self, address: int, count: int = 1) -> list[int]:
        """Words of registers at addresses that follow each other."""

    def write(self, address: int, words: Sequence[int]) -> None:
        """Write words one after the other to the same address."""

    def send(self, words: Sequence[int], last: bool) -> int:
        """Give words to ``s_axis``; how many were taken.

        With ``last`` the last word ends a packet.
        """

    def receive(self, count: int) -> Received:
        """Words that ``m_axis`` has now, at most ``count``."""

    def close(self) -> None:
        """Give it back; closing twice is fine."""


class LinkBus:
    """Buses behind a serial line; see docs/link.md.

    Parameters
    ----------
    line : Line
    timeout : float
        Seconds to wait for an answer.
    retries : int
        Times that a request is repeated after a timeout or damage. The board carries out
        each request once, however often it comes.

    Raises
    ------
    LinkError
        If nothing answers, or not in this version of the protocol.
    """

    def __init__(self, line: Line, *, timeout: float = TIMEOUT, retries: int = RETRIES):
        self._line, self.timeout, self.retries = line, timeout, retries
        self._finder, self._sequence, self._in_step = FrameFinder(), 0, False
        self.clock_hz = 0
        self._meet()

    def _meet(self) -> None:
        """Agree on sequence numbers, whatever was before."""
        self._sequence = (self._sequence + 1) % 256
        reply = self._ask(Request(self._sequence, Command.HELLO))
        if reply.flags != VERSION or len(reply.words) != 1:
            raise LinkError(
                f"the board speaks version {reply.flags} of the link, this driver {VERSION}: "
                "take driver and bitstream from the same release"
            )
        self._in_step, (self.clock_hz,) = True, reply.words

    def read(self, address: int, count: int = 1) -> list[int]:
        """Words of registers at addresses that follow each other.

        Raises
        ------
        RefusedError
            If an address cannot be read.
        """
        reply = self._request(Command.READ, count, address | INCREMENT)
        self._accepted(reply, count, f"a read at 0x{address:03X}")
        return list(reply.words)

    def write(self, address: int, words: Sequence[int]) -> None:
        """Write words one after the other to the same address.

        Raises
        ------
        RefusedError
            If one of them is refused; those before were written.
        """
        for start in range(0, len(words), MAX_WORDS):
            some = tuple(words[start : start + MAX_WORDS])
            reply = self._request(Command.WRITE, len(some), address, some)
            self._accepted(reply, len(some), f"a write to 0x{address:03X}")

    def send(self, words: Sequence[int], last: bool) -> int:
        """Give words to ``s_axis``, a frame of the link at most; how many were taken."""
        some = tuple(words[:MAX_WORDS])
        ends = LAST if last and len(some) == len(words) else 0
        return self._request(Command.SEND, len(some), ends, some).count

    def receive(self, count: int) -> Received:
        """Words that ``m_axis`` has now, at most ``count``."""
        reply = self._request(Command.RECEIVE, min(count, MAX_WORDS))
        return Received(reply.words, bool(reply.flags & LAST))

    def close(self) -> None:
        """Close the line."""
        self._line.close()

    def _request(
        self, command: Command, count: int, argument: int = 0, words: tuple[int, ...] = ()
    ) -> Reply:
        """Ask, and check that the answer has as many words as it says."""
        if not self._in_step:
            self._meet()
        self._sequence = (self._sequence + 1) % 256
        reply = self._ask(Request(self._sequence, command, count, argument, words))
        if reply.code in (Code.UNKNOWN, Code.LENGTH):
            raise LinkError(f"the board answers {command.name} with {Code(reply.code).name}")
        carried = 0 if command in COMMANDS_WITH_WORDS else reply.count
        if len(reply.words) != carried:
            raise LinkError(f"{command.name} answered with {len(reply.words)} words of {carried}")
        return reply

    def _accepted(self, reply: Reply, count: int, what: str) -> None:
        if reply.code == Code.REFUSED or reply.count != count:
            raise RefusedError(
                f"{what} was refused at word {reply.count} of {count}: "
                "read the register `errors` for the reason"
            )

    def _ask(self, request: Request) -> Reply:
        """Send a request until its answer comes."""
        data = enframe(request.encode())
        error = LinkError("")
        for _ in range(self.retries + 1):
            self._line.write(data)
            try:
                return self._answer(request)
            except (LinkTimeoutError, DamagedFrameError) as failed:
                error = failed
        self._in_step = False  # it may have been carried out or not: meet afresh
        raise type(error)(f"{error}; asked {self.retries + 1} times")

    def _answer(self, request: Request) -> Reply:
        """The reply to this request; answers to earlier ones are skipped."""
        name = Command(request.command).name
        deadline = time.monotonic() + self.timeout
        while data := self._line.read(max(0.0, deadline - time.monotonic())):
            for found in self._finder.feed(data):
                if isinstance(found, Damaged):
                    raise DamagedFrameError(f"the answer to {name} was damaged: {found.reason}")
                reply = Reply.decode(found)
                if reply.command == NAK:
                    self._refused(name, reply)
                elif (reply.sequence, reply.command) == (
                    request.sequence,
                    request.command | REPLY,
                ):
                    return reply
        self._line.write(bytes([FLAG]))  # ends what the board may still listen to
        raise LinkTimeoutError(
            f"no answer to {name} within {self.timeout:g} s: check cable, port, rate and power"
        )

    def _refused(self, name: str, reply: Reply) -> None:
        if reply.code == Code.DAMAGED:
            raise DamagedFrameError(f"{name} was damaged on its way to the board")
        self._in_step = False
        raise LinkError(
            f"the board expected request {(reply.sequence + 1) % 256}, not {name}: it was "
            "reset, or another program uses the line"
        )
