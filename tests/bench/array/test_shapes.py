"""Held-out shapes: what is committed is what the cycle model says, and has no cliffs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.array.shapes import ARRAYS, GRID, SHAPES, STREAMS, measured_of, pairs_of

ROOT = Path(__file__).resolve().parents[3]

RECORD: dict[str, Any] = json.loads((ROOT / "bench/results/utilisation.json").read_text("utf-8"))
ROWS: list[dict[str, Any]] = RECORD["shapes"]


def test_every_shape_is_there() -> None:
    wanted = [(held.name, *array) for held in SHAPES for array in ARRAYS]
    assert [(row["shape"], row["M"], row["N"]) for row in ROWS] == wanted
    assert len(SHAPES) == 34


@pytest.mark.parametrize("name", ["ECG, 1 channel", "cliff: 128 units", "sensors, GRU"])
def test_rows_are_those_of_the_model(name: str) -> None:
    (held,) = (held for held in SHAPES if held.name == name)
    found = json.loads(json.dumps(list(measured_of(held))))
    assert found == [row for row in ROWS if row["shape"] == name]


def test_more_streams_are_never_less_busy() -> None:
    for row in ROWS:
        shares = [row["utilisation"][str(n)] for n in STREAMS]
        assert shares == sorted(shares), row


def test_shallow_arrays_are_never_slower() -> None:
    assert all(row["shallow"]["cycles"] <= row["cycles"]["1"] for row in ROWS)
    assert sum(row["shallow"]["cycles"] < row["cycles"]["1"] for row in ROWS) > len(ROWS) // 2


def test_the_cliffs_are_gone() -> None:
    found = {(row["shape"], row["M"]): row["utilisation"] for row in ROWS}
    assert found["cliff: 128 units", 64]["4"] >= 0.95
    assert found["cliff: 256 units, two directions", 256]["1"] >= 0.9
    assert found["cliff: 512 inputs, two directions", 256]["1"] >= 0.9


def test_pairs_of_arrays_are_those_of_the_model() -> None:
    """The larger of two arrays is hardly ever slower, and never by more than some cycles."""
    pairs = RECORD["pairs"]
    assert pairs["count"] == len(SHAPES) * 2 * len(STREAMS) * (len(GRID) - 1)
    for streams, slower, cycles in ((1, 2, 1), (2, 2, 3), (4, 2, 3)):
        found = [row["cycles"] for row in pairs["slower"] if row["streams"] == streams]
        assert len(found) <= slower
        assert all(many - few <= cycles for few, many in found)
    (held,) = (held for held in SHAPES if held.name == "key words, GRU")
    again = json.loads(json.dumps(pairs_of(held, 8, 1)))
    assert again == [
        row
        for row in pairs["slower"]
        if (row["shape"], row["N"], row["streams"]) == (held.name, 8, 1)
    ]
