"""Rows of places and routes that ended well, as clocks are learned from them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from boards.board import board

__all__ = ["routed"]

SAME = ("M", "N", "layer", "option", "value_bits", "act_bits", "model")
"""What tells designs of a board apart; devices of a kind have the same ones."""


ARRAY = ("M", "N", "value_bits", "act_bits")
BUILT = ("lut", "cpu_seconds")
"""What is known of a whole build."""


def routed(path: Path) -> list[dict[str, Any]]:
    """What ``python -m bench.boards.bitstreams`` and others have written: ``rows``.

    Parameters
    ----------
    path : Path
        JSON; rows have ``board`` and ``fmax_mhz``, or ``attempts`` with one each.

    Returns
    -------
    list of dict
        ``board``, ``design`` and ``fmax_mhz`` of every attempt that was routed, and ``about``, what
        :func:`boards.cells.clocks.features` takes, where the row tells it; the first of a build
        also has its ``lut`` and ``cpu_seconds`` where these are known.

    Raises
    ------
    ValueError
        If there is none.
    """
    try:
        found = list(_rows(json.loads(path.read_text("utf-8"))["rows"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: no routed rows ({type(error).__name__}: {error})") from None
    if not found:
        raise ValueError(f"{path}: no row has board and fmax_mhz: give what a build has reached")
    return found


def _rows(rows: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        name, tried = row.get("board"), row.get("attempts") or [row]
        more = {n: row[n] for n in BUILT if row.get(n)}
        if sum(bool(one.get("fmax_mhz")) for one in tried) > 1:
            more.pop("cpu_seconds", None)  # of several seeds together
        for one in tried:
            if name and (reached := one.get("fmax_mhz")):
                design = " ".join(f"{row[field]}" for field in SAME if field in row)
                found = {"board": board(name).name, "design": design, "fmax_mhz": float(reached)}
                yield found | _about(row) | more
                more = {}


def _about(row: Mapping[str, Any]) -> dict[str, Any]:
    luts = row.get("lut") or row.get("counted", {}).get("lut")
    if not luts or any(name not in row for name in ARRAY):
        return {}
    array, bits = (row["M"], row["N"]), (row["value_bits"], row["act_bits"])
    return {"about": {"luts": int(luts), "array": array, "bits": bits}}
