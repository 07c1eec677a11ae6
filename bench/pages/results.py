"""What has been measured, as the pages cite it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..accuracy.report import Scores, gaps, written

__all__ = [
    "ROOT",
    "above",
    "bitstreams",
    "case",
    "counted",
    "mean",
    "record",
    "scores",
    "table",
    "tests",
    "written",
]

ROOT = Path(__file__).resolve().parents[2]


@lru_cache
def record(name: str) -> dict[str, Any]:
    """A file of ``bench/results``, with its rows."""
    found: dict[str, Any] = json.loads((ROOT / f"bench/results/{name}.json").read_text("utf-8"))
    return found


def case(name: str, **wanted: Any) -> dict[str, Any]:
    """The one row of a file that has these values."""
    rows = record(name)["rows"]
    (row,) = (row for row in rows if all(row[key] == value for key, value in wanted.items()))
    found: dict[str, Any] = row
    return found


def bitstreams(example: str) -> list[dict[str, Any]]:
    """Those of the model that ``examples`` has under this name."""
    model = f"examples/{example}/model.safetensors"
    return [row for row in record("boards")["rows"] if row.get("model") == model]


@lru_cache
def scores(network: str) -> Scores:
    """Of a network of :mod:`bench.accuracy.networks`."""
    return Scores.of(network, record("accuracy")["rows"])


def tests(network: str, pattern: str, sparsity: float) -> list[float]:
    """Test scores, a number a seed, of the seeds that have all patterns: a dense copy, equal k."""
    found = scores(network)
    whole = found.dense.keys() & found.tuned["banks of 25", sparsity].keys()
    tuned = found.tuned[pattern, sparsity]
    return [value for seed, value in tuned.items() if seed in whole]


def above(network: str, pattern: str, sparsity: float, seed: int | None = None) -> list[float]:
    """How much worse than unstructured, seed by seed."""
    tuned = scores(network).tuned
    if seed is not None:
        tuned = {key: {seed: found[seed]} for key, found in tuned.items() if seed in found}
    return gaps(tuned, pattern, "unstructured", sparsity)


def counted(number: int) -> str:
    """A number of seeds in words."""
    return {1: "one", 2: "two", 3: "three", 4: "four"}[number]


def mean(values: Sequence[float], digits: int = 2) -> str:
    """Mean without its deviation."""
    return f"{statistics.mean(values):.{digits}f}"


def table(lines: Sequence[Sequence[str]]) -> str:
    """Rows of Markdown, heads first."""
    heads, *rest = ("| " + " | ".join(line) + " |" for line in lines)
    return (
        "\n".join([heads, "|" + "---|" * len(lines[0]), *rest])
        .replace("|  |", "| |")
        .replace("|  |", "| |")
    )
