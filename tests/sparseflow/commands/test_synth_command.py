from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boards.tools.cells import CellReport, ModuleCells
from boards.tools.synth import SynthesisError
from csb_format import save_model
from csb_format.random_models import demo_sized
from hdl.verilog import VerilogFiles
from sparseflow.steps.progress import news

Run = Callable[..., int]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put a synthesis in place that only notes what it is given."""
    noted: dict[str, Any] = {}

    def fake(files: VerilogFiles, **options: Any) -> CellReport:
        noted.update(options, images=files.images, top=files.paths[0].read_text())
        return CellReport((ModuleCells("sparseflow", 1, {"MULT18X18D": 40}),), True, "0.70", 2.0)

    monkeypatch.setattr("boards.tools.synth.synthesise_ecp5", fake)
    return noted


def test_random_model_by_default(
    run: Run, given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("synth", "--pes", "8", "--lanes", "2") == 0
    assert given["flatten"] is True
    assert given["images"][:8] == tuple(f"matrix_{i:03d}.mem" for i in range(8))
    printed = capsys.readouterr().out
    assert "8 x 2 multipliers" in printed
    assert "LFE5U-25F: needs 40 multipliers, it has 28" in printed
    assert "LFE5U-45F: needs" not in printed


def test_model_file_and_json(run: Run, given: dict[str, Any], tmp_path: Path) -> None:
    path, out = tmp_path / "model.sparseflow", tmp_path / "cells.json"
    save_model(path, demo_sized())
    assert (
        run("synth", "--model", str(path), "--json", str(out), "--by-module", "--timeout", "9") == 0
    )
    assert json.loads(out.read_text())["design"]["contexts"] == 1
    assert run("synth", "--model", str(path), "--json", str(out), "--contexts", "3") == 0
    assert json.loads(out.read_text())["design"]["contexts"] == 3
    again = ("--by-module", "--timeout", "9")
    assert run("synth", "--model", str(path), "--json", str(out), *again) == 0
    assert (given["flatten"], given["timeout"]) == (False, 9)
    fields = json.loads(out.read_text())
    assert fields["design"]["slots"] == 128
    assert fields["cells"]["MULT18X18D"] == 40


def test_design_that_cannot_be(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("synth", "--lanes", "3") == 2
    assert "error: lanes = 3 does not divide the 8 banks" in capsys.readouterr().err


def test_missing_model(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("synth", "--model", str(tmp_path / "none.sparseflow")) == 2
    assert "none.sparseflow" in capsys.readouterr().err


def test_failed_synthesis_leaves_no_json(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> CellReport:
        raise SynthesisError("Yosys failed (exit 1)\nERROR: no")

    monkeypatch.setattr("boards.tools.synth.synthesise_ecp5", fail)
    out = tmp_path / "cells.json"
    assert run("synth", "--json", str(out)) == 2
    assert "error: Yosys failed (exit 1) ERROR: no" in capsys.readouterr().err
    assert not out.exists()


def test_figures_of_place_and_route(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def measured(*given: Any) -> dict[str, Any]:
        asked.extend(given)
        return {"lut": 10, "fmax_mhz": 83.5}

    monkeypatch.setattr("boards.build.timing.measured", measured)
    out = tmp_path / "figures.json"
    assert run("timing", "--board", "ulx3s", "--lanes", "2", "--seed", "3", "--json", str(out)) == 0
    assert json.loads(out.read_text()) == {"lut": 10, "fmax_mhz": 83.5}
    assert (asked[0], *asked[2:]) == ("ulx3s", 4, 2, 3, news, None, 1)
