"""A row of every part: what takes time, before and after a change, and what it may take."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..record import Rows, write_record

__all__ = ["Row", "write_rows"]


@dataclass(frozen=True)
class Row:
    """Seconds of one piece of work.

    Parameters
    ----------
    what : str
        The work, and how it is timed.
    before_s : float or None
        The old way in the same run; None where it would take too long.
    after_s : float
    limit_s : float or None
        What ``after_s`` must stay below; a share of ``before_s`` where the promise is a ratio.
    more : dict, optional
        Other figures of the row.
    """

    what: str
    before_s: float | None
    after_s: float
    limit_s: float | None
    more: dict[str, Any] | None = None

    def plain(self, part: str) -> dict[str, Any]:
        """For JSON; seconds to three digits behind the point."""
        fields = asdict(self)
        more = fields.pop("more") or {}
        seconds = {k: round(v, 3) if isinstance(v, float) else v for k, v in fields.items()}
        return {"part": part} | seconds | more


def write_rows(path: Path, seed: int, rows: Rows, order: list[str]) -> None:
    """Write rows beside those that the file has of other parts."""
    new = {row["part"] for row in rows}
    kept = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else []
    others = [row for row in kept if row["part"] in order and row["part"] not in new]
    both = sorted(others + rows, key=lambda row: order.index(row["part"]))
    write_record(path, "bench.speed", seed, both)
