"""A full disk and too little memory: one line that names the file, and nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.limits import small_files

if TYPE_CHECKING:
    from tests.sparseflow.conftest import Chain

Run = Callable[..., int]


@pytest.mark.parametrize("command", ["pack", "doctor"])
def test_a_full_disk_names_what_was_written(
    run: Run, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    out = tmp_path / "out"
    words: dict[str, tuple[object, ...]] = {
        "pack": ("pack", chain.pruned, "--calibration", chain.data, "--out", out),
        "doctor": ("doctor", chain.dense, "--json", out),
    }
    with small_files(100):
        assert run(*words[command]) == 2
    shown = capsys.readouterr().err
    last = [line for line in shown.splitlines() if line.startswith("error: ")]
    assert len(last) == 1
    assert str(out) in last[0]
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [MemoryError, lambda: OSError(28, "No space left on device")])
def test_what_names_no_file_gets_one(
    run: Run,
    chain: Chain,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[], BaseException],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error()

    monkeypatch.setattr("sparseflow.steps.pipeline.verilog", fail)
    out = tmp_path / "out"
    assert run("verilog", chain.model, "--out", out) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    wanted = chain.model if error is MemoryError else out
    assert shown.startswith(f"error: {wanted}: ")
