"""docs/screening.md: its Python, its command, and the sizes that it and the specification say."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import Model, save_model
from csb_format.files import sealed
from csb_format.random_models import random_model
from csb_format.screening.layer import ScreenedLayer
from engine.levels import run_levels
from engine.reference import IntegerModel
from sparseflow.commands import cli
from sparseflow.steps.options import PackOptions
from tests.docs.blocks import ROOT, one

PAGE = "docs/screening.md"
TITLE, BEHIND = "Screening: the largest logits from few bits", "Behind an array"
OUTSIDE = "Planes outside, behind an array"


def test_its_python_holds_what_it_asserts() -> None:
    found: dict[str, object] = {}
    exec(compile(one(PAGE, "python", "From Python"), PAGE, "exec"), found)
    assert "found" in found


def test_its_command_has_the_option() -> None:
    words = shlex.split(one(PAGE, "sh", TITLE))
    assert words[:2] == ["sparseflow", "pack"]
    assert "--screen" in words
    assert PackOptions.screen is False


def screened_file(folder: Path) -> None:
    model = random_model(np.random.default_rng(0), 5, 8, 4, 1, 1, head=37)
    assert model.head is not None
    save_model(folder / "model.safetensors", replace(model, head=ScreenedLayer.of(model.head)))


def test_its_driver_finds_the_largest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screened_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(1).integers(-200, 200, (3, 5))
    found: dict[str, Any] = {"frames": frames}
    exec(compile(one(PAGE, "python", BEHIND), PAGE, "exec"), found)
    logits = np.sort(found["image"].model.head.logits(_last_state(found["image"].model, frames)))
    assert found["found"].logits[-1].tolist() == logits[::-1][:8].tolist()
    assert str(int(logits[-1])) in capsys.readouterr().out


def _last_state(model: Model, frames: np.ndarray) -> np.ndarray:
    return np.asarray(run_levels(IntegerModel(model), [frames])[-1][0].output[-1])


def _in_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the page's commands find what they name."""
    screened_file(folder)
    monkeypatch.chdir(folder)
    frames = np.random.default_rng(1).normal(0, 0.5, (5, 5)).astype(np.float32)
    np.savez("data.npz", frames=frames, lengths=np.array([3, 2]))


def test_its_simulation_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _in_a_folder(tmp_path, monkeypatch)
    words = shlex.split(one(PAGE, "sh", BEHIND))
    assert words[0] == "sparseflow"
    small = ["--pes", "4", "--lanes", "2", "--simulator", "icarus"]  # of the page, a quick array
    monkeypatch.setattr(sys, "argv", [*words, *small])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (None, 0), capfd.readouterr()
    figures = json.loads(Path("build/screened/figures.json").read_text())
    assert figures["mismatches"] == 0
    assert figures["screen"]["k"] == 8
    assert figures["screen"]["proven"] is True
    assert "--largest 8" in figures["commands"][-1]
    told = "screen: the 8 largest of 37 logits, proven; "
    assert told in " ".join(capfd.readouterr().err.split())
    monkeypatch.setattr(sys, "argv", ["sparseflow", "report", "build/screened", "--out", "report"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "8 largest of 37 logits, proven" in Path("report/report.html").read_text()
    assert json.loads(Path("report/report.json").read_text())["screen"]["margin"] == 1


@pytest.mark.slow
def test_its_commands_with_planes_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _in_a_folder(tmp_path, monkeypatch)
    small = ["--pes", "4", "--lanes", "2"]
    commands = [*one(PAGE, "sh", OUTSIDE).splitlines(), "sparseflow ip model.safetensors --out ip"]
    for line in commands:
        words = [*shlex.split(line), *small]
        words += ["--simulator", "icarus"] * (words[1] == "simulate")
        words += ["--planes", "64"] * (words[1] == "ip")
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (None, 0), capfd.readouterr()
    figures = json.loads(Path("build/outside/figures.json").read_text())
    assert figures["mismatches"] == 0
    assert figures["simulators"][0]["cycles_exact"] is True
    assert "--largest 5 --planes 128" in figures["commands"][-1]
    assert "_MODEL_PLANES " in Path("build/dram/sparseflow_model.h").read_text()
    assert list(Path("ip").glob("*_planes.bin"))
    monkeypatch.setattr(sys, "argv", [*words[:-1], "96", "--out", "other"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code
    assert "planes = 96: bits of the bus to a memory" in " ".join(capfd.readouterr().err.split())


def test_tensors_are_those_of_the_specification(tmp_path: Path) -> None:
    model = random_model(np.random.default_rng(0), 5, 6, 2, 1, 1, head=37)
    assert model.head is not None
    head = ScreenedLayer.of(model.head)
    save_model(tmp_path / "m", replace(model, head=head))
    header, tensors = sealed.decode(tmp_path / "m", "model")
    text = (ROOT / "docs/specification.md").read_text("utf-8")
    section = text[text.index("### Head in planes") : text.index("### A whole file")]
    for name in tensors:
        if name.startswith("head.") and name not in ("head.bias", "head.planes.1", "head.planes.2"):
            assert f"`{name}`" in section
    for key in header["head"]["screen"]:
        assert f"`{key}`" in section
    read = {name: tensor.shape[1] for name, tensor in tensors.items() if name.startswith("head.p")}
    first, second, exact = head.row_bytes()
    assert first == read["head.planes.0"] + tensors["head.first"].shape[1]
    assert second == read["head.planes.1"] + tensors["head.second"].shape[1]
    assert exact == sum(read.values()) + 8 + tensors["head.order"].shape[1]
