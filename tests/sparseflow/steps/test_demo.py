"""The demo, with training and simulation cut short."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from csb_format import load_model
from pruning.tasks.recipes.recipe import Recipe
from sparseflow.pages.measured import read_figures
from sparseflow.pages.report import read_report
from sparseflow.steps import pipeline

if TYPE_CHECKING:
    from tests.sparseflow.conftest import Finished

Run = Callable[..., int]
ARRAY = ("--pes", 4, "--lanes", 4)


@pytest.fixture
def small_demo(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[dict[str, Any]]]:
    """A demo that trains for moments and shows the finished run's figures as its own."""
    small = Recipe(
        hidden_size=16, banks=4, dense_epochs=1, increments=1, step_epochs=1, final_epochs=1
    )
    monkeypatch.setattr("pruning.tasks.recipes.recipe.Recipe", lambda: small)

    def install(failing: bool = False) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def simulate(model: Path, data: Path, build: Path, **given: Any) -> None:
            calls.append(given)
            figures = read_figures(finished.folder / "b") | {"seconds": given["seconds"]}
            (build / "figures.json").write_text(json.dumps(figures))
            if failing:
                raise pipeline.VerificationError("layer 0: gate g, row 1, bank 2, cycle 3")

        monkeypatch.setattr(pipeline, "simulate", simulate)
        return calls

    return install


def test_demo_runs_cocotb_beside_and_names_its_commands(
    run: Run, tmp_path: Path, small_demo: Callable[..., list[dict[str, Any]]]
) -> None:
    calls, out = small_demo(), tmp_path / "d"
    assert run("demo", "--out", out, *ARRAY, "--icarus", 3, "--cocotb", 1, "--seed", 2) == 0
    (call,) = calls
    assert (call["icarus"], call["cocotb"], call.get("utterances")) == (3, 1, None)
    assert (call["dense"], call["pruned"]) == (
        out / "dense.safetensors",
        out / "pruned.safetensors",
    )
    found = read_report(out)
    assert set(found["seconds"]) == {"start", "data", "train", "pack"}
    assert found["commands"][0] == (
        "sparseflow demo --out d --pes 4 --lanes 4 --icarus 3 --cocotb 1 --seed 2"
    )
    assert found["commands"][2:4] == ["cd d", "sparseflow data japanese-vowels --out ."]
    about = load_model(out / "model.safetensors").provenance
    assert {name: json.loads(about[name]) for name in ("banks", "seed")} == {"banks": 4, "seed": 2}
    assert len(json.loads(about["increments"])) == 1


def test_demo_without_icarus(
    run: Run, tmp_path: Path, small_demo: Callable[..., list[dict[str, Any]]]
) -> None:
    calls = small_demo()
    assert run("demo", "--out", tmp_path, *ARRAY, "--icarus", 0) == 0
    assert [(call["icarus"], call["cocotb"]) for call in calls] == [(0, 0)]


def test_demo_with_wrong_hardware_still_reports(
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    small_demo: Callable[..., list[dict[str, Any]]],
) -> None:
    calls = small_demo(failing=True)
    assert run("demo", "--out", tmp_path, *ARRAY) == 1
    assert len(calls) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "error: layer 0: gate g, row 1, bank 2, cycle 3"
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("seed", [0, 7])
def test_demo_with_the_same_seed_gives_the_same_files(
    run: Run, tmp_path: Path, seed: int, small_demo: Callable[..., list[dict[str, Any]]]
) -> None:
    small_demo()
    names = ("train.npz", "dense.safetensors", "pruned.safetensors", "model.safetensors")
    for folder in ("a", "b"):
        assert run("demo", "--out", tmp_path / folder, *ARRAY, "--seed", seed) == 0
    first, second = (
        [(tmp_path / folder / name).read_bytes() for name in names] for folder in ("a", "b")
    )
    assert first == second
