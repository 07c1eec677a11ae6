"""A score taken apart, for a page: by class, by length, and what was taken for what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["MOST_COLUMNS", "classes", "confused", "confusion", "lengths"]

MOST_COLUMNS = 40  # of a confusion matrix on a page
MOST_CONFUSED = 10  # pairs that are named

Report = Mapping[str, Any]


def _names(report: Report, count: int) -> list[str]:
    """Of classes: those that the model knows, else their numbers."""
    rows = report.get("scores", {}).get("by_class", [])
    named = {row["class"]: str(row["name"]) for row in rows if "name" in row}
    return [named.get(n, str(n)) for n in range(count)]


def classes(report: Report) -> list[dict[str, Any]]:
    """``name, count, right, given`` and ``share`` of right ones; of classes that labels have."""
    rows = report.get("scores", {}).get("by_class", [])
    names = _names(report, 1 + max((row["class"] for row in rows), default=0))
    return [
        {**row, "name": names[row["class"]], "share": row["right"] / row["count"]}
        for row in rows
        if row["count"]
    ]


def lengths(report: Report) -> list[dict[str, Any]]:
    """``frames`` in words, ``sequences``, ``count`` and the score's figures."""
    rows = report.get("scores", {}).get("by_length", [])
    return [{**row, "frames": _span(row["from"], row["to"])} for row in rows]


def _span(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def confusion(report: Report) -> dict[str, Any] | None:
    """``names`` and ``rows``, of every label a ``count`` and its ``share`` for every answer.

    None where there is none, or it is too wide for a page.
    """
    counts = report.get("scores", {}).get("confusion")
    if not counts or len(counts) > MOST_COLUMNS:
        return None
    rows = [[(count, count / max(1, sum(row))) for count in row] for row in counts]
    return {"names": _names(report, len(counts)), "rows": rows}


def confused(report: Report) -> list[dict[str, Any]]:
    """The pairs that are most often taken for each other: ``label, answer, count, of``."""
    counts = report.get("scores", {}).get("confusion") or []
    names = _names(report, len(counts))
    pairs = [
        {"label": names[n], "answer": names[m], "count": count, "of": sum(row)}
        for n, row in enumerate(counts)
        for m, count in enumerate(row)
        if n != m and count
    ]
    return sorted(pairs, key=lambda pair: -int(pair["count"]))[:MOST_CONFUSED]
