"""Placers that come no nearer to a placement, known by what nextpnr prints.

The static placer moves cells until few lie upon each other. Where many block memories have to find
room it goes round for ever: the largest of its overlaps falls no more, while the others are long
small. Iterations are counted, not seconds: any machine gives up on the same netlist and seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .errors import Unplaced
from .limits import PATIENCE

__all__ = ["frozen"]

OVERLAP = re.compile(rb"^Info: overlap: (.*)$")
KIND = re.compile(rb"(\w+)=([\d.]+)%")


def frozen(patience: int = PATIENCE) -> Callable[[Path], None]:
    """To be called while nextpnr places, and once after it.

    Parameters
    ----------
    patience : int
        Iterations in which the largest overlap must fall.

    Returns
    -------
    callable
        Reads what is new in the log that it is told; raises
        :class:`~boards.tools.errors.Unplaced` once the placer is frozen.
    """
    at, best, since = 0, float("inf"), 0

    def check(log: Path) -> None:
        nonlocal at, best, since
        if not log.exists():
            return
        with log.open("rb") as file:
            file.seek(at)
            lines = file.readlines()
        for line in lines:
            if not line.endswith(b"\n"):  # the rest of it is still to come
                return
            at += len(line)
            if not (found := OVERLAP.match(line.rstrip())):
                continue
            kind, worst = _worst(found[1])
            best, since = (worst, 0) if worst < best else (best, since + 1)
            if since >= patience:
                raise Unplaced(
                    f"frozen: overlap of {kind} {worst:g} %, no less for {patience} iterations"
                )

    return check


def _worst(said: bytes) -> tuple[str, float]:
    """The kind of cells that overlap most, and how much, in per cent."""
    found = [(kind.decode(), float(share)) for kind, share in KIND.findall(said)]
    return max(found, key=lambda one: one[1], default=("cells", 0.0))
