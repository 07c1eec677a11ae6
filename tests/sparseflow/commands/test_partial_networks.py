"""A part of a larger network through the single steps; what is left out is kept and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from csb_format import load_model
from pruning.importers import Cut
from pruning.importers.cut import METADATA
from pruning.tasks.data.datasets import save_sequences
from tests.pruning.importers.larger_networks import Cells, Tagger
from tests.sparseflow.conftest import sequences


@pytest.fixture
def data(tmp_path: Path) -> Path:
    given = sequences(width=8)
    save_sequences(tmp_path / "frames.npz", given)
    return tmp_path / "frames.npz"


def test_cells_pruned_packed_and_scored_as_a_part(
    tmp_path: Path, data: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    module = Cells()
    torch.save(module.state_dict(), tmp_path / "net.pt")
    out, model = tmp_path / "pruned.safetensors", tmp_path / "model.safetensors"
    words = ("--lstm", "cells", "--head", "out", "--ignore", "scale")
    given = ("prune", tmp_path / "net.pt", "--data", data, "--out", out, "--banks", 4)
    assert run(*given, "--sparsity", 0.5, "--epochs", 1) == 2
    assert "`--lstm cells --head out --ignore scale`" in capsys.readouterr().err
    assert run(*given, "--sparsity", 0.5, "--epochs", 1, "--val", data, *words) == 0
    told = "".join(capsys.readouterr())
    assert "not on the array: scale (8,)" in told
    assert told.count("part that is cut out alone") == 3
    found = safetensors.torch.load_file(out)
    assert {name for name in found if not name.endswith(".mask")} == set(module.state_dict())
    assert torch.equal(found["scale"], module.scale)
    assert run("pack", out, "--calibration", data, "--out", model) == 0
    told = "".join(capsys.readouterr())
    assert "nn.LSTM(8, 16), 2 layers" in told
    assert "not on the array: scale (8,)" in told
    cut = Cut("cells", "out", ("scale",))
    assert Cut.noted(load_model(model).provenance) == cut
    assert METADATA in load_model(model).provenance


def test_doctor_goes_on_with_the_part(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(Tagger().state_dict(), tmp_path / "net.pt")
    assert (
        run("doctor", tmp_path / "net.pt", "--lstm", "lstm", "--head", "mlp.0", "--ignore", "*")
        == 0
    )
    told = capsys.readouterr()
    assert "not on the array: embedding.weight (20, 8)" in told.out.replace("\n", " ")
    assert "--lstm lstm --head mlp.0 --ignore '*' --data DATA" in told.err
    assert run("pack", tmp_path / "net.pt", "--matrices", "--ignore", "*", "--out", "m") == 2
    assert "--matrices takes no" in capsys.readouterr().err
