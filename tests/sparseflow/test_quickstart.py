from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import one

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart.py"


def test_quickstart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "50% of the weights removed"
    assert shown[1] == f"{2 * 4 * 16 * 2} states, 0 mismatches"
    assert shown[2].endswith("as predicted: True")
    made = tmp_path / "build" / "quickstart"
    assert (made / "model.safetensors").exists()
    assert (made / "verilog" / "sparseflow.v").exists()


def test_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = one("README.md", "python")
    ours = [line for line in code.splitlines() if "import" in line and "numpy" not in line]
    assert ours == ["from torch import nn", "import sparseflow as sf"]
    steps = [line for line in code.splitlines() if line.strip() and line[0] not in "#if"]
    assert len(steps) <= 12
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("0 mismatches, ")
