"""Results of several runs in one file."""

from __future__ import annotations

from pathlib import Path

from bench.record import with_others, write_record


def test_rows_of_other_cases_stay(tmp_path: Path) -> None:
    file, cases = tmp_path / "r.json", ("a", "b", "c")
    assert with_others(file, [{"case": "b", "n": 1}], cases) == [{"case": "b", "n": 1}]
    old = [{"case": name, "n": 0} for name in ("gone", "c", "b", "a")]
    write_record(file, "bench.x", 0, old)
    found = with_others(file, [{"case": "b", "n": 1}], cases)
    assert [(row["case"], row["n"]) for row in found] == [("a", 0), ("b", 1), ("c", 0)]
