"""Results of several runs in one file."""

from __future__ import annotations

import json
from pathlib import Path

from bench.record import processor, with_others, write_record


def test_rows_of_other_cases_stay(tmp_path: Path) -> None:
    file, cases = tmp_path / "r.json", ("a", "b", "c")
    assert with_others(file, [{"case": "b", "n": 1}], cases) == [{"case": "b", "n": 1}]
    old = [{"case": name, "n": 0} for name in ("gone", "c", "b", "a")]
    write_record(file, "bench.x", 0, old)
    found = with_others(file, [{"case": "b", "n": 1}], cases)
    assert [(row["case"], row["n"]) for row in found] == [("a", 0), ("b", 1), ("c", 0)]


def test_a_record_names_the_processor(tmp_path: Path) -> None:
    write_record(file := tmp_path / "r.json", "bench.x", 0, [])
    assert json.loads(file.read_text("utf-8"))["cpu"] == processor() != ""
