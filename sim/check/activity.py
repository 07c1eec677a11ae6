"""What was counted of signals, block by block: reads SAIF (IEEE 1801, annex I)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Activity", "Block", "read_saif"]

_NET = re.compile(r"\(\S+ \(T0 (\d+)\) \(T1 (\d+)\) .*\(TC (\d+)\)\)")
CLOCK = 10  # time units of a cycle


@dataclass(frozen=True)
class Block:
    """An instance, without those inside it.

    Parameters
    ----------
    path : str
        Names of instances from the top on, ``/`` between them.
    bits, changes : int
        Its bits, ports among them, and how often they change.
    """

    path: str
    bits: int
    changes: int


@dataclass(frozen=True)
class Activity:
    """Of a run.

    Parameters
    ----------
    cycles : int
    blocks : tuple of Block
        In the order of the file.
    """

    cycles: int
    blocks: tuple[Block, ...]

    @property
    def changes(self) -> int:
        """Of all."""
        return sum(block.changes for block in self.blocks)


def read_saif(lines: Iterable[str]) -> Activity:
    """Sum up a file that Verilator wrote.

    Raises
    ------
    ValueError
        If a bit is neither 0 nor 1 all the time, or there is no duration.
    """
    path: list[str] = []
    found: dict[str, list[int]] = {}
    duration = 0
    for line in map(str.strip, lines):
        if line.startswith("(DURATION "):
            duration = int(line[10:-1])
        elif line.startswith("(INSTANCE "):
            path.append(line[10:])
        elif net := _NET.fullmatch(line):
            low, high, changes = map(int, net.groups())
            if low + high != duration:
                raise ValueError(f"{line}: {low} + {high} is not the duration, {duration}")
            of = found.setdefault("/".join(path), [0, 0])
            of[0] += 1
            of[1] += changes
        elif line == "(NET":
            path.append("")  # what ends next
        elif line == ")" and path:
            path.pop()
    if not duration:
        raise ValueError("no duration, or none that is above 0")
    blocks = (Block(at.rstrip("/"), *counts) for at, counts in found.items())
    return Activity(duration // CLOCK, tuple(blocks))
