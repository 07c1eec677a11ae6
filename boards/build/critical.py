"""The critical path of every clock, from nextpnr's report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .blocks import signal_of

__all__ = ["CriticalPath", "Hop", "critical_paths"]

EDGE = re.compile(r"(?:posedge|negedge) (?:\$glbnet\$)?")


@dataclass(frozen=True)
class Hop:
    """A part of a path.

    Parameters
    ----------
    kind : {"logic", "routing"}
        Within a cell, or on the wire to the next.
    ns : float
    signal : str
        What the cell feeds in which it ends, behind the kind of its block.
    cell, port : str
        Where it ends.
    """

    kind: str
    ns: float
    signal: str
    cell: str
    port: str


@dataclass(frozen=True)
class CriticalPath:
    """The longest way from one register to the next.

    Parameters
    ----------
    clock : str
    begin, end : str
        Cell and port.
    hops : tuple of Hop
        From the clock's edge to the set-up before the next.
    """

    clock: str
    begin: str
    end: str
    hops: tuple[Hop, ...]

    def ns(self, kind: str) -> float:
        """Delay of one kind in ns."""
        return round(sum(hop.ns for hop in self.hops if hop.kind == kind), 3)


def critical_paths(report: Mapping[str, Any]) -> tuple[CriticalPath, ...]:
    """Paths that begin and end at the same clock, the longest first.

    Parameters
    ----------
    report : mapping
        As nextpnr's ``--report`` writes it.
    """
    found = [
        _path(clock, [_hop(part) for part in given["path"]], given["path"])
        for given in report.get("critical_paths", ())
        if (clock := EDGE.sub("", given["from"])) == EDGE.sub("", given["to"]) and given["path"]
        if EDGE.match(given["from"])
    ]
    return tuple(sorted(found, key=lambda path: -sum(hop.ns for hop in path.hops)))


def _path(clock: str, hops: list[Hop], parts: list[dict[str, Any]]) -> CriticalPath:
    return CriticalPath(clock, _place(parts[0]["from"]), _place(parts[-1]["to"]), tuple(hops))


def _place(at: Mapping[str, Any]) -> str:
    return f"{at['cell']}.{at['port']}"


def _hop(part: Mapping[str, Any]) -> Hop:
    """Clock-to-output and set-up are logic too."""
    end = part["to"]
    kind = "routing" if part["type"] == "routing" else "logic"
    delay = round(float(part["delay"]), 3)
    return Hop(kind, delay, signal_of(end["cell"]), end["cell"], end["port"])
