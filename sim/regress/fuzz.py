"""Seeded fuzzing of parsers: broken copies of good files, and what comes of them."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Escape", "Parser", "Tally", "fuzz", "mutated"]

PIECES = (b"", b"\x00", b"\xff" * 8, b"-1", b"9" * 40, b"1e999", b"null", b"[[", b'"', b"{", b"}",
          b"=", b"\n", b"\xf0\x9f", b"NaN", b"0x", b"true", b"..", b"\x7fELF")  # fmt: skip


@dataclass(frozen=True)
class Parser:
    """Something that reads a file.

    Parameters
    ----------
    name : str
    read : callable
        Of a path.
    errors : tuple of exception types
        That it may raise for a file that is broken.
    seeds : sequence of bytes
        Contents that it reads.
    """

    name: str
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...]
    seeds: Sequence[bytes]


@dataclass(frozen=True)
class Escape:
    """An exception that a caller could not expect.

    Parameters
    ----------
    content : bytes
        Of the file.
    trace : str
    """

    content: bytes
    trace: str


@dataclass
class Tally:
    """What became of the broken files of one parser.

    Parameters
    ----------
    read, refused : int
    escapes : list of Escape
    """

    read: int
    refused: int
    escapes: list[Escape]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A copy with one to four changes: bits, bytes, pieces, cuts, repeats."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 2, 8, 64)))
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:end] = rng.randbytes(end - at)
        elif kind == 2:
            data[at:end] = rng.choice(PIECES)
        elif kind == 3:
            del data[at:end]
        elif kind == 4:
            data[at:at] = data[at:end] * rng.choice((1, 2, 50))
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def fuzz(parser: Parser, seconds: float, seed: int, folder: Path, most: int = 1 << 40) -> Tally:
    """Feed a parser broken files for some time.

    Parameters
    ----------
    parser : Parser
    seconds : float
    seed : int
    folder : Path
        For the files.
    most : int
        Files after which it ends.

    Returns
    -------
    Tally
        At most ten escapes.
    """
    tally, rng = Tally(0, 0, []), random.Random(seed)
    end, path = time.monotonic() + seconds, folder / "fuzzed"
    for content in _contents(parser, rng, most):
        if time.monotonic() > end or len(tally.escapes) >= 10:
            break
        path.write_bytes(content)
        try:
            parser.read(path)
            tally.read += 1
        except parser.errors:
            tally.refused += 1
        except Exception:
            tally.escapes.append(Escape(content, traceback.format_exc()))
    return tally


def _contents(parser: Parser, rng: random.Random, most: int) -> Iterator[bytes]:
    for _ in range(most):
        yield mutated(rng.choice(parser.seeds), rng)
