"""The accelerator's buses from a host: registers and streams, over the link or in its memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from compiler.lower.image import Image
from csb_format.arguments import number, whole

from ..link.protocol import (
    ANSWER_BYTES,
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
from .errors import (
    DamagedFrameError,
    LinkError,
    LinkTimeoutError,
    LinkVersionError,
    MalformedAnswerError,
    MisalignedError,
    NoiseError,
    OutOfStepError,
    RefusedError,
    ShortAnswerError,
    StaleAnswersError,
    StuckError,
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
    "Told",
    "exchange",
    "patience",
]


TIMEOUT = 1.0  # seconds to wait for an answer
RETRIES = 3
LEAST_TIMEOUT, MOST_TIMEOUT, MOST_RETRIES = 1e-3, 86400.0, 1000
# Of one attempt; another may do better. All others end a request.
_FLEETING = (LinkTimeoutError, DamagedFrameError, NoiseError, StaleAnswersError)


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


class Told(Protocol):
    """A target that has to know images before their words are loaded."""

    @property
    def counted(self) -> tuple[str, ...]:
        """Counters that it has."""

    def know(self, image: Image) -> None:
        """Take an image."""


def patience(timeout: float, retries: int) -> tuple[float, int]:
    """How long and how often to ask.

    Raises
    ------
    TypeError, ValueError
        Naming the number that is none, or out of range.
    """
    seconds = number("timeout", timeout, LEAST_TIMEOUT, MOST_TIMEOUT)
    return seconds, whole("retries", retries, 0, MOST_RETRIES)


class LinkBus:
    """Buses behind a serial line; see docs/link.md.

    Parameters
    ----------
    line : Line
    timeout : float
        Seconds to wait for an answer, 0.001..86400, whatever else comes meanwhile. No request takes
        longer than ``(retries + 1) * timeout``.
    retries : int
        Times that a request is repeated after a timeout or damage, 0..1000. The board carries out
        each request once, however often it comes.

    Raises
    ------
    LinkError
        If nothing answers, or not in this version of the protocol; one of the kinds of
        :mod:`boards.host.errors`.
    """

    def __init__(self, line: Line, *, timeout: float = TIMEOUT, retries: int = RETRIES):
        self._line = line
        self.timeout, self.retries = patience(timeout, retries)
        self._finder, self._sequence, self._in_step = FrameFinder(), 0, False
        self.clock_hz = 0
        self._meet()

    def _meet(self) -> None:
        """Agree on sequence numbers, whatever was before."""
        self._sequence = (self._sequence + 1) % 256
        reply = self._ask(Request(self._sequence, Command.HELLO))
        if (reply.code, reply.flags, len(reply.words)) != (Code.OK, VERSION, 1):
            self._in_step = False
            raise LinkVersionError(
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
        ShortAnswerError
            If the board answers with fewer words.
        """
        reply = self._request(Command.READ, count, address | INCREMENT)
        self._whole(reply, count, f"a read at 0x{address:03X}")
        return list(reply.words)

    def write(self, address: int, words: Sequence[int]) -> None:
        """Write words one after the other to the same address.

        Raises
        ------
        RefusedError
            If one of them is refused; those before were written.
        ShortAnswerError
            If fewer were written.
        """
        for start in range(0, len(words), MAX_WORDS):
            some = tuple(words[start : start + MAX_WORDS])
            reply = self._request(Command.WRITE, len(some), address, some)
            self._whole(reply, len(some), f"a write to 0x{address:03X}")

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
        """Ask, and check that the answer's code and counts fit."""
        if not self._in_step:
            self._meet()
        self._sequence = (self._sequence + 1) % 256
        reply = self._ask(Request(self._sequence, command, count, argument, words))
        carried = 0 if command in COMMANDS_WITH_WORDS else reply.count
        if reply.count > count or len(reply.words) != carried:
            raise self._malformed(
                f"{command.name} of {count} words answered with {len(reply.words)} words, "
                f"{reply.count} moved"
            )
        if reply.code == Code.REFUSED and command in (Command.READ, Command.WRITE):
            address, writing = argument & (INCREMENT - 1), command == Command.WRITE
            raise RefusedError.at(address, reply.count, count, writing=writing)
        if reply.code != Code.OK:
            known = {int(code): code.name for code in Code}
            code = known.get(reply.code, reply.code)
            raise self._malformed(f"{command.name} answered with code {code}")
        return reply

    def _malformed(self, what: str) -> MalformedAnswerError:
        """After it nothing is known of the board: meet afresh."""
        self._in_step = False
        return MalformedAnswerError(f"{what}: take driver and bitstream from the same release")

    @staticmethod
    def _whole(reply: Reply, count: int, what: str) -> None:
        """An access to registers moves all words, or is refused."""
        if reply.count != count:
            raise ShortAnswerError(
                f"{what} moved {reply.count} of {count} words and refused none: "
                "is a board of this release at the other end?"
            )

    def _ask(self, request: Request) -> Reply:
        """Send a request until its answer comes."""
        data = enframe(request.encode())
        error = LinkError("")
        for _ in range(self.retries + 1):
            self._line.write(data)
            try:
                return self._answer(request)
            except _FLEETING as failed:
                error = failed
        self._in_step = False  # it may have been carried out or not: meet afresh
        raise type(error)(f"{error}; asked {self.retries + 1} times")

    def _answer(self, request: Request) -> Reply:
        """The reply to this request; answers to earlier ones are skipped."""
        name = Command(request.command).name
        deadline, came, stale = time.monotonic() + self.timeout, 0, 0
        while data := self._line.read(max(0.0, deadline - time.monotonic())):
            came += len(data)
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
                stale += 1
            if came >= ANSWER_BYTES:
                raise self._flooded(name, came, stale)
            if time.monotonic() >= deadline:
                break
        self._line.write(bytes([FLAG]))  # ends what the board may still listen to
        raise LinkTimeoutError(
            f"no answer to {name} within {self.timeout:g} s: check cable, port, rate and power"
        )

    @staticmethod
    def _flooded(name: str, came: int, stale: int) -> LinkError:
        """Bytes go on and on without an answer."""
        if stale:
            return StaleAnswersError(
                f"{stale} frames came and none answers {name}: another program uses the line"
            )
        return NoiseError(
            f"{came} bytes came and no frame to answer {name}: check port, rate and what is "
            "at the other end"
        )

    def _refused(self, name: str, reply: Reply) -> None:
        if reply.code == Code.DAMAGED:
            raise DamagedFrameError(f"{name} was damaged on its way to the board")
        self._in_step = False
        raise OutOfStepError(
            f"the board expected request {(reply.sequence + 1) % 256}, not {name}: it was "
            "reset, or another program uses the line"
        )


def exchange(
    bus: Bus,
    packets: Sequence[Sequence[int]],
    expected: int,
    timeout: float,
    report: Callable[[], None],
) -> list[int]:
    """Send packets while receiving what comes out.

    Parameters
    ----------
    bus : Bus
    packets : sequence of sequences of int
        Words of each, at least one.
    expected : int
        Words that leave for them.
    timeout : float
        Seconds in which something must move.
    report : callable
        Raises what the accelerator has to say, if anything.

    Returns
    -------
    list of int

    Raises
    ------
    StuckError
        If nothing moves.
    MisalignedError
        If what comes out does not end with the frames.
    """
    waiting, sent, got, last = deque(packets), 0, list[int](), False
    deadline = time.monotonic() + timeout
    while len(got) < expected:
        taken = bus.send(waiting[0][sent:], True) if waiting else 0
        sent += taken
        moved = taken
        if waiting and sent == len(waiting[0]):
            waiting.popleft()
            sent = 0
        if not taken or not waiting:
            received = bus.receive(expected - len(got))
            got += received.words
            moved += len(received.words)
            last = received.last
        if moved:
            deadline = time.monotonic() + timeout
            continue
        report()
        if time.monotonic() > deadline:
            whole = sum(map(len, packets))
            left = sum(map(len, waiting)) - sent
            raise StuckError(
                f"nothing moved for {timeout:g} s after {whole - left} of {whole} words in and "
                f"{len(got)} of {expected} out: call reset() and run again"
            )
    if not last or waiting or len(got) > expected:
        raise MisalignedError("the frames' ends are out of step: call reset()")
    return got
