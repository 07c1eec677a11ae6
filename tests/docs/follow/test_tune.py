"""docs/tune.md: its Python runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import program


def test_its_tasks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second time from the store
        exec(program("docs/tune.md"), {})
        told = sorted(capsys.readouterr().out.splitlines())
        assert told == [f"sleep {n} None 1" for n in range(3)]
