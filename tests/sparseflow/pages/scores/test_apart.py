"""A score taken apart, as a page shows it."""

from __future__ import annotations

from typing import Any

from sparseflow.pages.scores.apart import MOST_COLUMNS, classes, confused, confusion, lengths

COUNTS = [[5, 1, 0], [2, 8, 0], [0, 0, 0]]


def report(**more: Any) -> dict[str, Any]:
    rows = [
        {"class": n, "count": sum(row), "right": row[n], "given": 0} for n, row in enumerate(COUNTS)
    ]
    return {"scores": {"by_class": rows, "confusion": COUNTS, **more}}


def test_classes_have_their_share_and_those_that_no_label_has_none() -> None:
    assert [(row["name"], row["share"]) for row in classes(report())] == [("0", 5 / 6), ("1", 0.8)]
    assert classes({}) == lengths({}) == confused({}) == []
    assert confusion({}) is None


def test_names_of_the_model_are_those_of_the_page() -> None:
    named = [row | {"name": f"no {row['class']}"} for row in report()["scores"]["by_class"]]
    found = report(by_class=named)
    assert [row["name"] for row in classes(found)] == ["no 0", "no 1"]
    (first, second) = confused(found)
    assert (first["label"], first["answer"], first["count"], first["of"]) == ("no 1", "no 0", 2, 10)
    assert (second["label"], second["answer"]) == ("no 0", "no 1")
    matrix = confusion(found)
    assert matrix is not None
    assert matrix["names"] == ["no 0", "no 1", "no 2"]
    assert matrix["rows"][1] == [(2, 0.2), (8, 0.8), (0, 0.0)]
    assert matrix["rows"][2] == [(0, 0.0)] * 3


def test_a_matrix_that_no_page_can_hold_is_left_out() -> None:
    wide = [[1] * (MOST_COLUMNS + 1)] * (MOST_COLUMNS + 1)
    assert confusion(report(confusion=wide)) is None
    assert len(confused(report(confusion=wide))) == 10


def test_lengths_are_told_as_spans() -> None:
    parts = [{"from": 7, "to": 7, "sequences": 1}, {"from": 8, "to": 1200, "sequences": 2}]
    assert [row["frames"] for row in lengths(report(by_length=parts))] == ["7", "8 to 1,200"]
