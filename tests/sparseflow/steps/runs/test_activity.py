"""What a run leaves of switching activity is its own."""

from __future__ import annotations

from pathlib import Path

from sparseflow.steps.runs.activity import FOLDER, forget


def test_activity_of_a_run_before_goes(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "program0.vcd").write_text("of another model")
    (tmp_path / "figures.json").write_text("{}")
    forget(tmp_path)
    forget(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
