"""Targets that are numbers, from the data file to the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from csb_format import Model, load_model, save_model
from engine.reference import IntegerModel
from pruning.tasks.data.datasets import SequenceData, load_sequences, save_sequences
from sparseflow.pages.measured import read_figures
from sparseflow.pages.report import read_report

if TYPE_CHECKING:
    from tests.sparseflow.conftest import Chain

Run = Callable[..., int]
Text = pytest.CaptureFixture[str]
ARRAY = ("--pes", 4, "--lanes", 4)
ICARUS = ("--simulator", "icarus")


def numbers(chain: Chain, path: Path, framewise: bool) -> SequenceData:
    """The chain's sequences, with three numbers for each or for each of their frames."""
    whole = load_sequences(chain.data)
    count = whole.frames if framewise else len(whole)
    targets = np.random.default_rng(5).normal(20, 3, (count, 3))
    labels = np.zeros(count, np.int64)
    data = replace(whole, labels=labels, framewise=framewise, targets=targets)
    save_sequences(path, data)
    return data


def errors(model: Model, data: SequenceData) -> tuple[float, float]:
    """MSE and MAE of the integer model, worked out again."""
    reference = IntegerModel(model)
    traces = reference.run(reference.quantise(data.sequences))
    off = np.concatenate([model.numbers(trace.output) for trace in traces]) - data.targets
    return float(np.mean(off**2)), float(np.mean(np.abs(off)))


def test_numbers_for_each_frame_are_pruned_and_packed(
    run: Run, chain: Chain, tmp_path: Path, capsys: Text
) -> None:
    names = ("d.npz", "p.safetensors", "m.safetensors", "j.json")
    d, p, m, j = (tmp_path / name for name in names)
    data, given = numbers(chain, d, framewise=True), ("--data", d)
    assert run("doctor", chain.dense, *given) == 0
    assert "as read: MSE" in " ".join(capsys.readouterr().out.split())
    prune = ("--banks", 4, "--sparsity", 0.75, "--epochs", 2, "--val", d)
    assert run("prune", chain.dense, *given, "--out", p, *prune) == 0
    shown = capsys.readouterr().err
    assert f"score, float network, {data.frames} frames of 6 of 6 sequences of d.npz:" in shown
    assert "kept: epoch 1 of the 1 of the last increment, its best, MSE" in shown
    assert run("pack", p, "--calibration", d, "--out", m, "--qat-epochs", 1, "--json", j) == 0
    shown = capsys.readouterr().err
    model = load_model(m)
    mse, mae = errors(model, data)
    assert f"integer model MSE {mse:.4g}, MAE {mae:.4g}, R2" in shown
    found = json.loads(j.read_text())
    assert found["scores"]["models"]["fixed"]["mse"] == pytest.approx(mse)
    assert found["scores"]["models"]["pruned"]["mse"] > 0
    assert len(found["tuned"]) == 2
    assert json.loads(model.provenance["saturation"]) == found["saturation"]
    assert found["saturation"]["cell_l0"] == {
        "clipped": 0,
        "seen": data.frames * 16,
        "format": "s18.13",
    }
    assert {each["stage"] for each in found["distances"]} == {"pruned", "weights", "integer"}


def test_the_verilog_is_scored_in_the_units_of_the_targets(
    run: Run, chain: Chain, replayed: Callable[..., None], tmp_path: Path, capsys: Text
) -> None:
    """The finished run again: the same states, the head fed with each of them."""
    replayed()
    d, m, build = tmp_path / "d.npz", tmp_path / "m.safetensors", tmp_path / "b"
    data, model = numbers(chain, d, framewise=True), replace(load_model(chain.model), pool="every")
    save_model(m, model)
    floats = ("--dense", chain.dense, "--pruned", chain.dense)
    assert run("simulate", m, "--data", d, "--build", build, *ARRAY, *ICARUS, *floats) == 0
    mse, mae = errors(model, data)
    shown = capsys.readouterr().err
    assert f"score: MSE {mse:.4g}, MAE {mae:.4g}, R2" in shown
    assert f"Verilog, {data.frames} frames of 6 of 6 sequences\n" in shown
    found = read_figures(build)
    models = found["scores"]["models"]
    assert models["rtl"] == models["fixed"] == found["scores"]["fixed_simulated"]
    assert models["rtl"]["mse"] == pytest.approx(mse)
    assert models["dense"] == models["pruned"] != models["rtl"]
    assert len(found["scores"]["by_output"]) == 3
    assert set(found["accuracy"].values()) == {None}
    assert run("report", build, "--out", build) == 0
    assert read_report(build)["scores"] == found["scores"]
    assert "mean squared error of the integers on" in (build / "report.html").read_text()


def test_numbers_are_not_scored_by_classes(
    run: Run, chain: Chain, tmp_path: Path, capsys: Text
) -> None:
    d, out = tmp_path / "d.npz", tmp_path / "o"
    numbers(chain, d, framewise=False)
    given = ("--data", d, "--val", chain.data, "--banks", 4, "--sparsity", 0.75)
    assert run("prune", chain.dense, *given, "--out", out) == 2
    assert "d.npz has targets and data.npz labels: the network is" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("command", ["prune", "pack", "simulate", "doctor"])
def test_numbers_that_do_not_fit_are_refused(
    run: Run, chain: Chain, tmp_path: Path, capsys: Text, command: str
) -> None:
    d, out = tmp_path / "d.npz", tmp_path / "o"
    data = numbers(chain, d, framewise=False)
    assert data.targets is not None
    save_sequences(d, replace(data, targets=data.targets[:, :2]))
    words: dict[str, tuple[object, ...]] = {
        "prune": ("prune", chain.dense, "--data", d, "--out", out),
        "pack": ("pack", chain.pruned, "--calibration", d, "--out", out),
        "simulate": ("simulate", chain.model, "--data", d, "--build", out, *ARRAY),
        "doctor": ("doctor", chain.dense, "--data", d),
    }
    assert run(*words[command]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "d.npz: targets of 2 numbers, but the head of" in error
    assert "has 3 outputs: give a number for each output" in error
    assert not out.exists()
