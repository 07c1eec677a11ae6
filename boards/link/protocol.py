"""The link's frames in bytes: what host and board say to each other; see docs/link.md.

Nothing here needs Amaranth or NumPy. The C driver's header derives from the same constants
(:mod:`boards.link.c_header`), the hardware too (:mod:`boards.link.gateware`).
"""

from __future__ import annotations

import binascii
import enum
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = [
    "ANSWER_BYTES",
    "BAUD",
    "BUS_BITS",
    "COMMANDS_WITH_WORDS",
    "DRAIN_WORDS",
    "ESCAPE",
    "ESCAPED",
    "FLAG",
    "HEADER",
    "MAX_WORDS",
    "NAK",
    "RATE_SLACK",
    "REPLIES_WITH_WORDS",
    "REPLY",
    "SETTLE_READS",
    "VERSION",
    "Code",
    "Command",
    "Damaged",
    "FrameFinder",
    "ProtocolError",
    "Reply",
    "Request",
    "check_sequence",
    "enframe",
]

BUS_BITS = 32  # of the accelerator's streams behind the link

BAUD = 1_000_000  # where neither board nor caller names another
RATE_SLACK = 50  # a port may be off by one of so many parts of the rate; the receiver bears 3 %

VERSION = 1
FLAG, ESCAPE, ESCAPED = 0x7E, 0x7D, 0x20
HEADER = 6  # bytes before the words, of requests and of replies
MAX_WORDS = 128  # of 32 bits, in one frame
REPLY = 0x80  # in a reply's command
NAK = 0xFF  # in place of a command: the request was not understood or not expected
RESIDUE_START, RESIDUE_XOR = 0xFFFF, 0xFFFF

# What ends a host's wait for a peer that talks on and on without an answer.
ANSWER_BYTES = 4 * (2 * (HEADER + 4 * MAX_WORDS + 2) + 2)  # four of the longest frames
SETTLE_READS = 100  # of `status`; it settles within a few cycles
DRAIN_WORDS = 1 << 16  # after a reset, when nothing new is computed


class Command(enum.IntEnum):
    """What a request asks for."""

    HELLO = 0
    READ = 1
    WRITE = 2
    SEND = 3
    RECEIVE = 4


class Code(enum.IntEnum):
    """How it went."""

    OK = 0
    DAMAGED = 1
    SEQUENCE = 2
    UNKNOWN = 3
    LENGTH = 4
    REFUSED = 5


COMMANDS_WITH_WORDS = frozenset({Command.WRITE, Command.SEND})
REPLIES_WITH_WORDS = frozenset({Command.HELLO, Command.READ, Command.RECEIVE})
INCREMENT = 0x8000  # in the argument of READ and WRITE: each word at the next address
LAST = 1  # in the argument of SEND and the flags of RECEIVE: the last word ends a packet


class ProtocolError(ValueError):
    """Bytes that are no frame of this protocol, or numbers that no frame can carry."""


def check_sequence(body: bytes) -> int:
    """CRC-16/IBM-SDLC (X.25) of a frame's bytes, as in RFC 1662.

    Its bits are mirrored, as are those of the bytes that the standard library's
    ``crc_hqx`` (the same polynomial, not mirrored) takes.
    """
    mirrored = binascii.crc_hqx(body.translate(_MIRRORED), RESIDUE_START) ^ RESIDUE_XOR
    return _MIRRORED[mirrored & 0xFF] << 8 | _MIRRORED[mirrored >> 8]


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def enframe(body: bytes) -> bytes:
    """Bytes for the line: flag, the body and its check sequence with escapes, flag."""
    whole = body + check_sequence(body).to_bytes(2, "little")
    escaped = bytearray([FLAG])
    for byte in whole:
        escaped += bytes([ESCAPE, byte ^ ESCAPED]) if byte in (FLAG, ESCAPE) else bytes([byte])
    return bytes(escaped + bytes([FLAG]))


@dataclass(frozen=True)
class Damaged:
    """What lay between two flags and is no frame.

    Parameters
    ----------
    reason : str
    """

    reason: str


@dataclass
class FrameFinder:
    """Finds frames in a stream of bytes; whatever came before, a flag starts afresh."""

    _body: bytearray = field(default_factory=bytearray)
    _escaped: bool = False
    _reason: str = ""

    def feed(self, data: bytes) -> Iterator[bytes | Damaged]:
        """Frames' bodies without their check sequence, and what was damaged.

        Parameters
        ----------
        data : bytes
            In pieces of any size.
        """
        for byte in data:
            if byte == FLAG:
                found = self._ended()
                self._body, self._escaped, self._reason = bytearray(), False, ""
                if found is not None:
                    yield found
            elif len(self._body) >= HEADER + 4 * MAX_WORDS + 2:
                self._reason = f"more than {HEADER + 4 * MAX_WORDS + 2} bytes"
            elif byte == ESCAPE:
                self._escaped = True
            else:
                self._body.append(byte ^ ESCAPED if self._escaped else byte)
                self._escaped = False

    def _ended(self) -> bytes | Damaged | None:
        if not self._body and not self._escaped and not self._reason:
            return None  # flags may follow each other
        if self._escaped:
            return Damaged("a flag after an escape")
        if self._reason or len(self._body) % 4 or len(self._body) < HEADER + 2:
            return Damaged(self._reason or f"{len(self._body)} bytes")
        body, sequence = bytes(self._body[:-2]), int.from_bytes(self._body[-2:], "little")
        expected = check_sequence(body)
        if sequence != expected:
            return Damaged(f"check sequence 0x{sequence:04X} instead of 0x{expected:04X}")
        return body


@dataclass(frozen=True)
class Request:
    """What the host asks for.

    Parameters
    ----------
    sequence : int
        0..255; that of the request before plus one.
    command : int
    count : int
        Words to write or send, or to read or receive.
    argument : int
        Byte address, ``INCREMENT``; or ``LAST``.
    words : tuple of int
        Of 32 bits, ``count`` of them, or none.
    """

    sequence: int
    command: int
    count: int = 0
    argument: int = 0
    words: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """The frame's body.

        Raises
        ------
        ProtocolError
            If a number does not fit.
        """
        head = (self.sequence, self.command, self.count, self.argument)
        return _encode("<BBHH", head, self.words)

    @classmethod
    def decode(cls, body: bytes) -> Request:
        """A request from a frame's body.

        Raises
        ------
        ProtocolError
            If it is too short or has no whole words.
        """
        sequence, command, count, argument = _head("<BBHH", body)
        return cls(sequence, command, count, argument, _words(body))


@dataclass(frozen=True)
class Reply:
    """What the board answers.

    Parameters
    ----------
    sequence : int
        Of the request; of a NAK, that of the last request that was carried out.
    command : int
        That of the request with ``REPLY``, or ``NAK``.
    code : int
        A :class:`Code`.
    flags : int
        ``VERSION`` for HELLO, ``LAST`` for RECEIVE.
    count : int
        Words that were moved.
    words : tuple of int
    """

    sequence: int
    command: int
    code: int = Code.OK
    flags: int = 0
    count: int = 0
    words: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """The frame's body; see :meth:`Request.encode`."""
        head = (self.sequence, self.command, self.code, self.flags, self.count)
        return _encode("<BBBBH", head, self.words)

    @classmethod
    def decode(cls, body: bytes) -> Reply:
        """A reply from a frame's body; see :meth:`Request.decode`."""
        sequence, command, code, flags, count = _head("<BBBBH", body)
        return cls(sequence, command, code, flags, count, _words(body))


def _encode(layout: str, head: tuple[int, ...], words: Sequence[int]) -> bytes:
    if len(words) > MAX_WORDS:
        raise ProtocolError(f"{len(words)} words: a frame carries {MAX_WORDS}; send several")
    try:
        return struct.pack(layout, *head) + struct.pack(f"<{len(words)}I", *words)
    except struct.error as error:
        raise ProtocolError(f"{head} and {len(words)} words: {error}") from None


def _head(layout: str, body: bytes) -> tuple[int, ...]:
    if len(body) < HEADER or (len(body) - HEADER) % 4:
        raise ProtocolError(f"{len(body)} bytes: a frame has {HEADER} and whole words")
    return struct.unpack(layout, body[:HEADER])


def _words(body: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{(len(body) - HEADER) // 4}I", body[HEADER:])
